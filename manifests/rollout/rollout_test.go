package rollout

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/webhook/config"
)

// fakeCluster stores objects by resource/namespace/name. It has no controllers: the durations
// say when CustomResourceDefinitions are established, Deployments are available, and pods are
// gone, since start.
type fakeCluster struct {
	*Rollout
	client                            *dynamicfake.FakeDynamicClient
	objects                           map[string]*unstructured.Unstructured
	start                             time.Time
	established, available, podsEnded time.Duration
	pods                              []unstructured.Unstructured // of drey

	writes  []string          // verb resource/namespace/name
	at      map[string]string // time of the first such write
	reports map[string]string // the last by object
}

func newFakeCluster(dryRun bool) *fakeCluster {
	lists := map[schema.GroupVersionResource]string{
		{Version: "v1", Resource: "pods"}: "PodList", {Version: "v1", Resource: "namespaces"}: "NamespaceList",
		{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}: "EndpointSliceList",
	}
	f := &fakeCluster{
		client:  dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), lists),
		objects: map[string]*unstructured.Unstructured{}, start: time.Now(), at: map[string]string{}, reports: map[string]string{},
	}
	f.Rollout = &Rollout{client: f.client, report: func(object, result string) { f.reports[object] = result }}
	if dryRun {
		f.dryRun = []string{metav1.DryRunAll}
	}
	f.client.PrependReactor("*", "*", f.react)
	return f
}

func (f *fakeCluster) react(action clienttesting.Action) (bool, runtime.Object, error) {
	prefix := action.GetResource().Resource + "/" + action.GetNamespace() + "/"
	write := func(name string) string {
		line := action.GetVerb() + " " + prefix + name
		f.writes = append(f.writes, line)
		if _, ok := f.at[line]; !ok {
			f.at[line] = time.Since(f.start).String()
		}
		return prefix + name
	}
	notFound := func(name string) error {
		return apierrors.NewNotFound(action.GetResource().GroupResource(), name)
	}
	switch a := action.(type) {
	case clienttesting.GetActionImpl:
		o := f.objects[prefix+a.Name]
		if o == nil {
			return true, nil, notFound(a.Name)
		}
		return true, f.withStatus(o), nil
	case clienttesting.PatchActionImpl:
		key := write(a.Name)
		if slices.Contains(a.PatchOptions.DryRun, metav1.DryRunAll) != f.dry() {
			return true, nil, fmt.Errorf("dry run: %v", a.PatchOptions.DryRun)
		}
		o, old := &unstructured.Unstructured{}, f.objects[key]
		if a.PatchType == types.MergePatchType { // of the label of a namespace
			o = old.DeepCopy()
			o.SetLabels(nil)
		} else if err := o.UnmarshalJSON(a.Patch); err != nil {
			return true, nil, err
		}
		switch {
		case a.PatchType == types.MergePatchType:
		case f.dry() && a.Namespace != "" && f.objects["namespaces//"+a.Namespace] == nil:
			return true, nil, notFound(a.Namespace)
		case old == nil:
			o.SetGeneration(1)
			o.SetUID(types.UID("uid of " + key))
		default:
			o.SetGeneration(old.GetGeneration())
			o.SetUID(old.GetUID())
			if spec, was := fmt.Sprint(o.Object["spec"]), fmt.Sprint(old.Object["spec"]); spec != was {
				o.SetGeneration(old.GetGeneration() + 1)
			}
		}
		if !f.dry() {
			f.objects[key] = o
		}
		return true, o, nil
	case clienttesting.DeleteActionImpl:
		key := write(a.Name)
		if f.objects[key] == nil {
			return true, nil, notFound(a.Name)
		}
		if p := a.DeleteOptions.Preconditions; p != nil && *p.UID != f.objects[key].GetUID() {
			return true, nil, apierrors.NewConflict(action.GetResource().GroupResource(), a.Name, fmt.Errorf("uid"))
		}
		if len(a.DeleteOptions.DryRun) == 0 {
			delete(f.objects, key)
		}
		return true, nil, nil
	case clienttesting.ListActionImpl:
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(a.Kind)
		if a.GetResource().Resource == "pods" && time.Since(f.start) < f.podsEnded {
			list.Items = append(list.Items, unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{
				"name": "drey-1", "namespace": a.Namespace, "labels": map[string]any{nameLabel: bundle.Name},
			}}})
		}
		if a.GetResource().Resource == "pods" {
			list.Items = append(list.Items, f.pods...)
		}
		for key, o := range f.objects {
			if strings.HasPrefix(key, prefix) {
				list.Items = append(list.Items, *o)
			}
		}
		return true, list, nil
	}
	return true, nil, fmt.Errorf("unexpected %T", action)
}

