package repair

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/verdict"
)

// fakeState has one target, of the namespace orders.
type fakeState struct{}

func (fakeState) Targets(namespace string) []registry.Target {
	if namespace != "orders" {
		return nil
	}
	return []registry.Target{{PlatformNamespace: "team-a", Name: "t"}}
}

func (fakeState) ByID(string) (registry.Registered, bool) { return registry.Registered{}, false }
func (fakeState) Linked(registry.Kind, string, string, string, string) (registry.Registered, bool) {
	return registry.Registered{}, false
}
func (fakeState) HadTarget(string) bool                        { return false }
func (fakeState) HasUID(string) bool                           { return false }
func (fakeState) Cluster(string, string) (flink.Cluster, bool) { return flink.Cluster{}, false }

// noOwners finds no owners.
type noOwners struct{}

func (noOwners) Of(context.Context, *flink.Object) ([]flink.Owner, bool) { return nil, true }
func (noOwners) VerifyTemplate(_ context.Context, _ string, o flink.Owner, _ func(string, string, []byte) bool) flink.Owner {
	return o
}

// fakes are a Repairer on a cluster of fake clients.
type fakes struct {
	*Repairer
	metadata *metadatafake.FakeMetadataClient
	objects  *dynamicfake.FakeDynamicClient

	mu      sync.Mutex
	version int
	patches []time.Duration // since the start
	scans   []time.Duration
	events  []Event
	fail    error // of patches
}

func newFakes(t *testing.T, options Options) *fakes {
	t.Helper()
	scheme := metadatafake.NewTestScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	lists := map[schema.GroupVersionResource]string{pods: "PodList"}
	for _, s := range sources {
		lists[s.resource] = s.kind + "List"
	}
	f := &fakes{metadata: metadatafake.NewSimpleMetadataClient(scheme), objects: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), lists)}
	start := time.Now()
	f.metadata.PrependReactor("patch", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.patches = append(f.patches, time.Since(start))
		if f.fail != nil {
			return true, nil, f.fail
		}
		patch := a.(clienttesting.PatchActionImpl)
		patch.Patch = fmt.Appendf(patch.Patch[:len(patch.Patch)-1], `,{"op":"replace","path":"/metadata/resourceVersion","value":%q}]`, f.nextVersion())
		_, patched, err := clienttesting.ObjectReaction(f.metadata.Tracker())(patch)
		if err != nil {
			return true, nil, err
		}
		m := patched.(*metav1.PartialObjectMetadata) // the other client has the same objects
		o, err := f.objects.Tracker().Get(a.GetResource(), m.Namespace, m.Name)
		if err != nil {
			return true, nil, err
		}
		o.(*unstructured.Unstructured).SetLabels(m.Labels)
		o.(*unstructured.Unstructured).SetResourceVersion(m.ResourceVersion)
		return true, patched, f.objects.Tracker().Update(a.GetResource(), o, m.Namespace)
	})
	options.Inspector = &Inspector{Client: f.objects, Metadata: f.metadata, Owners: noOwners{}, Known: fakeState{}, Exclude: []string{"kube-system"}}
	options.Pods, options.Log = f.metadata, slog.New(slog.DiscardHandler)
	options.HasTarget = func(namespace string) bool { return namespace == "orders" }
	options.Namespaces = func() []string {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.scans = append(f.scans, time.Since(start))
		return []string{"orders"}
	}
	options.Observe = func(e Event) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.events = append(f.events, e)
	}
	f.Repairer = New(options)
	return f
}

// nextVersion returns a new resourceVersion. The fake clients set none in objects, and listwatch
// takes a lower one than before for a restored etcd.
func (f *fakes) nextVersion() string {
	f.version++
	return strconv.Itoa(1000 + f.version)
}

// start runs the Repairer until stop, or the end of the test.
func (f *fakes) start(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	wait.Go(func() { f.Run(ctx) })
	return func() {
		cancel()
		wait.Wait()
	}
}

