package namespacelabels

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"

	"drey.dev/drey/webhook/config"
)

// fakes are a Labeler with a fake client and switchable facts about the namespace orders.
type fakes struct {
	*Labeler
	client *metadatafake.FakeMetadataClient

	mu               sync.Mutex
	target, admitted bool
}

// newClient returns a client whose cluster has the namespaces.
func newClient(t *testing.T, namespaces ...*metav1.PartialObjectMetadata) *metadatafake.FakeMetadataClient {
	t.Helper()
	scheme := metadatafake.NewTestScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	var objects []runtime.Object
	for _, n := range namespaces {
		objects = append(objects, n)
	}
	return metadatafake.NewSimpleMetadataClient(scheme, objects...)
}

// namespace returns a namespace with a value of [config.LabelRegistered]; empty: without it.
func namespace(name, value string) *metav1.PartialObjectMetadata {
	n := &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: metav1.ObjectMeta{Name: name, ResourceVersion: "7", Labels: map[string]string{"team": "a"}},
	}
	if value != "" {
		n.Labels[config.LabelRegistered] = value
	}
	return n
}

func newFakes(t *testing.T, target, admitted bool, namespaces ...*metav1.PartialObjectMetadata) *fakes {
	t.Helper()
	f := &fakes{client: newClient(t, namespaces...), target: target, admitted: admitted}
	read := func(fact *bool) func(string) bool {
		return func(string) bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			return *fact
		}
	}
	f.Labeler = New(Options{
		Client: f.client, HasTarget: read(&f.target), HasAdmitted: read(&f.admitted), Exclude: []string{"kube-system"}, Log: slog.New(slog.DiscardHandler),
	})
	return f
}

// set changes whether there is a target. It ends all admitted workloads.
func (f *fakes) set(target bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.target, f.admitted = target, false
}

// start runs the Labeler until stop, or the end of the test.
func (f *fakes) start(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	wait.Go(func() {
		if err := f.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	return func() {
		cancel()
		wait.Wait()
		synctest.Wait()
	}
}

// after lets time pass, and checks the label of a namespace.
func (f *fakes) after(t *testing.T, d time.Duration, name, want string) {
	t.Helper()
	time.Sleep(d)
	synctest.Wait()
	n, err := f.client.Resource(namespaces).Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := n.Labels[config.LabelRegistered]; got != want {
		t.Errorf("after %v: label %q, want %q", d, got, want)
	}
	if n.Labels["team"] != "a" {
		t.Errorf("another label was changed: %v", n.Labels)
	}
}

// patches returns the number of patches since the last call.
func (f *fakes) patches() (n int) {
	for _, a := range f.client.Actions() {
		if a.GetVerb() == "patch" {
			n++
		}
	}
	f.client.ClearActions()
	return n
}

func TestLabelerReconcile(t *testing.T) {
	const registered, draining = config.Registered, config.Draining
	for rule, c := range map[string]struct {
		name             string
		have             string
		target, admitted bool
		terminating      bool
		want             string
	}{
		"target":                                     {"orders", "", true, false, false, registered},
		"target of a registered namespace":           {"orders", registered, true, true, false, registered},
		"target of a draining namespace":             {"orders", draining, true, true, false, registered},
		"no target":                                  {"orders", "", false, false, false, ""},
		"labeled workloads prove no admission":       {"orders", "", false, true, false, ""},
		"unknown value with labeled workloads":       {"orders", "maybe", false, true, false, ""},
		"target deleted":                             {"orders", registered, false, false, false, ""},
		"target deleted, admitted workloads":         {"orders", registered, false, true, false, draining},
		"draining, admitted workloads":               {"orders", draining, false, true, false, draining},
		"draining, no workloads":                     {"orders", draining, false, false, false, ""},
		"excluded namespace is not labeled":          {"kube-system", "", true, false, false, ""},
		"label of an excluded namespace is kept":     {"kube-system", registered, false, false, false, registered},
		"label of a terminating namespace is kept":   {"orders", registered, false, false, true, registered},
		"terminating namespace is not labeled":       {"orders", "", true, false, true, ""},
		"registered and excluded, admitted workload": {"kube-system", registered, false, true, false, registered},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := namespace(c.name, c.have)
				if c.terminating {
					n.DeletionTimestamp, n.Finalizers = new(metav1.Now()), []string{"kubernetes"}
				}
				f := newFakes(t, c.target, c.admitted, n)
				f.start(t)
				f.after(t, 2*unregisterDelay, c.name, c.want)
				wantPatches := 0
				if c.have != c.want {
					wantPatches = 1
				}
				if got := f.patches(); got != wantPatches {
					t.Errorf("%d patches, want %d", got, wantPatches)
				}
			})
		})
	}
}

