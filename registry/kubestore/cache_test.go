package kubestore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore/internal/codec"
	v1 "drey.dev/drey/registry/kubestore/v1"
)

// fakeStore is a Store whose watches the test feeds.
type fakeStore struct {
	*Store
	t      *testing.T
	events []string // of targets: change name id
}

func newFakeStore(t *testing.T) *fakeStore {
	t.Helper()
	f := &fakeStore{t: t, Store: &Store{objectCache: newObjectCache(), log: slog.New(slog.DiscardHandler)}}
	if err := f.Watch(t.Context(), registry.DeploymentTarget, func(e registry.Event) {
		f.events = append(f.events, fmt.Sprintf("%v %s %s", e.Change, e.Object.Metadata.Name, e.Object.Metadata.ID))
	}); err != nil {
		t.Fatal(err)
	}
	return f
}

// watch returns the store of the reflector of targets.
func (f *fakeStore) watch() reflectorStore {
	return reflectorStore{f.objectCache, codec.Resources[registry.DeploymentTarget]}
}

// receive delivers objects by the watch of targets.
func (f *fakeStore) receive(objects ...codec.Object) {
	f.t.Helper()
	for _, o := range objects {
		if err := f.watch().Update(o); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *fakeStore) delete(o codec.Object) {
	f.t.Helper()
	if err := f.watch().Delete(o); err != nil {
		f.t.Fatal(err)
	}
}

// relist delivers a list of targets.
func (f *fakeStore) relist(version string, objects ...codec.Object) {
	f.t.Helper()
	var list []any
	for _, o := range objects {
		list = append(list, o)
	}
	if err := f.watch().Replace(list, version); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fakeStore) receiveNamespace(name string, change func(*metav1.PartialObjectMetadata)) {
	f.t.Helper()
	n := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name), ResourceVersion: "1"}}
	change(n)
	if err := (namespaceReflectorStore{f.objectCache}).Update(n); err != nil {
		f.t.Fatal(err)
	}
}

// shownAs returns the targets as the registry shows them: name id, in order.
func (f *fakeStore) shownAs() string {
	var all []string
	for _, o := range f.list(registry.DeploymentTarget, "") {
		all = append(all, o.Metadata.Name+" "+o.Metadata.ID)
	}
	return strings.Join(all, ", ")
}

// target returns a target of platform namespace team-a. Its name in REST is name, and its age
// is in seconds.
func target(uid, name string, age, version int, change ...func(*v1.DeploymentTarget)) *v1.DeploymentTarget {
	created := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(-time.Duration(age) * time.Second)
	o := &v1.DeploymentTarget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: "object-" + uid, UID: types.UID(uid), ResourceVersion: strconv.Itoa(version), CreationTimestamp: metav1.NewTime(created)},
		Spec:       v1.DeploymentTargetSpec{Name: name},
	}
	o.Spec.Kubernetes.Namespace = "orders"
	for _, c := range change {
		c(o)
	}
	return o
}

func terminating(o *v1.DeploymentTarget) { o.DeletionTimestamp = new(metav1.Now()) }

func withID(id string) func(*v1.DeploymentTarget) {
	return func(o *v1.DeploymentTarget) { o.Annotations = map[string]string{v1.AnnotationID: id} }
}

const (
	uid1 = "11111111-1111-4111-8111-111111111111"
	uid2 = "22222222-2222-4222-8222-222222222222"
	uid3 = "33333333-3333-4333-8333-333333333333"
)