// create creates an object in both clients.
func (f *fakes) create(t *testing.T, resource schema.GroupVersionResource, o *unstructured.Unstructured) {
	t.Helper()
	f.mu.Lock()
	o.SetResourceVersion(f.nextVersion())
	f.mu.Unlock()
	if err := f.objects.Tracker().Create(resource, o, o.GetNamespace()); err != nil {
		t.Fatal(err)
	}
	m := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: o.GetAPIVersion(), Kind: o.GetKind()}, ObjectMeta: metav1.ObjectMeta{
		Namespace: o.GetNamespace(), Name: o.GetName(), UID: o.GetUID(), ResourceVersion: o.GetResourceVersion(), Labels: o.GetLabels(), DeletionTimestamp: o.GetDeletionTimestamp(), Finalizers: o.GetFinalizers(),
	}}
	if err := f.metadata.Tracker().Create(resource, m, o.GetNamespace()); err != nil {
		t.Fatal(err)
	}
}

// pod returns a pod. A pod with labels of native Flink is a JobManager.
func pod(namespace, name string, labels map[string]string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"spec": map[string]any{"containers": []any{map[string]any{"name": "flink-main-container", "image": "flink:2.2"}}},
	}}
	o.SetNamespace(namespace)
	o.SetName(name)
	o.SetUID(types.UID("uid-" + name))
	o.SetLabels(labels)
	return o
}

func flinkLabels() map[string]string {
	return map[string]string{"app": "clicks", "component": "jobmanager", "type": "flink-native-kubernetes"}
}

// after lets time pass, and returns the number of attempts to label an object since the last
// call.
func (f *fakes) after(d time.Duration) int {
	time.Sleep(d)
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.patches)
	f.patches = nil
	return n
}

// gets returns the number of pods that were read since the last call.
func (f *fakes) gets() (n int) {
	for _, a := range f.objects.Actions() {
		if a.GetVerb() == "get" && a.GetResource() == pods {
			n++
		}
	}
	f.objects.ClearActions()
	return n
}

func (f *fakes) failWith(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = err
}

// isLabeled reports whether an object has drey's labels.
func (f *fakes) isLabeled(t *testing.T, resource schema.GroupVersionResource, namespace, name string) bool {
	t.Helper()
	m, err := f.metadata.Resource(resource).Namespace(namespace).Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return m.Labels[verdict.LabelSystem] == verdict.System && m.Labels[verdict.LabelPlatformNamespace] == "team-a"
}

func TestRepairPod(t *testing.T) {
	terminating := pod("orders", "p", flinkLabels())
	terminating.SetDeletionTimestamp(new(metav1.Now()))
	terminating.SetFinalizers([]string{"example.com/hold"})
	other := pod("orders", "p", map[string]string{"app": "web"})
	other.Object["spec"] = map[string]any{"containers": []any{map[string]any{"name": "web", "image": "nginx"}}}
	for rule, c := range map[string]struct {
		pod                *unstructured.Unstructured
		labeled, misplaced bool
		read               bool
	}{
		"Flink":                       {pod("orders", "p", flinkLabels()), true, false, true},
		"other pod":                   {other, false, false, true},
		"terminating":                 {terminating, false, false, false},
		"no target":                   {pod("sandbox", "p", flinkLabels()), false, true, true},
		"no target, no label of it":   {pod("sandbox", "p", map[string]string{"app": "web"}), false, false, false},
		"excluded namespace":          {pod("kube-system", "p", flinkLabels()), false, false, false},
		"identity of another cluster": {pod("orders", "p", map[string]string{"app": "clicks", "component": "jobmanager", "type": "flink-native-kubernetes", verdict.LabelPlatformNamespace: "team-b"}), false, true, true},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakes(t, Options{})
				f.start(t)
				f.after(30 * time.Second) // after the first scans
				f.gets()
				f.create(t, pods, c.pod)
				if n := f.after(settleDelay - time.Millisecond); n > 0 || f.gets() > 0 {
					t.Error("not coalesced with the updates after its creation")
				}
				n := f.after(time.Second)
				if labeled := f.isLabeled(t, pods, c.pod.GetNamespace(), "p"); labeled != c.labeled || (n > 0) != c.labeled {
					t.Errorf("labeled %t, %d patches", labeled, n)
				}
				if n := f.gets(); (n > 0) != c.read {
					t.Errorf("%d reads", n)
				}
				f.mu.Lock()
				defer f.mu.Unlock()
				switch {
				case !c.labeled && !c.misplaced:
					if len(f.events) > 0 {
						t.Errorf("events %+v", f.events)
					}
				case len(f.events) == 0 || f.events[0].Name != "p" || (len(f.events[0].Labeled) > 0) != c.labeled || f.events[0].Verdict.Allowed == c.misplaced:
					t.Errorf("events %+v", f.events)
				}
			})
		})
	}
}

