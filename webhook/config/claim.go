package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"drey.dev/drey/registry"
)

// claimPolicy checks the creator of a target in the API server, which has authenticated
// them. A webhook that did so would answer the same to anybody who reaches it, about any
// user. Drey's own requests are not evaluated: over REST the registry checks the caller.
// Its message is that of the registry. It fails closed.
func claimPolicy(o PolicyOptions) *admissionv1.ValidatingAdmissionPolicy {
	var unserved []string
	for _, namespace := range slices.Sorted(slices.Values(o.Exclude)) {
		unserved = append(unserved, strconv.Quote(namespace))
	}
	rule := rules([]admissionv1.OperationType{admissionv1.Create}, "deploymenttargets", admissionv1.NamespacedScope)
	rule[0].APIGroups, rule[0].APIVersions = []string{registry.Group}, []string{"*"}
	return &admissionv1.ValidatingAdmissionPolicy{
		TypeMeta:   typeMeta("ValidatingAdmissionPolicy"),
		ObjectMeta: metav1.ObjectMeta{Name: ClaimPolicy},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			FailurePolicy:    new(admissionv1.Fail),
			MatchConstraints: &admissionv1.MatchResources{MatchPolicy: new(admissionv1.Equivalent), ResourceRules: rule},
			MatchConditions:  []admissionv1.MatchCondition{{Name: "not-drey", Expression: "request.userInfo.username != " + strconv.Quote(o.Username)}},
			Variables: []admissionv1.Variable{
				{Name: "stated", Expression: `object.?spec.?kubernetes.?namespace.orValue("")`},
				{Name: "target", Expression: `variables.stated == "" ? ` + strconv.Quote(o.OwnNamespace) + ` : variables.stated`},
				{Name: "user", Expression: "request.userInfo.username"},
				{Name: "word", Expression: `variables.user.matches("^[0-9A-Za-z_@+=:,.-]+$") ? variables.user : "USER"`}, // of a shell
				{Name: "subject", Expression: fmt.Sprintf(`variables.word.startsWith(%[1]q) ? "--serviceaccount=" + variables.word.substring(%[2]d) : "--user=" + variables.word`, serviceAccount, len(serviceAccount))},
				{Name: "remedy", Expression: fmt.Sprintf(`variables.target in [%s] ? "Register one for a namespace of your own: drey leaves this one alone, which is its own or the system's" : `+
					`"Register one for a namespace of your own, or have an admin of the cluster grant the right: kubectl create rolebinding flink-" + variables.word.replace(":", "-") + `+
					`" -n " + variables.target + " --clusterrole=edit " + variables.subject`, strings.Join(unserved, ", "))},
			},
			Validations: []admissionv1.Validation{{
				Expression: `authorizer.group("").resource("pods").namespace(variables.target).check("create").allowed()`,
				MessageExpression: `variables.user + " may not create pods in Kubernetes namespace \"" + variables.target + "\", ` +
					`so they may not register a target for it either. " + variables.remedy`,
				Reason: new(metav1.StatusReasonForbidden),
			}},
		},
	}
}

const serviceAccount = "system:serviceaccount:"
