package config

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// podPolicy denies Flink pods in namespaces without LabelRegistered. It agrees with
// verdict.Decide where that needs neither owners nor the registry: every namespace with
// admitted workloads has the label. TaskManagers are denied elsewhere too, since CEL
// cannot look up their owner. An expression that fails allows the pod, so that no job
// depends on it. A dry run passes, since the target may be a part of the same set.
func podPolicy(o PolicyOptions) *admissionregistrationv1.ValidatingAdmissionPolicy {
	const labels = `namespaceObject.metadata.?labels`
	isRegistered := labels + `[?` + strconv.Quote(LabelRegistered) + `].orValue("") in ` + celList([]string{Registered, Draining})
	isLenient := labels + `[?` + strconv.Quote(LabelMode) + `].orValue("") in ` + celList([]string{string(Warn), string(Audit)})
	const isDryRun = `request.?dryRun.orValue(false)`
	before, after, _ := strings.Cut(o.RegisterCommand, "NAMESPACE")
	command := []string{strconv.Quote(before)}
	for _, part := range strings.Split(after, "NAMESPACE") {
		command = append(command, "object.metadata.namespace", strconv.Quote(part))
	}
	annotation := `namespaceObject.metadata.?annotations[?` + strconv.Quote(AnnotationContact) + `].orValue("")`
	contact := fmt.Sprintf(`[%s].map(c, c == "" || c.size() > %d || c.contains("\n") ? variables.installationContact : c)[0]`, annotation, MaxContact)
	const ask = `(variables.contact == "" ? "" : " ; if you may not, ask " + variables.contact)`
	return policy(PodPolicy, admissionregistrationv1.ValidatingAdmissionPolicySpec{
		FailurePolicy: new(admissionregistrationv1.Ignore),
		MatchConstraints: &admissionregistrationv1.MatchResources{
			MatchPolicy:       new(admissionregistrationv1.Equivalent),
			NamespaceSelector: unregistered(o.Exclude),
			ResourceRules:     namedRules(rule("", "pods")...),
		},
		MatchConditions: PolicyConditions(),
		Variables: []admissionregistrationv1.Variable{
			{Name: "installationContact", Expression: jsonString(o.Contact)},
			{Name: "contact", Expression: contact},
		},
		Validations: []admissionregistrationv1.Validation{{
			Expression: fmt.Sprintf("%s || %s || %s", isRegistered, isLenient, isDryRun),
			MessageExpression: `"namespace \"" + object.metadata.namespace + "\" has no DeploymentTarget, so Flink may not run there. Register it: " + ` +
				strings.Join(append(command, ask), " + "),
			Reason: new(metav1.StatusReasonForbidden),
		}},
	})
}

// jsonString returns a text as a JSON string, which is a string of CEL too. The chart renders it in the
// same form.
func jsonString(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err) // strings have a JSON form
	}
	return string(quoted)
}

// unregistered selects the namespaces in which podPolicy denies. In others the API server does
// not evaluate its conditions, for which it converts each pod.
func unregistered(exclude []string) *metav1.LabelSelector {
	selector := notIn(exclude)
	selector.MatchExpressions = append(selector.MatchExpressions,
		metav1.LabelSelectorRequirement{Key: LabelRegistered, Operator: metav1.LabelSelectorOpNotIn, Values: []string{Registered, Draining}},
		metav1.LabelSelectorRequirement{Key: LabelMode, Operator: metav1.LabelSelectorOpNotIn, Values: []string{string(Warn), string(Audit)}})
	return selector
}
