package kubestore

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"k8s.io/apimachinery/pkg/util/wait"

	"drey.dev/drey/manifests"
)

var definitionResource = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// Install makes drey's objects known to a cluster, or brings their definitions
// up to date, and returns when the API server serves them. It takes the right to
// create, patch and get customresourcedefinitions, which drey needs for nothing
// else: whoever installs drey may rather apply manifests/crds.
func Install(ctx context.Context, config *rest.Config) error {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	definitions := client.Resource(definitionResource)
	texts, err := manifests.CRDs()
	if err != nil {
		return err
	}
	var names []string
	for _, text := range texts {
		var o unstructured.Unstructured
		if err := yaml.Unmarshal(text, &o.Object); err != nil {
			return err
		}
		names = append(names, o.GetName())
		if _, err := definitions.Apply(ctx, o.GetName(), &o, metav1.ApplyOptions{FieldManager: "drey", Force: true}); err != nil {
			return fmt.Errorf("apply the definition of %s: %w", o.GetName(), err)
		}
	}
	for _, name := range names {
		var failed error
		backoff := wait.Backoff{Duration: 20 * time.Millisecond, Factor: 1.5, Jitter: 0.5, Steps: 10, Cap: time.Second}
		err := backoff.DelayFunc().Until(ctx, true, true, func(ctx context.Context) (bool, error) {
			o, err := definitions.Get(ctx, name, metav1.GetOptions{})
			if failed = err; err != nil {
				return false, fmt.Errorf("get the definition of %s: %w", name, err)
			}
			return isEstablished(o), nil
		})
		if err != nil && failed == nil {
			return fmt.Errorf("the API server does not serve %s yet: %w", name, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func isEstablished(o *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range conditions {
		if c, ok := c.(map[string]any); ok && c["type"] == "Established" && c["status"] == "True" {
			return true
		}
	}
	return false
}