// TestLabelerUnregisterDelay checks that a label outlives its target for unregisterDelay, and
// that a target within it keeps the label.
func TestLabelerUnregisterDelay(t *testing.T) {
	t.Run("no target", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFakes(t, false, false, namespace("orders", config.Registered))
			f.start(t)
			f.after(t, unregisterDelay-time.Millisecond, "orders", config.Registered)
			f.after(t, time.Second, "orders", "")
		})
	})
	t.Run("target returns within the delay", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFakes(t, false, false, namespace("orders", config.Registered))
			f.start(t)
			f.after(t, unregisterDelay-time.Millisecond, "orders", config.Registered)
			f.set(true)
			f.Enqueue("orders")
			f.after(t, 10*time.Second, "orders", config.Registered)
			f.set(false) // the delay starts again
			f.Enqueue("orders")
			f.after(t, unregisterDelay-time.Millisecond, "orders", config.Registered)
			f.after(t, time.Second, "orders", "")
		})
	})
}

// TestLabelerDraining checks that a draining namespace is checked again although no event
// announces the end of its last workload.
func TestLabelerDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, false, true, namespace("orders", config.Registered))
		f.start(t)
		f.after(t, 2*unregisterDelay, "orders", config.Draining)
		f.after(t, time.Hour, "orders", config.Draining)
		if got := f.patches(); got != 1 {
			t.Errorf("%d patches in an hour, want 1", got)
		}
		f.set(false)
		f.after(t, drainingInterval+time.Second, "orders", "")
	})
}

// TestLabelerRetries checks the backoff of failed patches: 100 ms, doubled up to a minute.
func TestLabelerRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, true, false, namespace("orders", ""))
		var fails atomic.Bool
		fails.Store(true)
		f.client.PrependReactor("patch", "namespaces", func(clienttesting.Action) (bool, runtime.Object, error) {
			return fails.Load(), nil, apierrors.NewInternalError(errors.New("etcd is down"))
		})
		f.start(t)
		f.after(t, 1750*time.Millisecond, "orders", "")
		if got := f.patches(); got != 5 { // 0, 0.1, 0.3, 0.7 and 1.5 s after the list
			t.Errorf("%d attempts in 1.75 s, want 5", got)
		}
		f.after(t, time.Hour, "orders", "")
		if got := f.patches(); got < 55 || got > 70 {
			t.Errorf("%d attempts in an hour, want one a minute", got)
		}
		fails.Store(false)
		f.after(t, time.Minute, "orders", config.Registered)
		f.after(t, time.Hour, "orders", config.Registered)
		if got := f.patches(); got != 1 {
			t.Errorf("%d patches after the first that succeeded, want none", got-1)
		}
	})
}

// TestLabelerLeaderChange checks that a Labeler that leads again starts from the cluster, and
// that one that does not lead writes nothing.
func TestLabelerLeaderChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, false, false, namespace("orders", config.Registered))
		stop := f.start(t)
		f.after(t, unregisterDelay-time.Millisecond, "orders", config.Registered)
		stop()
		f.Enqueue("orders")
		f.after(t, time.Hour, "orders", config.Registered)
		stop = f.start(t) // the delay starts again: this replica's index may be behind
		f.after(t, unregisterDelay-time.Millisecond, "orders", config.Registered)
		f.after(t, time.Second, "orders", "")
		stop()
		f.set(true)
		f.start(t)
		f.after(t, time.Second, "orders", config.Registered)
	})
}

func TestSetRegistered(t *testing.T) {
	down := apierrors.NewServiceUnavailable("etcd is down")
	for rule, c := range map[string]struct {
		name        string
		patch, get  error
		wantLabel   string
		wantErr     bool
		wantPatches int
		wantWait    time.Duration
	}{
		"waits for the policies":                    {"orders", nil, nil, config.Registered, false, 1, policyPropagationDelay},
		"no namespace":                              {"missing", nil, nil, "", false, 1, 0},
		"excluded namespace":                        {"kube-system", nil, nil, "", false, 0, 0},
		"patch fails":                               {"orders", down, nil, "", true, 1, 0},
		"watch cache not read":                      {"orders", nil, down, config.Registered, true, 1, 0},
		"namespace deleted before the policies see": {"orders", nil, apierrors.NewNotFound(namespaces.GroupResource(), "orders"), config.Registered, false, 1, 0},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakes(t, true, false, namespace("orders", ""), namespace("kube-system", ""))
				get := c.get
				f.client.PrependReactor("get", "namespaces", func(clienttesting.Action) (bool, runtime.Object, error) { return get != nil, nil, get })
				f.client.PrependReactor("patch", "namespaces", func(clienttesting.Action) (bool, runtime.Object, error) { return c.patch != nil, nil, c.patch })
				start := time.Now()
				err := f.SetRegistered(t.Context(), c.name)
				if (err != nil) != c.wantErr {
					t.Errorf("error %v", err)
				}
				if got := time.Since(start); got != c.wantWait {
					t.Errorf("took %v, want %v", got, c.wantWait)
				}
				if got := f.patches(); got != c.wantPatches {
					t.Errorf("%d patches, want %d", got, c.wantPatches)
				}
				if get = nil; c.name != "missing" {
					f.after(t, 0, c.name, c.wantLabel)
				}
			})
		})
	}
}