// TestNameOwner checks which of several objects with one name or id the registry shows, in
// any order of delivery.
func TestNameOwner(t *testing.T) {
	for rule, c := range map[string]struct {
		objects []codec.Object
		want    string
	}{
		"two names":                           {[]codec.Object{target(uid1, "a", 1, 1), target(uid2, "b", 2, 2)}, "a " + uid1 + ", b " + uid2},
		"older object owns its name":          {[]codec.Object{target(uid1, "a", 1, 1), target(uid2, "a", 2, 2)}, "a " + uid2},
		"equal age, lower uid":                {[]codec.Object{target(uid1, "a", 1, 1), target(uid2, "a", 1, 2)}, "a " + uid1},
		"terminating object owns nothing":     {[]codec.Object{target(uid1, "a", 1, 1), target(uid2, "a", 2, 2, terminating)}, "a " + uid1},
		"id of an annotation":                 {[]codec.Object{target(uid1, "a", 1, 1, withID(uid3))}, "a " + uid3},
		"id that an older object has":         {[]codec.Object{target(uid1, "a", 1, 1, withID(uid3)), target(uid2, "b", 2, 2, withID(uid3))}, "a " + uid1 + ", b " + uid3},
		"id that is the uid of a newer one":   {[]codec.Object{target(uid1, "a", 1, 1), target(uid2, "b", 2, 2, withID(uid1))}, "a " + uid1 + ", b " + uid2},
		"id of a terminating object is free":  {[]codec.Object{target(uid1, "a", 1, 1, withID(uid3)), target(uid2, "b", 2, 2, withID(uid3), terminating)}, "a " + uid3},
		"annotation that is no id":            {[]codec.Object{target(uid1, "a", 1, 1, withID("x"))}, "a " + uid1},
		"name of another platform namespace":  {[]codec.Object{target(uid1, "a", 1, 1), target(uid2, "a", 2, 2, func(o *v1.DeploymentTarget) { o.Namespace = "team-b" })}, "a " + uid1 + ", a " + uid2},
		"three objects with one name":         {[]codec.Object{target(uid1, "a", 1, 1), target(uid2, "a", 3, 2), target(uid3, "a", 2, 3)}, "a " + uid2},
		"metadata.name without a name of its": {[]codec.Object{target(uid1, "", 1, 1)}, "object-" + uid1 + " " + uid1},
	} {
		t.Run(rule, func(t *testing.T) {
			forward, backward, listed := newFakeStore(t), newFakeStore(t), newFakeStore(t)
			forward.receive(c.objects...)
			listed.relist("9", c.objects...)
			slices.Reverse(c.objects)
			backward.receive(c.objects...)
			for order, f := range map[string]*fakeStore{"forward": forward, "backward": backward, "list": listed} {
				if got := f.shownAs(); got != c.want {
					t.Errorf("%s: got %s\nwant %s", order, got, c.want)
				}
				f.relist("10")
				if len(f.records) > 0 || len(f.names) > 0 || len(f.ids.owners) > 0 || len(f.ids.shared) > 0 || len(f.counts) > 0 || len(f.sizes) > 0 || len(f.targets) > 0 {
					t.Errorf("%s: the cache is not empty after the last deletion", order)
				}
			}
		})
	}
}

// TestNameOwnerEvents checks that a name passes from one object to the next by a deletion
// before an addition.
func TestNameOwnerEvents(t *testing.T) {
	f := newFakeStore(t)
	older := target(uid2, "a", 2, 1)
	f.receive(target(uid1, "a", 1, 2), older)
	f.delete(older)
	want := []string{
		fmt.Sprintf("%v a %s", registry.Added, uid1),
		fmt.Sprintf("%v a %s", registry.Deleted, uid1), fmt.Sprintf("%v a %s", registry.Added, uid2),
		fmt.Sprintf("%v a %s", registry.Deleted, uid2), fmt.Sprintf("%v a %s", registry.Added, uid1),
	}
	if got := f.events; !slices.Equal(got, want) {
		t.Errorf("events: got %q\nwant %q", got, want)
	}
}

// TestStaleEvents checks that an event older than the cache changes nothing, except in a list:
// etcd was restored then.
func TestStaleEvents(t *testing.T) {
	f := newFakeStore(t)
	f.receive(target(uid1, "new", 1, 7))
	f.receive(target(uid1, "old", 1, 6), target(uid1, "same", 1, 7))
	if got := f.shownAs(); got != "new "+uid1 {
		t.Errorf("after an older event: %s", got)
	}
	f.relist("5", target(uid1, "restored", 1, 4))
	if got := f.shownAs(); got != "restored "+uid1 {
		t.Errorf("after a list of a restored etcd: %s", got)
	}
	if got := f.received[registry.DeploymentTarget]; got != 5 {
		t.Errorf("received version %d, want that of the list", got)
	}
	if err := f.watch().Bookmark("9"); err != nil || f.received[registry.DeploymentTarget] != 9 {
		t.Errorf("received version %d after a bookmark: %v", f.received[registry.DeploymentTarget], err)
	}
}