func (f *fakeCluster) withStatus(o *unstructured.Unstructured) *unstructured.Unstructured {
	o = o.DeepCopy()
	age := time.Since(f.start)
	switch {
	case o.GetKind() == "CustomResourceDefinition" && age >= f.established:
		o.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Established", "status": "True"}}}
	case o.GetKind() == "Deployment":
		status := map[string]any{"observedGeneration": o.GetGeneration(), "updatedReplicas": int64(2), "replicas": int64(2), "availableReplicas": int64(0)}
		if age >= f.available {
			status["availableReplicas"] = int64(2)
		}
		o.Object["status"] = status
	}
	return o
}

// foreign stores an object without drey's label.
func (f *fakeCluster) foreign(o bundle.Object) {
	u := o.DeepCopy()
	u.SetLabels(nil)
	u.SetUID("foreign")
	f.objects[key(o)] = u
}

func key(o bundle.Object) string {
	return o.Resource().Resource + "/" + o.GetNamespace() + "/" + o.GetName()
}

func stages(t *testing.T) []bundle.Stage {
	t.Helper()
	all, err := bundle.Stages(bundle.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// keys returns the objects of stages, in their order.
func keys(all []bundle.Stage) (keys []string) {
	for _, stage := range all {
		for _, o := range stage.Objects {
			keys = append(keys, key(o))
		}
	}
	return keys
}

// first returns the first object of a kind.
func first(t *testing.T, all []bundle.Stage, kind string) bundle.Object {
	t.Helper()
	for _, stage := range all {
		for _, o := range stage.Objects {
			if o.GetKind() == kind {
				return o
			}
		}
	}
	t.Fatalf("no %s", kind)
	return bundle.Object{}
}

// secondsOf parses the time of a write.
func (f *fakeCluster) secondsOf(t *testing.T, write string) float64 {
	t.Helper()
	d, err := time.ParseDuration(f.at[write])
	if err != nil {
		t.Fatalf("%s: not written", write)
	}
	return d.Seconds()
}

// TestApplyStages checks the order of the writes, and that each stage awaits the one before.
func TestApplyStages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := stages(t)
		f := newFakeCluster(false)
		f.established, f.available = 3*time.Second, time.Minute
		if err := f.Apply(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, k := range keys(all) {
			want = append(want, "patch "+k)
		}
		if !slices.Equal(f.writes, want) {
			t.Errorf("writes: got\n%s\nwant\n%s", strings.Join(f.writes, "\n"), strings.Join(want, "\n"))
		}
		for i, after := range []time.Duration{0, f.established, f.established, f.available} {
			got := f.secondsOf(t, "patch "+key(all[i].Objects[0]))
			if got < after.Seconds() || got > after.Seconds()+4 { // the interval of polls is at most 3 s
				t.Errorf("stage %s starts after %.1f s, want %v", all[i].Name, got, after)
			}
		}
		if got := f.reports["deployment/drey"]; got != "is ready" {
			t.Errorf("report: %q", got)
		}

		again := newFakeCluster(false)
		again.objects = f.objects
		if err := again.Apply(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		if got := again.reports["service/drey"]; got != "up to date" {
			t.Errorf("report of an unchanged object: %q", got)
		}
	})
}

// TestApplyForeignObject checks that nothing is written beside an object of another owner.
func TestApplyForeignObject(t *testing.T) {
	all := stages(t)
	for _, kind := range []string{"ClusterRole", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"} {
		f := newFakeCluster(false)
		o := first(t, all, kind)
		f.foreign(o)
		err := f.Apply(t.Context(), all)
		if err == nil || !strings.Contains(err.Error(), "kubectl label "+o.String()+" "+nameLabel+"=drey") || len(f.writes) > 0 {
			t.Errorf("%s: error %v, writes %v", kind, err, f.writes)
		}
	}
	for _, kind := range []string{"Namespace", "Service"} { // merged into
		synctest.Test(t, func(t *testing.T) {
			f := newFakeCluster(false)
			f.foreign(first(t, all, kind))
			if err := f.Apply(t.Context(), all); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
		})
	}
}

// TestApplyNotReady checks that no webhook is installed before its server is ready, and that
// polls back off.
func TestApplyNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := stages(t)
		f := newFakeCluster(false)
		f.available = time.Hour
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		err := f.Apply(ctx, all)
		for _, want := range []string{"deployment/drey is not ready: 0 of 2 replicas are available", "nothing is denied", "drey install again", "deadline exceeded"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %q", err, want)
			}
		}
		if o := key(all[3].Objects[0]); f.objects[o] != nil {
			t.Errorf("%s applied before the server is ready", o)
		}
		if n := len(f.client.Actions()) - 2*len(keys(all)); n < 200 || n > 800 {
			t.Errorf("%d polls in 10 minutes, want one every 2 to 3 s", n)
		}
	})
}

