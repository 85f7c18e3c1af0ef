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
	reasons []string // of each rule of a role
}

// resources are the resource names of the kinds.
var resources = map[string]string{
	"Namespace": "namespaces", "CustomResourceDefinition": "customresourcedefinitions", "ServiceAccount": "serviceaccounts",
	"ClusterRole": "clusterroles", "ClusterRoleBinding": "clusterrolebindings", "Role": "roles", "RoleBinding": "rolebindings",
	"Service": "services", "ConfigMap": "configmaps", "Deployment": "deployments", "PersistentVolumeClaim": "persistentvolumeclaims",
	"PodDisruptionBudget": "poddisruptionbudgets", "NetworkPolicy": "networkpolicies", "ResourceQuota": "resourcequotas",
	"MutatingWebhookConfiguration": "mutatingwebhookconfigurations", "ValidatingWebhookConfiguration": "validatingwebhookconfigurations",
	"ValidatingAdmissionPolicy": "validatingadmissionpolicies", "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
}

// Resource returns the resource of the object.
func (o Object) Resource() schema.GroupVersionResource {
	kind := o.GroupVersionKind()
	return kind.GroupVersion().WithResource(resources[kind.Kind])
}

// String returns the object as kubectl prints it, such as deployment/drey.
func (o Object) String() string { return strings.ToLower(o.GetKind()) + "/" + o.GetName() }

// Without returns a copy of the object without a label.
func (o Object) Without(label string) Object {
	o.Unstructured = o.DeepCopy()
	labels := o.GetLabels()
	delete(labels, label)
	o.SetLabels(labels)
	return o
}

// YAML returns the object, with the reason for each rule of a role as a comment.
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

// convert turns typed objects into unstructured ones, without status and null fields.
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
		return o, fmt.Errorf("unknown kind %q", o.GetKind())
	}
	return o, nil
}

// prune removes null fields.
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