// unlabeledPods returns the number of pods that the Repairer has failed to label.
func (f *fakes) unlabeledPods() int {
	f.Repairer.mu.Lock()
	defer f.Repairer.mu.Unlock()
	return len(f.unlabeled)
}

// TestRepairBackoff checks the retries of a failed patch: after a second, doubled up to five
// minutes.
func TestRepairBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, Options{Interval: 1000 * time.Hour})
		f.create(t, pods, pod("orders", "p", flinkLabels()))
		f.failWith(apierrors.NewInternalError(errors.New("etcd is down")))
		f.start(t)
		if n := f.after(settleDelay + 15*time.Second + 500*time.Millisecond); n != 5 { // after 0, 1, 3, 7 and 15 s
			t.Errorf("%d attempts within 15.5 s, want 5", n)
		}
		f.mu.Lock()
		if len(f.events) > 0 {
			t.Errorf("events %+v of a pod that is not labeled", f.events)
		}
		f.mu.Unlock()
		if got := f.unlabeledPods(); got != 1 {
			t.Errorf("drey_unlabeled_pods: %d, want 1", got)
		}
		f.after(time.Hour)
		if n := f.after(time.Hour); n < 10 || n > 14 {
			t.Errorf("%d attempts in the second hour, want one every 5 minutes", n)
		}
		f.failWith(nil)
		f.after(5 * time.Minute)
		if !f.isLabeled(t, pods, "orders", "p") || f.unlabeledPods() > 0 {
			t.Errorf("not labeled after the failure: drey_unlabeled_pods: %d", f.unlabeledPods())
		}
	})
}

// TestRepairRate checks that repairs are limited to Options.PerSecond.
func TestRepairRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, Options{PerSecond: 2})
		for i := range 20 {
			f.create(t, pods, pod("orders", fmt.Sprintf("p%d", i), flinkLabels()))
		}
		f.start(t)
		if n := f.after(settleDelay + 3*time.Second + time.Millisecond); n < 6 || n > 8 { // 2 at once, then 2 a second
			t.Errorf("%d repairs within 3 s, want 8", n)
		}
		if n := f.after(time.Minute); n < 12 {
			t.Errorf("%d more repairs", n)
		}
	})
}

// TestDefaultRates checks the rates of pods to label and of checks, and that Options.PerSecond bounds
// both. The fake clients cannot deliver the events of 200 patches at once.
func TestDefaultRates(t *testing.T) {
	for perSecond, want := range map[float64][2]rate.Limit{0: {200, 50}, 100: {100, 50}, 10: {10, 10}} {
		r := New(Options{PerSecond: perSecond})
		if got := [2]rate.Limit{r.limit.Limit(), r.checks.Limit()}; got != want {
			t.Errorf("PerSecond %v: got %v for pods and checks, want %v", perSecond, got, want)
		}
	}
}

// TestCheckRate: pods that drey has labeled are read at 50 a second, so that a new leader does not
// compete with admission.
func TestCheckRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, Options{})
		for i := range 500 {
			f.create(t, pods, pod("orders", fmt.Sprint("labeled-", i), map[string]string{
				verdict.LabelKind: "Deployment", verdict.LabelSystem: verdict.System, verdict.LabelPlatformNamespace: "team-a", verdict.LabelDeploymentID: fmt.Sprint("id-", i), "app": "clicks", "component": "jobmanager", "type": "flink-native-kubernetes",
			}))
		}
		stop := f.start(t)
		defer stop()
		time.Sleep(settleDelay + 4*time.Second + time.Millisecond)
		synctest.Wait()
		reads := 0
		for _, a := range f.objects.Actions() {
			if a.Matches("get", "pods") {
				reads++
			}
		}
		if reads < 200 || reads > 250 { // 50 at once, then 50 a second
			t.Errorf("%d reads within 4 s, want 250", reads)
		}
	})
}

