package repair

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"

	"drey.dev/drey/webhook/verdict"
)

// native are labels of native Flink, by which a pod is a JobManager.
func native() map[string]string {
	return map[string]string{"app": "my-job", "component": "jobmanager", "type": "flink-native-kubernetes"}
}

// TestScan: a scan finds Flink in all namespaces that are not excluded, says what is misplaced, and
// Correct labels what is missing.
func TestScan(t *testing.T) {
	f := newFakes(t, Options{})
	f.create(t, pods, pod("orders", "unlabeled", native()))
	f.create(t, pods, pod("elsewhere", "misplaced", native()))
	f.create(t, pods, pod("kube-system", "excluded", native()))
	found := map[string]Finding{}
	if err := f.o.Inspector.Scan(t.Context(), "", func(x Finding) { found[x.Verdict.Object().Name] = x }); err != nil {
		t.Fatal(err)
	}
	if len(found) != 2 || !found["unlabeled"].Workload() || found["unlabeled"].Misplaced() || !found["misplaced"].Misplaced() {
		t.Errorf("got %d findings, misplaced: %t %t", len(found), found["unlabeled"].Misplaced(), found["misplaced"].Misplaced())
	}
	if missing := found["unlabeled"].Missing(); len(missing) == 0 || len(found["misplaced"].Missing()) > 0 || found["unlabeled"].AwaitsOwner() || len(found["unlabeled"].Wrong()) > 0 {
		t.Errorf("got the missing labels %v", missing)
	}
	if err := f.o.Inspector.Correct(t.Context(), found["unlabeled"]); err != nil {
		t.Fatal(err)
	}
	now, ok, err := f.o.Inspector.Pod(t.Context(), "orders", "unlabeled")
	if err != nil || !ok || len(now.Missing()) > 0 || now.Verdict.Object().Labels[verdict.LabelSystem] != verdict.System {
		t.Errorf("after Correct: got %v %v %v", ok, err, now.Verdict.Object().Labels)
	}
}

// TestScanForbiddenKinds: a scan fails for a kind that it may not list, unless the caller skips it.
// Pods are never skipped.
func TestScanForbiddenKinds(t *testing.T) {
	forbid := func(f *fakes, resource string) {
		deny := func(a clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewForbidden(a.GetResource().GroupResource(), "", errors.New("no role"))
		}
		f.objects.PrependReactor("list", resource, deny)
		f.metadata.PrependReactor("list", resource, deny)
	}
	for _, resource := range []string{"services", "flinkdeployments", "pods"} {
		t.Run(resource, func(t *testing.T) {
			f := newFakes(t, Options{})
			forbid(f, resource)
			visit := func(Finding) {}
			if err := f.o.Inspector.Scan(t.Context(), "orders", visit); !apierrors.IsForbidden(err) {
				t.Errorf("got %v, want Forbidden", err)
			}
			var skipped []string
			f.o.Inspector.Skip = func(r schema.GroupVersionResource, _ error) bool { skipped = append(skipped, r.Resource); return true }
			err := f.o.Inspector.Scan(t.Context(), "orders", visit)
			if resource == "pods" {
				if !apierrors.IsForbidden(err) || len(skipped) > 0 {
					t.Errorf("got %v, skipped %v: want Forbidden", err, skipped)
				}
			} else if err != nil || !slices.Equal(skipped, []string{resource}) {
				t.Errorf("got %v, skipped %v: want %s", err, skipped, resource)
			}
		})
	}
}

// TestUnlabeledTogether: many namespaces are scanned with as many requests as few, and only unlabeled
// objects in the wanted ones are visited.
func TestUnlabeledTogether(t *testing.T) {
	f := newFakes(t, Options{})
	deployments, services := schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}, schema.GroupVersionResource{Version: "v1", Resource: "services"}
	for _, o := range []struct {
		resource              schema.GroupVersionResource
		kind, namespace, name string
	}{
		{deployments, "Deployment", "orders", "unlabeled"}, {deployments, "Deployment", "sandbox", "not-wanted"},
		{services, "Service", "orders", "unlabeled-service"}, {services, "Service", "kube-system", "excluded"},
	} {
		u := pod(o.namespace, o.name, native())
		u.SetKind(o.kind)
		u.SetAPIVersion(o.resource.GroupVersion().String())
		if o.kind == "Deployment" {
			u.Object["spec"] = map[string]any{"template": map[string]any{"metadata": map[string]any{"labels": map[string]any{"app": "my-job", "component": "jobmanager", "type": "flink-native-kubernetes"}}, "spec": u.Object["spec"]}}
		}
		f.create(t, o.resource, u)
	}
	for name, count := range map[string]int{"few": 0, "many": 1000} {
		t.Run(name, func(t *testing.T) {
			wanted := []string{"orders", "kube-system"}
			for i := range count {
				wanted = append(wanted, fmt.Sprint("empty-", i))
			}
			f.objects.ClearActions()
			f.metadata.ClearActions()
			var found []string
			if err := f.o.Inspector.Unlabeled(t.Context(), wanted, false, func(x Finding) error { found = append(found, x.Verdict.Object().Name); return nil }); err != nil {
				t.Fatal(err)
			}
			if slices.Sort(found); !slices.Equal(found, []string{"unlabeled", "unlabeled-service"}) {
				t.Errorf("got %v", found)
			}
			if requests := len(f.objects.Actions()) + len(f.metadata.Actions()); requests > 80 {
				t.Errorf("%d requests for %d namespaces", requests, len(wanted))
			}
		})
	}
}
