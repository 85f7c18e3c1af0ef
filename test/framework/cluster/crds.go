package cluster

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
)

var crdResource = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// crdTimeout bounds the time from the creation of a CustomResourceDefinition until the
// API server serves it.
const crdTimeout = 2 * time.Minute

// InstallCRD creates a CustomResourceDefinition and returns once the API server serves its
// first version. Groups below k8s.io get the annotation that the API server requires there.
func InstallCRD(ctx context.Context, client dynamic.Interface, crd map[string]any) error {
	o := &unstructured.Unstructured{Object: crd}
	group, _, _ := unstructured.NestedString(crd, "spec", "group")
	if strings.HasSuffix(group, ".k8s.io") {
		o.SetAnnotations(map[string]string{"api-approved.kubernetes.io": "unapproved, for a test"})
	}
	if _, err := client.Resource(crdResource).Create(ctx, o, metav1.CreateOptions{}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, crdTimeout)
	defer cancel()
	resource, _, _ := unstructured.NestedString(crd, "spec", "names", "plural")
	versions, _, _ := unstructured.NestedSlice(crd, "spec", "versions")
	version := versions[0].(map[string]any)["name"].(string)
	for {
		_, err := client.Resource(schema.GroupVersionResource{Group: group, Version: version, Resource: resource}).List(ctx, metav1.ListOptions{})
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return errors.Join(ctx.Err(), fmt.Errorf("%s is not served: %w", o.GetName(), err))
		}
		time.Sleep(20 * time.Millisecond)
	}
}
