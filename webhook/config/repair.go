package config

import (
	"fmt"
	"strconv"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/verdict"
)

// RepairGuard is the policy, with its binding, that lets drey add its own labels to the
// metadata of pods and of what belongs to them, and change nothing else: RBAC cannot grant
// the one without the other. self is the ServiceAccount that runs drey and nothing else;
// nobody else's requests are evaluated. It fails closed.
func RepairGuard(self string) (*admissionv1.ValidatingAdmissionPolicy, *admissionv1.ValidatingAdmissionPolicyBinding) {
	var keys []string
	for _, key := range []string{
		verdict.LabelApp, verdict.LabelSystem, verdict.LabelPlatformNamespace, verdict.LabelDeploymentID, verdict.LabelDeploymentName,
		verdict.LabelJobID, verdict.LabelSessionClusterID, verdict.LabelSessionClusterName,
	} {
		keys = append(keys, strconv.Quote(key))
	}
	// Kinds differ in their fields, so the objects are read as maps; what is not there is null.
	same := func(object, old, except string) string {
		return fmt.Sprintf(`%[1]s.all(k, k in [%[3]s] || %[1]s[k] == %[2]s[?k].orValue(null)) && %[2]s.all(k, k in [%[3]s] || k in %[1]s)`, object, old, except)
	}
	return &admissionv1.ValidatingAdmissionPolicy{
		TypeMeta:   typeMeta("ValidatingAdmissionPolicy"),
		ObjectMeta: metav1.ObjectMeta{Name: RepairPolicy},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			FailurePolicy: new(admissionv1.Fail),
			MatchConstraints: &admissionv1.MatchResources{
				MatchPolicy:   new(admissionv1.Equivalent),
				ResourceRules: repaired(),
			},
			MatchConditions: []admissionv1.MatchCondition{{Name: "is-drey", Expression: "request.userInfo.username == " + strconv.Quote(self)}},
			Variables: []admissionv1.Variable{
				{Name: "now", Expression: "dyn(object)"}, {Name: "was", Expression: "dyn(oldObject)"},
				{Name: "labels", Expression: "variables.now.metadata.?labels.orValue({})"}, {Name: "had", Expression: "variables.was.metadata.?labels.orValue({})"},
			},
			Validations: []admissionv1.Validation{
				{
					Expression: same("variables.now", "variables.was", `"metadata"`),
					Message:    "drey may change labels alone, and this changes more of the object than its metadata",
					Reason:     new(metav1.StatusReasonForbidden),
				},
				{
					Expression: same("variables.now.metadata", "variables.was.metadata", `"labels", "managedFields"`),
					Message:    "drey may change labels alone, and this changes other metadata",
					Reason:     new(metav1.StatusReasonForbidden),
				},
				{
					Expression: `variables.had.all(k, k in variables.labels && variables.labels[k] == variables.had[k]) && ` +
						`variables.labels.all(k, k in variables.had || k.startsWith(` + strconv.Quote(registry.Group+"/") + `) || k in [` + strings.Join(keys, ", ") + `])`,
					Message: "drey may add its own labels, and this changes, removes or adds others",
					Reason:  new(metav1.StatusReasonForbidden),
				},
			},
		},
	}, binding(RepairPolicy, RepairPolicy, admissionv1.Deny)
}

// repaired are updates of what drey has the right to patch for its labels.
func repaired() []admissionv1.NamedRuleWithOperations {
	of := func(group, version string, resources ...string) admissionv1.NamedRuleWithOperations {
		r := rules([]admissionv1.OperationType{admissionv1.Update}, "", admissionv1.NamespacedScope)[0]
		r.APIGroups, r.APIVersions, r.Resources = []string{group}, []string{version}, resources
		return r
	}
	all := []admissionv1.NamedRuleWithOperations{
		of("", "v1", "pods", "services", "configmaps"), of("apps", "v1", "deployments", "statefulsets"), of("batch", "v1", "jobs", "cronjobs"),
	}
	for i, c := range flink.CustomResources {
		if i > 0 && flink.CustomResources[i-1].Group == c.Group {
			last := &all[len(all)-1]
			last.Resources = append(last.Resources, c.Resource)
			continue
		}
		all = append(all, of(c.Group, "*", c.Resource))
	}
	return all
}