func TestApplyDryRun(t *testing.T) {
	all := stages(t)
	f := newFakeCluster(true) // fails a write that is no dry run
	if err := f.Apply(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	if len(f.objects) > 0 || len(f.writes) != len(keys(all)) {
		t.Errorf("%d objects, %d of %d dry runs", len(f.objects), len(f.writes), len(keys(all)))
	}
	for object, want := range map[string]string{"namespace/drey-system": "would be applied", "deployment/drey": "would be applied; its namespace does not exist yet"} {
		if got := f.reports[object]; got != want {
			t.Errorf("%s: report %q, want %q", object, got, want)
		}
	}
}

func TestRolledOut(t *testing.T) {
	for rule, c := range map[string]struct{ object, want string }{
		"rolled out":                {`{"metadata":{"generation":2},"spec":{"replicas":2},"status":{"observedGeneration":2,"replicas":2,"updatedReplicas":2,"availableReplicas":2}}`, ""},
		"one replica by default":    {`{"metadata":{"generation":1},"spec":{},"status":{"observedGeneration":1,"replicas":1,"updatedReplicas":1,"availableReplicas":1}}`, ""},
		"no replicas":               {`{"metadata":{"generation":1},"spec":{"replicas":0},"status":{"observedGeneration":1}}`, ""},
		"no status":                 {`{"metadata":{"generation":1},"spec":{"replicas":2}}`, "the change is not observed yet"},
		"status of an older change": {`{"metadata":{"generation":3},"spec":{"replicas":2},"status":{"observedGeneration":2,"replicas":2,"updatedReplicas":2,"availableReplicas":2}}`, "the change is not observed yet"},
		"old replicas":              {`{"metadata":{"generation":2},"spec":{"replicas":2},"status":{"observedGeneration":2,"replicas":2,"updatedReplicas":1,"availableReplicas":2}}`, "1 of 2 replicas are updated"},
		"terminating replicas":      {`{"metadata":{"generation":2},"spec":{"replicas":2},"status":{"observedGeneration":2,"replicas":3,"updatedReplicas":2,"availableReplicas":2}}`, "replicas of the previous version are terminating: 1"},
		"unavailable replicas":      {`{"metadata":{"generation":2},"spec":{"replicas":2},"status":{"observedGeneration":2,"replicas":2,"updatedReplicas":2,"availableReplicas":1}}`, "1 of 2 replicas are available"},
	} {
		t.Run(rule, func(t *testing.T) {
			o := &unstructured.Unstructured{}
			if err := o.UnmarshalJSON([]byte(`{"apiVersion":"apps/v1","kind":"Deployment",` + c.object[1:])); err != nil {
				t.Fatal(err)
			}
			got := ""
			if err := rolledOut(o); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestRemove installs drey, and checks what Remove deletes, and when.
func TestRemove(t *testing.T) {
	for rule, c := range map[string]struct {
		removal Removal
		dryRun  bool
		kept    []string // kinds
	}{
		"registry is kept": {Removal{Namespace: bundle.Namespace}, false, []string{"CustomResourceDefinition"}},
		"purge":            {Removal{Namespace: bundle.Namespace, Purge: true}, false, nil},
		"admission only":   {Removal{Namespace: bundle.Namespace, AdmissionOnly: true}, false, nil},
		"dry run":          {Removal{Namespace: bundle.Namespace, Purge: true}, true, nil},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				all := stages(t)
				installed := newFakeCluster(false)
				if err := installed.Apply(t.Context(), all); err != nil {
					t.Fatal(err)
				}
				f := newFakeCluster(c.dryRun)
				f.objects, f.podsEnded = installed.objects, 10*time.Second
				registered := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace"}}
				registered.SetName("orders")
				registered.SetLabels(map[string]string{config.LabelRegistered: config.Registered})
				f.objects["namespaces//orders"] = registered
				before := len(f.objects)
				if _, err := f.Remove(t.Context(), c.removal); err != nil {
					t.Fatal(err)
				}
				switch {
				case c.dryRun:
					if len(f.objects) != before {
						t.Errorf("dry run: %d of %d objects left", len(f.objects), before)
					}
					return
				case c.removal.AdmissionOnly:
					for _, stage := range all {
						for _, o := range stage.Objects {
							if left := f.objects[key(o)] != nil; left == (stage.Name == bundle.Admission) {
								t.Errorf("%s of stage %s: left %t", o, stage.Name, left)
							}
						}
					}
					return
				}
				for k, o := range f.objects {
					if k != "namespaces//orders" && !slices.Contains(c.kept, o.GetKind()) {
						t.Errorf("%s is left", k)
					}
				}
				if got := f.objects["namespaces//orders"].GetLabels(); len(got) > 0 {
					t.Errorf("labels of a registered namespace: %v", got)
				}
				webhooks := f.secondsOf(t, "delete "+key(first(t, all, "MutatingWebhookConfiguration")))
				label := f.secondsOf(t, "patch namespaces//orders")
				account := f.secondsOf(t, "delete "+key(first(t, all, "ServiceAccount")))
				if webhooks != 0 || label < 10 || account < label {
					t.Errorf("webhooks after %.1f s, labels after %.1f s, RBAC after %.1f s; want 0, 10 when the pods are gone, and later", webhooks, label, account)
				}
			})
		})
	}
}

// TestRemoveNothing: an empty cluster has nothing to remove.
func TestRemoveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(false)
		if found, err := f.Remove(t.Context(), Removal{Namespace: bundle.Namespace}); err != nil || found {
			t.Errorf("got %t %v, want nothing found", found, err)
		}
		f.objects["services/drey-system/drey"] = first(t, stages(t), "Service").DeepCopy()
		if found, err := f.Remove(t.Context(), Removal{Namespace: bundle.Namespace}); err != nil || !found {
			t.Errorf("got %t %v, want the Service found", found, err)
		}
	})
}

