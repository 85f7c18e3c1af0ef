package main

import (
	"encoding/base64"
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"drey.dev/drey/webhook/config"
)

// noopConfiguration returns a configuration that sends every pod to a path of the no-op webhook.
func noopConfiguration(n *noopServer, path string) *unstructured.Unstructured {
	return object(group+"/v1", "MutatingWebhookConfiguration", map[string]any{
		"metadata": map[string]any{"name": "noop"},
		"webhooks": []any{map[string]any{
			"name": "noop.drey.dev", "clientConfig": map[string]any{"url": n.url + path, "caBundle": base64.StdEncoding.EncodeToString(n.caBundle)},
			"rules": []any{podRule()}, "sideEffects": "None", "admissionReviewVersions": []any{"v1"}, "failurePolicy": "Fail", "timeoutSeconds": int64(3),
		}},
	})
}

func podRule() map[string]any {
	return map[string]any{"operations": []any{"CREATE"}, "apiGroups": []any{""}, "apiVersions": []any{"v1"}, "resources": []any{"pods"}, "scope": "Namespaced"}
}

// policies returns admission policies that do as much of drey's work as CEL allows. They have
// no registry and no owners: a label of the namespace replaces its target, and the platform
// namespace is default.
func policies() []*unstructured.Unstructured {
	var conditions []any
	for _, c := range config.Mutating(config.ByURL("", nil, ""), nil, "drey").Webhooks[0].MatchConditions {
		conditions = append(conditions, map[string]any{"name": c.Name, "expression": c.Expression})
	}
	matches := map[string]any{"resourceRules": []any{podRule()}}
	binding := func(kind string, more map[string]any) *unstructured.Unstructured {
		spec := map[string]any{"policyName": "flink"}
		maps.Copy(spec, more)
		return object(group+"/v1", kind, map[string]any{"metadata": map[string]any{"name": "flink"}, "spec": spec})
	}
	return []*unstructured.Unstructured{
		object(group+"/v1", "MutatingAdmissionPolicy", map[string]any{
			"metadata": map[string]any{"name": "flink"},
			"spec": map[string]any{
				"failurePolicy": "Ignore", "reinvocationPolicy": "Never", "matchConstraints": matches, "matchConditions": conditions,
				"mutations": []any{map[string]any{"patchType": "JSONPatch", "jsonPatch": map[string]any{
					"expression": addLabel("system", `"ververica-platform"`) + " + " + addLabel("vvpNamespace", `"default"`) + " + " +
						addLabel("deploymentName", `object.metadata.labels["app"]`),
				}}},
			},
		}),
		binding("MutatingAdmissionPolicyBinding", nil),
		object(group+"/v1", "ValidatingAdmissionPolicy", map[string]any{
			"metadata": map[string]any{"name": "flink"},
			"spec": map[string]any{
				"failurePolicy": "Fail", "matchConstraints": matches, "matchConditions": conditions,
				"validations": []any{map[string]any{
					"expression": `namespaceObject.metadata.?labels[?"drey.dev/registered"].orValue("") == "true"`,
					"message":    "namespace not registered",
				}},
			},
		}),
		binding("ValidatingAdmissionPolicyBinding", map[string]any{"validationActions": []any{"Deny"}}),
	}
}

// addLabel returns a CEL list with the patch that adds a label, empty if it exists.
func addLabel(key, value string) string {
	return `("` + key + `" in object.metadata.labels ? [] : [JSONPatch{op: "add", path: "/metadata/labels/` + key + `", value: ` + value + `}])`
}