// TestSetRegisteredConcurrentWrite checks that a label is not set while the controller
// decides and writes, and that the wait for it ends with the request.
func TestSetRegisteredConcurrentWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakes(t, false, false, namespace("orders", config.Draining))
		release := make(chan struct{})
		f.client.PrependReactor("patch", "namespaces", func(clienttesting.Action) (bool, runtime.Object, error) {
			<-release
			return false, nil, nil
		})
		f.start(t)
		time.Sleep(time.Second)
		synctest.Wait() // the controller removes the label
		f.set(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := f.SetRegistered(ctx, "orders"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want the deadline", err)
		}
		done := make(chan error, 1)
		go func() { done <- f.SetRegistered(t.Context(), "orders") }()
		synctest.Wait()
		close(release)
		if err := <-done; err != nil {
			t.Error(err)
		}
		f.after(t, time.Minute, "orders", config.Registered)
	})
}

func TestCacheHadTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newClient(t, namespace("registered", config.Registered), namespace("draining", config.Draining), namespace("other", ""), namespace("unknown", "maybe"))
		c, err := NewCache(client, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if c.Synced() || c.HadTarget("registered") {
			t.Error("synced before Run")
		}
		go c.Run(t.Context())
		time.Sleep(time.Second)
		synctest.Wait()
		if !c.Synced() {
			t.Fatal("not synced")
		}
		for name, want := range map[string]bool{"registered": true, "draining": true, "other": false, "unknown": false, "missing": false} {
			if got := c.HadTarget(name); got != want {
				t.Errorf("%s: %t, want %t", name, got, want)
			}
		}
		if err := client.Resource(namespaces).Delete(t.Context(), "draining", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if c.HadTarget("draining") {
			t.Error("a deleted namespace stays in the cache")
		}
	})
}

// TestCacheAwaitRegistered checks that the wait ends with the label and the delay of the
// policies, and at once for a namespace that has the label for longer.
func TestCacheAwaitRegistered(t *testing.T) {
	for rule, c := range map[string]struct {
		name string
		want time.Duration
	}{
		"registered before": {"registered", 0},
		"registered later":  {"new", 500*time.Millisecond + policyPropagationDelay},
		"not registered":    {"other", time.Second},
		"no such namespace": {"missing", time.Second},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := newClient(t, namespace("registered", config.Registered), namespace("other", ""))
				cache, err := NewCache(client, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				go cache.Run(t.Context())
				time.Sleep(time.Second)
				synctest.Wait()
				go func() {
					time.Sleep(500 * time.Millisecond)
					if err := client.Tracker().Create(namespaces, namespace("new", config.Registered), ""); err != nil {
						t.Error(err)
					}
				}()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start := time.Now()
				cache.AwaitRegistered(ctx, c.name)
				if got := time.Since(start); got != c.want {
					t.Errorf("waited %v, want %v", got, c.want)
				}
				time.Sleep(time.Second)
			})
		})
	}
}

// TestTrim checks the fields that stay of a namespace. A relist trims again what a cache has, and
// gives tombstones.
func TestTrim(t *testing.T) {
	now := metav1.Now()
	namespace := func(registered string, deletion *metav1.Time) *metav1.PartialObjectMetadata {
		return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Name: "orders", ResourceVersion: "7", Labels: map[string]string{config.LabelRegistered: registered, "team": "a"}, DeletionTimestamp: deletion,
		}}
	}
	for rule, c := range map[string]struct {
		object *metav1.PartialObjectMetadata
		want   entry
	}{
		"registered":  {namespace(config.Registered, nil), entry{"orders", "7", config.Registered, false}},
		"draining":    {namespace(config.Draining, nil), entry{"orders", "7", config.Draining, false}},
		"other value": {namespace("mine", nil), entry{"orders", "7", "mine", false}},
		"terminating": {namespace("", &now), entry{"orders", "7", "", true}},
	} {
		once, err := trim(c.object)
		if e, ok := once.(*entry); err != nil || !ok || *e != c.want || e.GetObjectMeta().GetName() != "orders" {
			t.Errorf("%s: got %+v, %v, want %+v", rule, once, err, c.want)
		}
		if again, err := trim(once); err != nil || again != once {
			t.Errorf("%s: trimmed again: %+v, %v", rule, again, err)
		}
	}
	tombstone := cache.DeletedFinalStateUnknown{Key: "orders"}
	if got, err := trim(tombstone); err != nil || got != any(tombstone) {
		t.Errorf("tombstone: %+v, %v", got, err)
	}
}
