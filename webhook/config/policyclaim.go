package config

import (
	"fmt"
	"slices"
	"strconv"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"drey.dev/drey/registry"
)

// claimPolicy denies a DeploymentTarget for a Kubernetes namespace in which its creator
// cannot create pods. The API server has authenticated the creator; a webhook would answer
// any sender about any user. Drey's own requests are not evaluated, since the registry
// checks callers of the REST API. The message is the registry's. It fails closed.
func claimPolicy(o PolicyOptions) *admissionregistrationv1.ValidatingAdmissionPolicy {
	excluded := celList(slices.Sorted(slices.Values(o.Exclude)))
	return policy(ClaimPolicy, admissionregistrationv1.ValidatingAdmissionPolicySpec{
		FailurePolicy: new(admissionregistrationv1.Fail),
		MatchConstraints: &admissionregistrationv1.MatchResources{
			MatchPolicy: new(admissionregistrationv1.Equivalent), ResourceRules: namedRules(anyVersion(rule(registry.Group, "deploymenttargets"))...),
		},
		MatchConditions: []admissionregistrationv1.MatchCondition{{Name: "not-drey", Expression: "request.userInfo.username != " + strconv.Quote(o.Username)}},
		Variables: []admissionregistrationv1.Variable{
			{Name: "stated", Expression: `object.?spec.?kubernetes.?namespace.orValue("")`},
			{Name: "target", Expression: `variables.stated == "" ? ` + strconv.Quote(o.OwnNamespace) + ` : variables.stated`},
			{Name: "user", Expression: "request.userInfo.username"},
			{Name: "word", Expression: `variables.user.matches("^[0-9A-Za-z_@+=:,.-]+$") ? variables.user : "USER"`}, // needs no quotes in a shell
			{Name: "subject", Expression: fmt.Sprintf(`variables.word.startsWith(%[1]q) ? "--serviceaccount=" + variables.word.substring(%[2]d) : "--user=" + variables.word`, serviceAccountPrefix, len(serviceAccountPrefix))},
			{Name: "remedy", Expression: `variables.target in ` + excluded + ` ? "Register one for a namespace of your own: drey leaves this one alone, which is its own or the system's" : ` +
				`"Register one for a namespace of your own, or have an admin of the cluster grant the right: kubectl create rolebinding flink-" + variables.word.replace(":", "-") + ` +
				`" -n " + variables.target + " --clusterrole=edit " + variables.subject`},
		},
		Validations: []admissionregistrationv1.Validation{{
			Expression: `authorizer.group("").resource("pods").namespace(variables.target).check("create").allowed()`,
			MessageExpression: `variables.user + " may not create pods in Kubernetes namespace \"" + variables.target + "\", ` +
				`so they may not register a target for it either. " + variables.remedy`,
			Reason: new(metav1.StatusReasonForbidden),
		}},
	})
}

const serviceAccountPrefix = "system:serviceaccount:"
