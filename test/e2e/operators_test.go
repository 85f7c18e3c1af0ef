package e2e

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"drey.dev/drey/webhook/flink"
)

// installOperators lets the cluster know the custom resources of Flink's operators.
// That may be done many times, also at the same time.
func (w *world) installOperators(t testing.TB) {
	t.Helper()
	var all strings.Builder
	names := []string{"wait", "--for=condition=Established", "--timeout=30s"}
	for _, c := range flink.CustomResources {
		all.WriteString(crd(c))
		names = append(names, "crd/"+c.Resource+"."+c.Group)
	}
	w.mustKubectl(t, all.String(), "apply", "--server-side", "--force-conflicts", "-f", "-")
	w.mustKubectl(t, "", names...)
}

// resourceOf says where objects of a kind are.
func resourceOf(kind string) schema.GroupVersionResource {
	for _, c := range flink.CustomResources {
		if c.Kind == kind {
			return schema.GroupVersionResource{Group: c.Group, Version: c.Version, Resource: c.Resource}
		}
	}
	return resources[kind]
}
