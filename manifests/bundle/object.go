package bundle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// Object is one object of the cluster.
type Object struct {
	*unstructured.Unstructured
	reasons []string // why each of a role's rules is there
}

// resources of the kinds that there are.
var resources = map[string]string{
	"Namespace": "namespaces", "CustomResourceDefinition": "customresourcedefinitions", "ServiceAccount": "serviceaccounts",
	"ClusterRole": "clusterroles", "ClusterRoleBinding": "clusterrolebindings", "Role": "roles", "RoleBinding": "rolebindings",
	"Service": "services", "Deployment": "deployments", "PersistentVolumeClaim": "persistentvolumeclaims",
	"PodDisruptionBudget": "poddisruptionbudgets", "NetworkPolicy": "networkpolicies",
	"MutatingWebhookConfiguration": "mutatingwebhookconfigurations", "ValidatingWebhookConfiguration": "validatingwebhookconfigurations",
	"ValidatingAdmissionPolicy": "validatingadmissionpolicies", "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
}

// Resource is where the API server keeps the object.
func (o Object) Resource() schema.GroupVersionResource {
	kind := o.GroupVersionKind()
	return kind.GroupVersion().WithResource(resources[kind.Kind])
}

// String is such as deployment/drey, as kubectl has it.
func (o Object) String() string { return strings.ToLower(o.GetKind()) + "/" + o.GetName() }

// YAML writes the object. The rules of a role say why they are there.
func (o Object) YAML() ([]byte, error) {
	if len(o.reasons) == 0 {
		return yaml.Marshal(o.Object)
	}
	rules, _, err := unstructured.NestedSlice(o.Object, "rules")
	if err != nil {
		return nil, err
	}
	without := o.DeepCopy()
	delete(without.Object, "rules")
	text, err := yaml.Marshal(without.Object)
	if err != nil {
		return nil, err
	}
	b := bytes.NewBuffer(text)
	b.WriteString("rules:\n")
	for i, rule := range rules {
		text, err := yaml.Marshal([]any{rule})
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(b, "# %s\n%s", strings.ReplaceAll(o.reasons[i], "\n", "\n# "), text)
	}
	return b.Bytes(), nil
}

// convert takes what Go makes of an object, and leaves out what says nothing.
func convert(typed ...any) ([]Object, error) {
	var all []Object
	for _, t := range typed {
		text, err := json.Marshal(t)
		if err != nil {
			return nil, err
		}
		object, err := parse(text)
		if err != nil {
			return nil, err
		}
		delete(object.Object, "status")
		prune(object.Object)
		all = append(all, object)
	}
	return all, nil
}

func parse(text []byte) (Object, error) {
	o := Object{Unstructured: &unstructured.Unstructured{}}
	text, err := yaml.YAMLToJSON(text)
	if err != nil {
		return o, err
	}
	if err := o.UnmarshalJSON(text); err != nil {
		return o, err
	}
	if resources[o.GetKind()] == "" {
		return o, fmt.Errorf("the resource of kind %s is not known", o.GetKind())
	}
	return o, nil
}

// prune removes nulls, which are types' way of saying nothing.
func prune(value any) {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			if inner == nil {
				delete(v, key)
				continue
			}
			prune(inner)
		}
	case []any:
		for _, inner := range v {
			prune(inner)
		}
	}
}