// TestRemoveOutside: the webhooks of a drey outside the cluster are removed, with the
// instruction to stop it.
func TestRemoveOutside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(false)
		configuration := first(t, stages(t), "ValidatingWebhookConfiguration").DeepCopy()
		configuration.Object["webhooks"].([]any)[0].(map[string]any)["clientConfig"] = map[string]any{"url": "https://10.0.0.1:9443/x"}
		f.objects["validatingwebhookconfigurations//drey"] = configuration
		if _, err := f.Remove(t.Context(), Removal{Namespace: bundle.Namespace}); err != nil {
			t.Fatal(err)
		}
		if got := f.reports["https://10.0.0.1:9443"]; !strings.Contains(got, "stop it") || f.objects["validatingwebhookconfigurations//drey"] != nil {
			t.Errorf("got the report %q, want the configuration removed, and that drey has to be stopped", got)
		}
	})
}

// TestRemoveForeignObject checks that objects without drey's label are kept, and said so.
func TestRemoveForeignObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := stages(t)
		f := newFakeCluster(false)
		for _, kind := range []string{"ClusterRole", "Service", "MutatingWebhookConfiguration", "Namespace"} {
			f.foreign(first(t, all, kind))
		}
		before := slices.Sorted(maps.Keys(f.objects))
		if _, err := f.Remove(t.Context(), Removal{Namespace: bundle.Namespace, Purge: true}); err != nil {
			t.Fatal(err)
		}
		if left := slices.Sorted(maps.Keys(f.objects)); !slices.Equal(left, before) {
			t.Errorf("left %v of %v", left, before)
		}
		for _, object := range []string{"service/drey", "namespace/drey-system"} {
			if got := f.reports[object]; !strings.Contains(got, "kept: it lacks the label") {
				t.Errorf("%s: report %q", object, got)
			}
		}
		for _, created := range []string{"leases/drey-system/drey", "secrets/drey-system/drey-certs", "secrets/drey-system/drey-console", "configmaps/drey-system/drey-denials"} {
			f.secondsOf(t, "delete "+created)
		}
	})
}

// TestRemovePodsRun checks that Remove fails while pods of drey run, before it takes their
// permissions.
func TestRemovePodsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := stages(t)
		f := newFakeCluster(false)
		if err := f.Apply(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		f.podsEnded = time.Hour
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := f.Remove(ctx, Removal{Namespace: bundle.Namespace})
		if err == nil || !strings.Contains(err.Error(), "drey is not stopped: pods remain: kubectl get pods -n drey-system") {
			t.Errorf("error %v", err)
		}
		if o := first(t, all, "ServiceAccount"); f.objects[key(o)] == nil {
			t.Errorf("%s removed while pods run", o)
		}
	})
}
