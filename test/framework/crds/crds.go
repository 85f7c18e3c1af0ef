// Package crds has clusters of tests serve custom resources, Flink's above all.
package crds

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/webhook/flink"
)

var definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// Rollout is the custom resource of Argo Rollouts.
var Rollout = flink.CustomResource{Kind: "Rollout", Group: "argoproj.io", Version: "v1alpha1", Resource: "rollouts"}

// InstallFlink has a cluster serve Flink's custom resources, and [Rollout], with a schema
// that takes anything: what drey makes of them does not depend on what their operators
// check.
func InstallFlink(ctx context.Context, c *cluster.Cluster) error {
	api, err := dynamic.NewForConfig(c.Config())
	if err != nil {
		return err
	}
	for _, r := range append([]flink.CustomResource{Rollout}, flink.CustomResources...) {
		crd := map[string]any{
			"apiVersion": definitions.GroupVersion().String(), "kind": "CustomResourceDefinition",
			"metadata": map[string]any{"name": r.Resource + "." + r.Group},
			"spec": map[string]any{
				"group": r.Group, "scope": "Namespaced",
				"names": map[string]any{"kind": r.Kind, "listKind": r.Kind + "List", "plural": r.Resource, "singular": strings.ToLower(r.Kind)},
				"versions": []any{map[string]any{
					"name": r.Version, "served": true, "storage": true, "subresources": map[string]any{"status": map[string]any{}},
					"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
				}},
			},
		}
		if err := Install(ctx, api, crd); err != nil {
			return err
		}
	}
	return nil
}

// Install creates a CustomResourceDefinition, and returns once the API server serves
// it. A name in a group k8s.io needs an annotation that says who reviewed it.
func Install(ctx context.Context, api dynamic.Interface, crd map[string]any) error {
	o := &unstructured.Unstructured{Object: crd}
	if group, _, _ := unstructured.NestedString(crd, "spec", "group"); strings.HasSuffix(group, ".k8s.io") {
		o.SetAnnotations(map[string]string{"api-approved.kubernetes.io": "unapproved, for a test"})
	}
	if _, err := api.Resource(definitions).Create(ctx, o, metav1.CreateOptions{}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	group, _, _ := unstructured.NestedString(crd, "spec", "group")
	resource, _, _ := unstructured.NestedString(crd, "spec", "names", "plural")
	versions, _, _ := unstructured.NestedSlice(crd, "spec", "versions")
	version := versions[0].(map[string]any)["name"].(string)
	for {
		_, err := api.Resource(schema.GroupVersionResource{Group: group, Version: version, Resource: resource}).List(ctx, metav1.ListOptions{})
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return errors.Join(ctx.Err(), fmt.Errorf("%s is not served: %w", o.GetName(), err))
		}
		time.Sleep(20 * time.Millisecond)
	}
}
