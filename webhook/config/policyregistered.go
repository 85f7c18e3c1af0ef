package config

import (
	"fmt"
	"strconv"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// celRegisteredLabel is the label of a namespace at a CEL path, empty if it is absent.
func celRegisteredLabel(namespace string) string {
	return namespace + `.metadata.?labels[?` + strconv.Quote(LabelRegistered) + `].orValue("")`
}

// celOldRegisteredLabel is the label before the request, empty at creation.
var celOldRegisteredLabel = `(oldObject == null ? "" : ` + celRegisteredLabel("oldObject") + `)`

// registeredLabelRules match all writes of namespaces that can change labels.
func registeredLabelRules() []admissionregistrationv1.RuleWithOperations {
	rules := rule("", "namespaces", "namespaces/status", "namespaces/finalize")
	rules[0].Operations = append(rules[0].Operations, admissionregistrationv1.Update)
	rules[0].Scope = new(admissionregistrationv1.ClusterScope)
	return rules
}

// registeredLabelConditions match changes of LabelRegistered by anyone but drey, the user
// with the name.
func registeredLabelConditions(username string) []admissionregistrationv1.MatchCondition {
	return []admissionregistrationv1.MatchCondition{
		{Name: "changes-registered-label", Expression: celRegisteredLabel("object") + ` != ` + celOldRegisteredLabel},
		{Name: "not-drey", Expression: "request.userInfo.username != " + strconv.Quote(username)},
		{Name: "not-terminating", Expression: celNotTerminating},
	}
}

// registeredLabelPolicy denies what opens a namespace to Flink while drey is down: any value
// of LabelRegistered that drey has not set. It also denies the removal of Draining, which drey
// cannot restore. A removal of Registered passes, and drey sets it again. While drey is up, its
// webhook has reset the label before.
//
// The policy also denies Bindings with labels that drey decides by, since the API server copies
// a Binding's labels to the pod. Schedulers set others.
func registeredLabelPolicy(o PolicyOptions) *admissionregistrationv1.ValidatingAdmissionPolicy {
	isDrey := `request.userInfo.username == ` + strconv.Quote(o.Username)
	return policy(RegisteredLabelPolicy, admissionregistrationv1.ValidatingAdmissionPolicySpec{
		FailurePolicy: new(admissionregistrationv1.Fail),
		MatchConstraints: &admissionregistrationv1.MatchResources{
			MatchPolicy:   new(admissionregistrationv1.Equivalent),
			ResourceRules: namedRules(registeredLabelRules()[0], rule("", "pods/binding", "bindings")[0]),
		},
		MatchConditions: []admissionregistrationv1.MatchCondition{
			{Name: "changes-registered-label", Expression: `object.kind == "Binding" ? object.metadata.?labels.orValue({}).exists(k, ` + celDecidesBy + `) : ` +
				celRegisteredLabel("object") + ` != ` + celOldRegisteredLabel},
			{Name: "not-terminating", Expression: celNotTerminating},
		},
		Validations: []admissionregistrationv1.Validation{{
			Expression: `object.kind != "Binding"`,
			Message:    "a Binding copies its labels to the pod, and drey decides by one of these: set it when the pod is created",
			Reason:     new(metav1.StatusReasonForbidden),
		}, {
			Expression: anyOf(`object.kind == "Binding"`, isDrey, celRegisteredLabel("object")+` == ""`),
			Message: fmt.Sprintf("only drey sets the label %s, on namespaces with a DeploymentTarget: "+
				"register a target instead, or remove the label from the manifest: kubectl label --local -f FILE %s- -o yaml", LabelRegistered, LabelRegistered),
			Reason: new(metav1.StatusReasonForbidden),
		}, {
			Expression: anyOf(`object.kind == "Binding"`, isDrey, celRegisteredLabel("object")+` != ""`, celOldRegisteredLabel+` != `+strconv.Quote(Draining)),
			Message: fmt.Sprintf("the label %s=%s admits pods of running jobs after their DeploymentTarget was deleted, and drey, which keeps it, is down: "+
				"try again when drey is up, or keep the label: kubectl label --local -f FILE %s=%s -o yaml", LabelRegistered, Draining, LabelRegistered, Draining),
			Reason: new(metav1.StatusReasonForbidden),
		}},
	})
}
