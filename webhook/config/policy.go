package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PolicyOptions configure the policies.
type PolicyOptions struct {
	Exclude         []string // namespaces that are left alone
	Mode            Mode     // of the installation
	Username        string   // the user that drey is to the API server
	OwnNamespace    string   // drey's own, which a target without a namespace points at
	RegisterCommand string   // registers a target; NAMESPACE stands for the namespace
}

// Policies are the policies and their bindings, in the order in which they are to be
// installed.
func Policies(o PolicyOptions) ([]*admissionv1.ValidatingAdmissionPolicy, []*admissionv1.ValidatingAdmissionPolicyBinding) {
	bindings := []*admissionv1.ValidatingAdmissionPolicyBinding{binding(RegisteredLabelPolicy, RegisteredLabelPolicy, admissionv1.Deny), binding(ClaimPolicy, ClaimPolicy, admissionv1.Deny), binding(PodPolicy, PodPolicy, actions[o.Mode])}
	if o.Mode != Enforce { // a namespace may be stricter
		strict := binding(PodPolicy+"-enforce", PodPolicy, admissionv1.Deny)
		strict.Spec.MatchResources = &admissionv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{LabelMode: string(Enforce)}}}
		bindings = append(bindings, strict)
	}
	return []*admissionv1.ValidatingAdmissionPolicy{registeredLabelPolicy(o), claimPolicy(o), podPolicy(o)}, bindings
}

// actions are what becomes of a denial in each mode.
var actions = map[Mode]admissionv1.ValidationAction{Enforce: admissionv1.Deny, Warn: admissionv1.Warn, Audit: admissionv1.Audit}

// podPolicy agrees with the verdict where the verdict needs neither owners nor the
// registry: it asks whether the namespace is marked, as every one is that has what was
// admitted. A TaskManager without that is refused, too: whether the Deployment that its
// owner reference names is there, and Flink's, no expression can tell.
func podPolicy(o PolicyOptions) *admissionv1.ValidatingAdmissionPolicy {
	const (
		labels  = `namespaceObject.metadata.?labels`
		marked  = labels + `[?"` + LabelRegistered + `"].orValue("") in ["` + Registered + `", "` + Draining + `"]`
		lenient = labels + `[?"` + LabelMode + `"].orValue("") in ["warn", "audit"]`
	)
	before, after, _ := strings.Cut(o.RegisterCommand, "NAMESPACE")
	parts := []string{strconv.Quote(before)}
	for _, part := range strings.Split(after, "NAMESPACE") {
		parts = append(parts, "object.metadata.namespace", strconv.Quote(part))
	}
	return &admissionv1.ValidatingAdmissionPolicy{
		TypeMeta:   typeMeta("ValidatingAdmissionPolicy"),
		ObjectMeta: metav1.ObjectMeta{Name: PodPolicy},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			FailurePolicy: new(admissionv1.Ignore), // of an expression that fails: a job must not hang on it
			MatchConstraints: &admissionv1.MatchResources{
				MatchPolicy:       new(admissionv1.Equivalent),
				NamespaceSelector: notIn(o.Exclude),
				ResourceRules:     rules([]admissionv1.OperationType{admissionv1.Create}, "pods", admissionv1.NamespacedScope),
			},
			MatchConditions: PolicyConditions(),
			Validations: []admissionv1.Validation{{
				Expression: fmt.Sprintf("%s || %s", marked, lenient),
				MessageExpression: `"namespace \"" + object.metadata.namespace + "\" has no DeploymentTarget, so Flink may not run there. Register it: " + ` +
					strings.Join(parts, " + "),
				Reason: new(metav1.StatusReasonForbidden),
			}},
		},
	}
}

// registeredLabelPolicy keeps the mark to drey: who could set it would open a namespace to Flink. And
// it keeps labels that drey decides by from a Binding, which gives its labels to the pod
// that it binds: those that a scheduler passes on are others.
func registeredLabelPolicy(o PolicyOptions) *admissionv1.ValidatingAdmissionPolicy {
	marked := rules([]admissionv1.OperationType{admissionv1.Create, admissionv1.Update}, "namespaces", admissionv1.ClusterScope)
	marked[0].Resources = append(marked[0].Resources, "namespaces/status", "namespaces/finalize")
	bound := rules([]admissionv1.OperationType{admissionv1.Create}, "pods/binding", admissionv1.NamespacedScope)
	bound[0].Resources = append(bound[0].Resources, "bindings")
	const mark = `.metadata.?labels[?"` + LabelRegistered + `"].orValue("")`
	return &admissionv1.ValidatingAdmissionPolicy{
		TypeMeta:   typeMeta("ValidatingAdmissionPolicy"),
		ObjectMeta: metav1.ObjectMeta{Name: RegisteredLabelPolicy},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			FailurePolicy: new(admissionv1.Fail),
			MatchConstraints: &admissionv1.MatchResources{
				MatchPolicy:   new(admissionv1.Equivalent),
				ResourceRules: append(marked, bound...),
			},
			MatchConditions: []admissionv1.MatchCondition{
				{Name: "changes-registered-label", Expression: `object.kind == "Binding" ? object.metadata.?labels.orValue({}).exists(k, ` + celDecidesBy + `) : ` +
					`object` + mark + ` != (oldObject == null ? "" : oldObject` + mark + `)`},
				{Name: "not-terminating", Expression: celNotTerminating},
			},
			Validations: []admissionv1.Validation{{
				Expression: `object.kind != "Binding"`,
				Message:    "a Binding gives its labels to the pod, and drey decides by some of these: set them on the pod when it is created",
				Reason:     new(metav1.StatusReasonForbidden),
			}, {
				Expression: `object.kind == "Binding" || request.userInfo.username == ` + strconv.Quote(o.Username),
				Message: fmt.Sprintf("the label %s says which namespaces have a DeploymentTarget, and drey alone sets it. "+
					"Register a target instead, or take the label off the manifest: kubectl label --local -f FILE %s- -o yaml", LabelRegistered, LabelRegistered),
				Reason: new(metav1.StatusReasonForbidden),
			}},
		},
	}
}

func binding(name, policy string, action admissionv1.ValidationAction) *admissionv1.ValidatingAdmissionPolicyBinding {
	return &admissionv1.ValidatingAdmissionPolicyBinding{
		TypeMeta:   typeMeta("ValidatingAdmissionPolicyBinding"),
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: policy, ValidationActions: []admissionv1.ValidationAction{action},
		},
	}
}

func typeMeta(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: kind}
}

func notIn(namespaces []string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
		Key: "kubernetes.io/metadata.name", Operator: metav1.LabelSelectorOpNotIn, Values: slices.Sorted(slices.Values(namespaces)),
	}}}
}

func rules(operations []admissionv1.OperationType, resource string, scope admissionv1.ScopeType) []admissionv1.NamedRuleWithOperations {
	return []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
		Operations: operations,
		Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{resource}, Scope: &scope},
	}}}
}