// TestCheckedTTL checks how long a pod that needs no repair is not read again: its spec does
// not change, but its job id may become known.
func TestCheckedTTL(t *testing.T) {
	other := pod("orders", "p", map[string]string{"app": "web"})
	other.Object["spec"] = map[string]any{"containers": []any{map[string]any{"name": "web", "image": "nginx"}}}
	for rule, c := range map[string]struct {
		pod *unstructured.Unstructured
		ttl time.Duration
	}{"not Flink": {other, specTTL}, "labeled": {pod("orders", "p", flinkLabels()), jobTTL}} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakes(t, Options{Interval: 1000 * time.Hour})
				f.create(t, pods, c.pod)
				f.start(t)
				f.after(30 * time.Second)
				update := func() {
					t.Helper()
					m, err := f.metadata.Resource(pods).Namespace("orders").Get(t.Context(), "p", metav1.GetOptions{})
					if err != nil {
						t.Fatal(err)
					}
					m.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
					f.mu.Lock()
					m.ResourceVersion = f.nextVersion()
					f.mu.Unlock()
					if err := f.metadata.Tracker().Update(pods, m, "orders"); err != nil {
						t.Fatal(err)
					}
				}
				update() // of a labeled pod: fills the cache
				f.after(2 * settleDelay)
				f.gets()
				f.after(c.ttl - 45*time.Second)
				update()
				f.after(2 * settleDelay)
				if n := f.gets(); n > 0 {
					t.Errorf("%d reads within the TTL", n)
				}
				f.after(time.Minute)
				update()
				f.after(2 * settleDelay)
				if n := f.gets(); n != 1 {
					t.Errorf("%d reads after the TTL, want 1", n)
				}
			})
		})
	}
}

// TestScanIntervals checks when all namespaces are scanned: at the start, a minute later, and
// then every interval, with jitter.
func TestScanIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, Options{})
		f.start(t)
		f.after(3 * time.Hour)
		f.mu.Lock()
		defer f.mu.Unlock()
		for i, scan := range f.scans {
			lowest := []time.Duration{0, secondScanDelay}
			want := 30 * time.Minute
			if i < len(lowest) {
				want = lowest[i]
			}
			var before time.Duration
			if i > 0 {
				before = f.scans[i-1]
			}
			if took := scan - before; took < want || took > want+want/5 {
				t.Errorf("scan %d after %v, want %v to %v", i, took, want, want+want/5)
			}
		}
		if n := len(f.scans); n < 6 || n > 7 {
			t.Errorf("%d scans in 3 hours", n)
		}
	})
}

// TestRescan checks that an object other than a pod is labeled after the repair of a pod of
// its namespace, and when its namespace gets a target.
func TestRescan(t *testing.T) {
	services := schema.GroupVersionResource{Version: "v1", Resource: "services"}
	service := func() *unstructured.Unstructured {
		o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Service"}}
		o.SetNamespace("orders")
		o.SetName("clicks-rest")
		o.SetUID("uid-service")
		o.SetLabels(map[string]string{"app": "clicks", "type": "flink-native-kubernetes", "component": "jobmanager"})
		return o
	}
	for rule, c := range map[string]struct {
		trigger func(*testing.T, *fakes)
		delay   time.Duration
	}{
		"nothing":        {func(*testing.T, *fakes) {}, 0},
		"repair":         {func(t *testing.T, f *fakes) { f.create(t, pods, pod("orders", "p", flinkLabels())) }, settleDelay + rescanDelay},
		"new target":     {func(_ *testing.T, f *fakes) { f.EnqueueNamespace("orders") }, time.Millisecond},
		"new cluster":    {func(_ *testing.T, f *fakes) { f.EnqueueCluster("orders") }, clusterDelay},
		"no target":      {func(_ *testing.T, f *fakes) { f.EnqueueNamespace("sandbox") }, 0},
		"other excluded": {func(_ *testing.T, f *fakes) { f.EnqueueNamespace("kube-system") }, 0},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakes(t, Options{Interval: 1000 * time.Hour})
				f.start(t)
				f.after(5 * time.Minute) // after the first scans
				f.create(t, services, service())
				c.trigger(t, f)
				if c.delay > time.Second {
					f.after(c.delay - 500*time.Millisecond)
					if f.isLabeled(t, services, "orders", "clicks-rest") {
						t.Error("labeled before the delay")
					}
				}
				f.after(time.Hour)
				if got := f.isLabeled(t, services, "orders", "clicks-rest"); got != (c.delay > 0) {
					t.Errorf("labeled: %t", got)
				}
			})
		})
	}
}

