package config

import (
	"fmt"
	"strconv"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// registeredLabelPolicy denies changes of LabelRegistered by anyone but drey: the label
// opens a namespace to Flink. It also denies Bindings with labels that drey decides by,
// since the API server copies a Binding's labels to the pod. Schedulers set others.
func registeredLabelPolicy(o PolicyOptions) *admissionregistrationv1.ValidatingAdmissionPolicy {
	namespaces := rule("", "namespaces", "namespaces/status", "namespaces/finalize")[0]
	namespaces.Operations = append(namespaces.Operations, admissionregistrationv1.Update)
	namespaces.Scope = new(admissionregistrationv1.ClusterScope)
	label := `.metadata.?labels[?` + strconv.Quote(LabelRegistered) + `].orValue("")`
	return policy(RegisteredLabelPolicy, admissionregistrationv1.ValidatingAdmissionPolicySpec{
		FailurePolicy: new(admissionregistrationv1.Fail),
		MatchConstraints: &admissionregistrationv1.MatchResources{
			MatchPolicy:   new(admissionregistrationv1.Equivalent),
			ResourceRules: namedRules(namespaces, rule("", "pods/binding", "bindings")[0]),
		},
		MatchConditions: []admissionregistrationv1.MatchCondition{
			{Name: "changes-registered-label", Expression: `object.kind == "Binding" ? object.metadata.?labels.orValue({}).exists(k, ` + celDecidesBy + `) : ` +
				`object` + label + ` != (oldObject == null ? "" : oldObject` + label + `)`},
			{Name: "not-terminating", Expression: celNotTerminating},
		},
		Validations: []admissionregistrationv1.Validation{{
			Expression: `object.kind != "Binding"`,
			Message:    "a Binding copies its labels to the pod, and drey decides by one of these: set it when the pod is created",
			Reason:     new(metav1.StatusReasonForbidden),
		}, {
			Expression: `object.kind == "Binding" || request.userInfo.username == ` + strconv.Quote(o.Username),
			Message: fmt.Sprintf("only drey sets the label %s, on namespaces with a DeploymentTarget: "+
				"register a target instead, or remove the label from the manifest: kubectl label --local -f FILE %s- -o yaml", LabelRegistered, LabelRegistered),
			Reason: new(metav1.StatusReasonForbidden),
		}},
	})
}
