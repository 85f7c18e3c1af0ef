package config

import (
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PolicyOptions configure the policies.
type PolicyOptions struct {
	Exclude         []string // namespaces that are left alone
	Mode            Mode     // of the installation
	Username        string   // drey's, as the API server authenticates it
	OwnNamespace    string   // drey's own, which a target without a namespace points at
	RegisterCommand string   // registers a target; NAMESPACE stands for the namespace
	Contact         string   // of the people who register targets, in one line; may be empty
}

// Policies returns the policies and their bindings, in the order to install them.
func Policies(o PolicyOptions) ([]*admissionregistrationv1.ValidatingAdmissionPolicy, []*admissionregistrationv1.ValidatingAdmissionPolicyBinding) {
	bindings := []*admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		binding(RegisteredLabelPolicy, RegisteredLabelPolicy, admissionregistrationv1.Deny),
		binding(ClaimPolicy, ClaimPolicy, admissionregistrationv1.Deny),
		binding(PodPolicy, PodPolicy, actions[o.Mode]),
	}
	if o.Mode != Enforce { // a namespace may set a stricter mode
		strict := binding(PodPolicy+"-enforce", PodPolicy, admissionregistrationv1.Deny)
		strict.Spec.MatchResources = &admissionregistrationv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{LabelMode: string(Enforce)}}}
		bindings = append(bindings, strict)
	}
	return []*admissionregistrationv1.ValidatingAdmissionPolicy{registeredLabelPolicy(o), claimPolicy(o), podPolicy(o)}, bindings
}

// actions are the validation actions of the modes.
var actions = map[Mode]admissionregistrationv1.ValidationAction{
	Enforce: admissionregistrationv1.Deny, Warn: admissionregistrationv1.Warn, Audit: admissionregistrationv1.Audit,
}

func policy(name string, spec admissionregistrationv1.ValidatingAdmissionPolicySpec) *admissionregistrationv1.ValidatingAdmissionPolicy {
	return &admissionregistrationv1.ValidatingAdmissionPolicy{
		TypeMeta: typeMeta("ValidatingAdmissionPolicy"), ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec,
	}
}

func binding(name, policy string, action admissionregistrationv1.ValidationAction) *admissionregistrationv1.ValidatingAdmissionPolicyBinding {
	return &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		TypeMeta:   typeMeta("ValidatingAdmissionPolicyBinding"),
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: policy, ValidationActions: []admissionregistrationv1.ValidationAction{action},
		},
	}
}

func typeMeta(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: admissionregistrationv1.SchemeGroupVersion.String(), Kind: kind}
}

// namedRules turns webhook rules into those of a policy.
func namedRules(rules ...admissionregistrationv1.RuleWithOperations) []admissionregistrationv1.NamedRuleWithOperations {
	all := make([]admissionregistrationv1.NamedRuleWithOperations, len(rules))
	for i, r := range rules {
		all[i].RuleWithOperations = r
	}
	return all
}