// TestRepairLeaderChange checks that a Repairer writes only while it leads, and finds what was
// missed when it leads again.
func TestRepairLeaderChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, Options{})
		stop := f.start(t)
		f.after(time.Second)
		stop()
		f.create(t, pods, pod("orders", "p", flinkLabels()))
		f.EnqueueNamespace("orders")
		if n := f.after(time.Hour); n > 0 {
			t.Errorf("%d patches of a replica that does not lead", n)
		}
		f.start(t)
		f.after(time.Minute)
		if !f.isLabeled(t, pods, "orders", "p") {
			t.Error("not labeled after the replica leads again")
		}
	})
}

// TestLabelErrors checks which failures of a patch are retried with a new inspection.
func TestLabelErrors(t *testing.T) {
	group := pods.GroupResource()
	for rule, c := range map[string]struct {
		err     error
		changed bool
		want    bool // an error
	}{
		"labeled":  {nil, false, false},
		"deleted":  {apierrors.NewNotFound(group, "p"), false, false},
		"conflict": {apierrors.NewConflict(group, "p", errors.New("version")), true, true},
		"invalid":  {apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, "p", nil), true, true},
		"down":     {apierrors.NewInternalError(errors.New("etcd is down")), false, true},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakes(t, Options{})
				f.create(t, pods, pod("orders", "p", flinkLabels()))
				finding, ok, err := f.o.Inspector.Pod(t.Context(), "orders", "p")
				if !ok || err != nil {
					t.Fatal(ok, err)
				}
				f.failWith(c.err)
				err = f.o.Inspector.Label(t.Context(), finding)
				if (err != nil) != c.want || errors.Is(err, ErrChanged) != c.changed {
					t.Errorf("error %v", err)
				}
			})
		})
	}
}

func TestFailures(t *testing.T) {
	first := errors.New("first")
	for want, all := range map[string][]error{
		"":                            {nil, nil},
		"first":                       {nil, first, nil},
		"first (and 2 more failures)": {first, errors.New("second"), nil, errors.New("third")},
	} {
		var f failures
		for _, err := range all {
			f.add(err)
		}
		got := ""
		if err := f.err(); err != nil {
			got = err.Error()
		}
		if got != want || want != "" && !errors.Is(f.err(), first) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestLooksLikeFlink(t *testing.T) {
	for _, c := range []struct {
		label, value string
		want         bool
	}{
		{"component", "jobmanager", true}, {"component", "taskmanager", true}, {"component", "worker", false},
		{"type", "flink-native-kubernetes", true}, {"type", "flink-standalone-kubernetes", true}, {"type", "x", false},
		{"app.kubernetes.io/name", "flink", true}, {"app.kubernetes.io/name", "web", false}, {"flink-app", "x", true}, {"app", "flink", false},
	} {
		if got := looksLikeFlink(map[string]string{c.label: c.value}); got != c.want {
			t.Errorf("%s=%s: %t", c.label, c.value, got)
		}
	}
}

// TestSources checks that owners are scanned before their dependents.
func TestSources(t *testing.T) {
	index := func(kind string) int { return slices.IndexFunc(sources, func(s source) bool { return s.kind == kind }) }
	order := []string{"FlinkDeployment", "Deployment", "StatefulSet", "Job", "Service", "ConfigMap"}
	if !slices.IsSortedFunc(order, func(a, b string) int { return index(a) - index(b) }) {
		t.Errorf("order of %v", order)
	}
}

// TestRepairPriority: pods without labels do not wait for the checks of many pods that drey has
// labeled, each of which takes a share of the rate limit.
func TestRepairPriority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, Options{PerSecond: 10})
		for i := range 500 { // applications whose job id is not known
			f.create(t, pods, pod("orders", fmt.Sprint("labeled-", i), map[string]string{
				verdict.LabelSystem: verdict.System, verdict.LabelPlatformNamespace: "team-a", verdict.LabelDeploymentID: fmt.Sprint("id-", i), "app": "clicks", "component": "jobmanager", "type": "flink-native-kubernetes",
			}))
		}
		stop := f.start(t)
		defer stop()
		time.Sleep(5 * time.Second)
		f.create(t, pods, pod("orders", "unlabeled", flinkLabels()))
		time.Sleep(settleDelay + 3*time.Second) // the checks alone take 50 s
		synctest.Wait()
		if !f.isLabeled(t, pods, "orders", "unlabeled") {
			t.Error("the pod waits for the checks")
		}
	})
}
