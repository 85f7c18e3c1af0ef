package config

import (
	"fmt"
	"strconv"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"drey.dev/drey/denials"
	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/verdict"
)

// RepairGuard returns the policy, with its binding, that restricts drey's updates of
// workloads to adding its own labels, which RBAC cannot express. username is that of the
// ServiceAccount that runs drey; no other requests are evaluated. It fails closed.
func RepairGuard(username string) (*admissionregistrationv1.ValidatingAdmissionPolicy, *admissionregistrationv1.ValidatingAdmissionPolicyBinding) {
	keys := celList([]string{
		verdict.LabelApp, verdict.LabelSystem, verdict.LabelPlatformNamespace, verdict.LabelDeploymentID, verdict.LabelDeploymentName,
		verdict.LabelJobID, verdict.LabelSessionClusterID, verdict.LabelSessionClusterName,
	})
	// Kinds differ in their fields, so objects are compared as maps; an absent field is null.
	equal := func(object, old, except string) string {
		return fmt.Sprintf(`%[1]s.all(k, k in [%[3]s] || %[1]s[k] == %[2]s[?k].orValue(null)) && %[2]s.all(k, k in [%[3]s] || k in %[1]s)`, object, old, except)
	}
	return policy(RepairPolicy, admissionregistrationv1.ValidatingAdmissionPolicySpec{
		FailurePolicy: new(admissionregistrationv1.Fail),
		MatchConstraints: &admissionregistrationv1.MatchResources{
			MatchPolicy:   new(admissionregistrationv1.Equivalent),
			ResourceRules: namedRules(repairedWorkloads()...),
		},
		MatchConditions: []admissionregistrationv1.MatchCondition{
			{Name: "is-drey", Expression: "request.userInfo.username == " + strconv.Quote(username)},
			// RBAC grants updates of the history in drey's own namespace alone.
			{Name: "is-not-history", Expression: fmt.Sprintf(`!(object.kind == "ConfigMap" && request.name == %q && request.namespace == %q)`, denials.ConfigMapName, namespaceOf(username))},
		},
		Variables: []admissionregistrationv1.Variable{
			{Name: "now", Expression: "dyn(object)"}, {Name: "was", Expression: "dyn(oldObject)"},
			{Name: "labels", Expression: "variables.now.metadata.?labels.orValue({})"}, {Name: "had", Expression: "variables.was.metadata.?labels.orValue({})"},
		},
		Validations: []admissionregistrationv1.Validation{
			{
				Expression: equal("variables.now", "variables.was", `"metadata"`),
				Message:    "drey may only add labels: this update changes fields outside metadata",
				Reason:     new(metav1.StatusReasonForbidden),
			},
			{
				Expression: equal("variables.now.metadata", "variables.was.metadata", `"labels", "managedFields"`),
				Message:    "drey may only add labels: this update changes other metadata",
				Reason:     new(metav1.StatusReasonForbidden),
			},
			{
				Expression: `variables.had.all(k, k in variables.labels && variables.labels[k] == variables.had[k]) && ` +
					`variables.labels.all(k, k in variables.had || k.startsWith(` + strconv.Quote(registry.Group+"/") + `) || k in ` + keys + `)`,
				Message: "drey may only add its own labels: this update changes, removes or adds others",
				Reason:  new(metav1.StatusReasonForbidden),
			},
		},
	}), binding(RepairPolicy, RepairPolicy, admissionregistrationv1.Deny)
}

// namespaceOf returns the namespace of a ServiceAccount's username; "" of another user's.
func namespaceOf(username string) string {
	account, ok := strings.CutPrefix(username, "system:serviceaccount:")
	if !ok {
		return ""
	}
	namespace, _, _ := strings.Cut(account, ":")
	return namespace
}

// repairedWorkloads match updates of the resources that drey may patch.
func repairedWorkloads() []admissionregistrationv1.RuleWithOperations {
	all := append(rule("", "pods", "services", "configmaps"), append(rule("apps", "deployments", "statefulsets"), rule("batch", "jobs", "cronjobs")...)...)
	return onUpdate(append(all, customResources()...))
}