// TestWaitForVersion checks that a write waits for the watch at most cacheSyncTimeout, once,
// and that reads are consistent until the watch has caught up.
func TestWaitForVersion(t *testing.T) {
	const kind = registry.DeploymentTarget
	wait := func(f *fakeStore, ctx context.Context, version uint64) time.Duration {
		start := time.Now()
		f.waitForVersion(ctx, kind, version)
		return time.Since(start)
	}
	for rule, c := range map[string]struct {
		delivered time.Duration // 0: not
		canceled  time.Duration // 0: not
		want      time.Duration
		pending   bool
	}{
		"delivered within the timeout": {time.Second, 0, time.Second, false},
		"not delivered":                {0, 0, cacheSyncTimeout, true},
		"request canceled":             {0, time.Second, time.Second, true},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeStore(t)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.delivered > 0 {
					time.AfterFunc(c.delivered, func() { f.receive(target(uid1, "a", 1, 7)) })
				}
				if c.canceled > 0 {
					time.AfterFunc(c.canceled, cancel)
				}
				if got := wait(f, ctx, 7); got != c.want {
					t.Errorf("waited %v, want %v", got, c.want)
				}
				if got := f.hasPending(kind); got != c.pending {
					t.Errorf("pending %t", got)
				}
			})
		})
	}
	t.Run("second write while the watch is behind", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeStore(t)
			wait(f, t.Context(), 7)
			if got := wait(f, t.Context(), 9); got != 0 {
				t.Errorf("waited %v, want none", got)
			}
			if f.hasPending(registry.Deployment) {
				t.Error("another kind has pending writes")
			}
			f.receive(target(uid1, "a", 1, 7))
			if !f.hasPending(kind) {
				t.Error("no pending writes before the second is delivered")
			}
			f.receive(target(uid2, "b", 1, 9))
			if f.hasPending(kind) {
				t.Error("pending writes after both are delivered")
			}
			if got := wait(f, t.Context(), 9); got != 0 {
				t.Errorf("waited %v for a version that is cached", got)
			}
		})
	})
	t.Run("etcd restored", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeStore(t)
			f.relist("8")
			wait(f, t.Context(), 9)
			f.relist("8")
			if !f.hasPending(kind) {
				t.Error("a list of the same version drops the pending write")
			}
			f.relist("5")
			if f.hasPending(kind) {
				t.Error("pending write of a discarded history")
			}
		})
	})
}

// TestWaitForDeletion checks that a deletion waits until the object is gone or terminating.
func TestWaitForDeletion(t *testing.T) {
	const kind = registry.DeploymentTarget
	for rule, c := range map[string]struct {
		deliver func(*fakeStore)
		want    time.Duration
		pending bool
	}{
		"deleted":       {func(f *fakeStore) { f.delete(target(uid1, "a", 1, 2)) }, time.Second, false},
		"terminating":   {func(f *fakeStore) { f.receive(target(uid1, "a", 1, 2, terminating)) }, time.Second, false},
		"other event":   {func(f *fakeStore) { f.receive(target(uid2, "b", 1, 2)) }, cacheSyncTimeout, true},
		"not delivered": {func(*fakeStore) {}, cacheSyncTimeout, true},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeStore(t)
				f.receive(target(uid1, "a", 1, 1))
				time.AfterFunc(time.Second, func() { c.deliver(f) })
				start := time.Now()
				f.waitForDeletion(t.Context(), kind, parseUID(uid1))
				if got := time.Since(start); got != c.want {
					t.Errorf("waited %v, want %v", got, c.want)
				}
				if got := f.hasPending(kind); got != c.pending {
					t.Errorf("pending %t", got)
				}
				f.relist("3")
				if f.hasPending(kind) {
					t.Error("pending after a list without the object")
				}
			})
		})
	}
}

// TestPlatformNamespace checks which Kubernetes namespaces the registry shows.
func TestPlatformNamespace(t *testing.T) {
	label := func(value string) func(*metav1.PartialObjectMetadata) {
		return func(n *metav1.PartialObjectMetadata) { n.Labels = map[string]string{v1.LabelPlatform: value} }
	}
	plain := func(*metav1.PartialObjectMetadata) {}
	f := newFakeStore(t)
	shown := func() (names []string) {
		for _, o := range f.list(registry.Namespace, "") {
			names = append(names, o.Metadata.Name)
		}
		return names
	}
	object := target(uid1, "a", 1, 1)
	for _, c := range []struct {
		step string
		do   func()
		want string
	}{
		{"none", func() {}, "[]"},
		{"plain namespace", func() { f.receiveNamespace("team-a", plain) }, "[]"},
		{"default namespace", func() { f.receiveNamespace(registry.DefaultNamespace, plain) }, "[default]"},
		{"label", func() { f.receiveNamespace("team-b", label("true")) }, "[default team-b]"},
		{"another value", func() { f.receiveNamespace("team-b", label("yes")) }, "[default]"},
		{"first object", func() { f.receive(object) }, "[default team-a]"},
		{"object of a namespace that is not delivered", func() {
			f.receive(target(uid2, "b", 1, 1, func(o *v1.DeploymentTarget) { o.Namespace = "team-c" }))
		}, "[default team-a]"},
		{"its namespace is delivered", func() { f.receiveNamespace("team-c", plain) }, "[default team-a team-c]"},
		{"last object deleted", func() { f.delete(object) }, "[default team-c]"},
		{"namespace deleted", func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.removeNamespace("team-c")
		}, "[default]"},
	} {
		c.do()
		if got := fmt.Sprint(shown()); got != c.want {
			t.Errorf("%s: got %s, want %s", c.step, got, c.want)
		}
	}
}

// TestReady checks the condition Ready of a target, and that a change of its Kubernetes
// namespace queues its status.
func TestReady(t *testing.T) {
	excluded := errors.New("drey excludes it")
	for rule, c := range map[string]struct {
		namespace func(*metav1.PartialObjectMetadata) // nil: missing
		object    *v1.DeploymentTarget
		older     bool // another target with its name
		want      string
	}{
		"ready":                 {func(*metav1.PartialObjectMetadata) {}, target(uid1, "a", 1, 1), false, v1.Registered},
		"missing namespace":     {nil, target(uid1, "a", 1, 1), false, v1.NamespaceMissing},
		"terminating namespace": {func(n *metav1.PartialObjectMetadata) { n.DeletionTimestamp = new(metav1.Now()) }, target(uid1, "a", 1, 1), false, v1.NamespaceTerminating},
		"excluded namespace":    {func(n *metav1.PartialObjectMetadata) { n.Labels = map[string]string{"excluded": "yes"} }, target(uid1, "a", 1, 1), false, v1.NamespaceNotServed},
		"own namespace":         {func(*metav1.PartialObjectMetadata) {}, target(uid1, "a", 1, 1, func(o *v1.DeploymentTarget) { o.Spec.Kubernetes.Namespace = "" }), false, v1.NamespaceMissing},
		"name taken":            {func(*metav1.PartialObjectMetadata) {}, target(uid1, "a", 1, 1), true, v1.NameTaken},
	} {
		t.Run(rule, func(t *testing.T) {
			f := newFakeStore(t)
			f.ownNamespace = "drey-system"
			f.checkNamespace = func(_ string, labels map[string]string) error {
				if labels["excluded"] != "" {
					return excluded
				}
				return nil
			}
			f.receive(c.object)
			if c.older {
				f.receive(target(uid2, "a", 2, 2))
			}
			var queued []uuid.UUID
			f.enqueueStatus = func(uid uuid.UUID) { queued = append(queued, uid) }
			if c.namespace != nil {
				f.receiveNamespace("orders", c.namespace)
				if got := slices.Contains(queued, parseUID(uid1)); got != (c.object.Spec.Kubernetes.Namespace == "orders") {
					t.Errorf("status queued: %t", got)
				}
			}
			if got := f.ready(f.records[parseUID(uid1)]); got.reason != c.want || (got.status == metav1.ConditionTrue) != (c.want == v1.Registered) || got.message == "" {
				t.Errorf("got %+v, want %s", got, c.want)
			}
		})
	}
}
