package owners

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"

	"drey.dev/drey/webhook/flink"
)

// labeled returns a line of [newFakes] as an object with the labels of an admitted workload.
func labeled(t *testing.T, line string, labels ...string) *metav1.PartialObjectMetadata {
	t.Helper()
	m := metadataOf(t, line)
	m.Labels = map[string]string{flink.LabelSystem: "ververica-platform", flink.LabelPlatformNamespace: "team-a", "team": "nuts"}
	for i := 0; i < len(labels); i += 2 {
		m.Labels[labels[i]] = labels[i+1]
	}
	return m
}

// asWhole returns metadata as the whole object that informers of workloads read.
func asWhole(t *testing.T, m *metav1.PartialObjectMetadata) *unstructured.Unstructured {
	t.Helper()
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(m)
	if err != nil {
		t.Fatal(err)
	}
	return &unstructured.Unstructured{Object: object}
}

// runningFakes are Owners whose informers run on a cluster with Deployments and custom resources,
// and with the CronJobs among objects, of which the metadata is cached.
func runningFakes(t *testing.T, before func(*Owners), objects ...runtime.Object) (*Owners, *dynamicfake.FakeDynamicClient) {
	t.Helper()
	scheme := metadatafake.NewTestScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	lists := map[schema.GroupVersionResource]string{}
	for _, k := range cachedKinds {
		lists[k.resource()] = k.Kind + "List"
	}
	var cronJobs, others []runtime.Object
	for _, object := range objects {
		if m, ok := object.(*metav1.PartialObjectMetadata); ok {
			cronJobs = append(cronJobs, m)
		} else {
			others = append(others, object)
		}
	}
	metadata := metadatafake.NewSimpleMetadataClient(scheme, cronJobs...)
	whole := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), lists, others...)
	o, err := newOwners(metadata, whole, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	before(o)
	go o.Run(t.Context())
	time.Sleep(time.Second)
	synctest.Wait()
	if !o.Synced() {
		t.Fatal("not synced")
	}
	whole.ClearActions()
	metadata.ClearActions()
	metadata.PrependReactor("*", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
		t.Errorf("unexpected request: %s %s", a.GetVerb(), a.GetResource().Resource)
		return false, nil, nil
	})
	return o, whole
}

// TestCaches checks what the caches of labeled objects and custom resources know, without a
// request.
func TestCaches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plain := metadataOf(t, "apps/v1/Deployment/plain uid-plain")
		custom := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment", "metadata": map[string]any{"namespace": "operated", "name": "f", "uid": "uid-f"},
			"spec": map[string]any{"job": map[string]any{}}, "status": map[string]any{"jobStatus": map[string]any{"jobId": "abc"}},
		}}
		o, client := runningFakes(t, func(*Owners) {}, asWhole(t, labeled(t, "apps/v1/Deployment/nuts uid-nuts")), asWhole(t, plain), custom)
		for uid, want := range map[string]bool{"uid-nuts": true, "uid-f": true, "uid-plain": false, "": false, "uid": false} {
			if got := o.HasUID(uid); got != want {
				t.Errorf("HasUID(%q): %t", uid, got)
			}
		}
		for namespace, want := range map[string]bool{"flink": true, "operated": false, "other": false} { // the custom resource has no labels
			if got := o.HasAdmitted(namespace); got != want {
				t.Errorf("HasAdmitted(%q): %t", namespace, got)
			}
		}
		pod := podOf("flink.apache.org/v1beta1/FlinkDeployment/f/uid-f", "")
		pod.Namespace = "operated"
		owners, complete := o.Of(t.Context(), pod)
		if !complete || len(owners) != 1 || owners[0].JobID != "abc" || owners[0].Mode != flink.Application {
			t.Errorf("owner of a custom resource: %+v, complete %t", owners, complete)
		}
		owners, _ = o.Of(t.Context(), podOf("apps/v1/Deployment/nuts/uid-nuts", ""))
		if len(owners) != 1 || len(owners[0].Labels) != 2 {
			t.Errorf("labels of an entry: %+v, want the identity alone", owners)
		}
		if n := len(client.Actions()); n > 0 {
			t.Errorf("%d requests for cached owners", n)
		}
	})
}

// TestOnChange checks which changes the callbacks receive.
func TestOnChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		changed, created := make(chan string, 10), make(chan string, 10)
		cluster := func(name, uid string) *metav1.PartialObjectMetadata {
			return labeled(t, "apps/v1/Deployment/"+name+" "+uid, flink.LabelSessionClusterName, name, flink.LabelSessionClusterID, "id-"+name)
		}
		first := cluster("first", "uid-1")
		o, client := runningFakes(t, func(o *Owners) {
			if err := errors.Join(o.OnChange(func(n string) { changed <- n }), o.OnClusterCreated(func(n string) { created <- n })); err != nil {
				t.Fatal(err)
			}
		}, asWhole(t, first))
		received := func(c chan string) (all []string) {
			synctest.Wait()
			for len(c) > 0 {
				all = append(all, <-c)
			}
			return all
		}
		if got := received(changed); !slices.Equal(got, []string{"flink"}) {
			t.Errorf("initial list: changed %v", got)
		}
		if got := received(created); len(got) > 0 {
			t.Errorf("initial list: created %v, want none", got)
		}
		resource := schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
		if err := client.Tracker().Create(resource, asWhole(t, labeled(t, "apps/v1/Deployment/plain uid-2")), "flink"); err != nil {
			t.Fatal(err)
		}
		if got := received(changed); !slices.Equal(got, []string{"flink"}) {
			t.Errorf("new Deployment: changed %v", got)
		}
		if got := received(created); len(got) > 0 || !o.HasUID("uid-2") {
			t.Errorf("new Deployment of no cluster: created %v, cached %t", got, o.HasUID("uid-2"))
		}
		if _, ok := o.Cluster("flink", "second"); ok {
			t.Error("cluster that does not exist yet")
		}
		if err := client.Tracker().Create(resource, asWhole(t, cluster("second", "uid-3")), "flink"); err != nil {
			t.Fatal(err)
		}
		if got := received(created); !slices.Equal(got, []string{"flink"}) {
			t.Errorf("new cluster: created %v", got)
		}
		for name, id := range map[string]string{"first": "id-first", "second": "id-second"} {
			if got, ok := o.Cluster("flink", name); !ok || got.ID != id {
				t.Errorf("cluster %s: %+v, %t", name, got, ok)
			}
		}
		if _, ok := o.Cluster("other", "first"); ok {
			t.Error("cluster of another namespace")
		}
		received(changed)
		if err := client.Tracker().Delete(resource, "flink", "plain"); err != nil {
			t.Fatal(err)
		}
		if got := received(changed); !slices.Equal(got, []string{"flink"}) || o.HasUID("uid-2") {
			t.Errorf("deleted Deployment: changed %v", got)
		}
	})
}

// TestLookupTTL checks for how long the result of a lookup is cached.
func TestLookupTTL(t *testing.T) {
	for rule, c := range map[string]struct {
		cluster []string
		owner   string
		forbid  string
		ttl     time.Duration
		first   int // requests
	}{
		"Deployment":        {[]string{"apps/v1/Deployment/nuts uid-d"}, "apps/v1/Deployment/nuts/uid-d", "", lookupTTL, 1},
		"missing":           {nil, "apps/v1/Deployment/nuts/uid-d", "", notFoundTTL, 1},
		"ReplicaSet":        {[]string{"apps/v1/ReplicaSet/nuts uid-rs"}, "apps/v1/ReplicaSet/nuts/uid-rs", "", replicaSetTTL, 1},
		"forbidden":         {nil, "argoproj.io/v1alpha1/Rollout/nuts/uid-r", "rollouts", forbiddenTTL, 2},
		"kind not served":   {nil, "other.example.com/v1/App/nuts/uid-x", "", discoveryTTL, 1},
		"invalid reference": {nil, "../v1/App/nuts/uid-x", "", time.Hour, 0},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakes(t, c.cluster...)
				if c.forbid != "" {
					f.forbid(c.forbid)
				}
				requests := func(want bool) {
					t.Helper()
					f.Of(t.Context(), podOf(c.owner, ""))
					if n := f.calls(); (n > 0) != want {
						t.Errorf("%d requests, want some: %t", n, want)
					}
				}
				f.Of(t.Context(), podOf(c.owner, ""))
				if n := f.calls(); n != c.first {
					t.Errorf("%d requests at first, want %d", n, c.first)
				}
				time.Sleep(c.ttl - time.Millisecond)
				requests(false)
				time.Sleep(2 * time.Millisecond)
				requests(c.first > 0)
			})
		})
	}
}

// TestLookupFailureNotCached checks that an owner is read again right after a failed read.
func TestLookupFailureNotCached(t *testing.T) {
	f := newFakes(t, "apps/v1/Deployment/nuts uid-d")
	fails := true
	f.metadata.PrependReactor("get", "deployments", func(clienttesting.Action) (bool, runtime.Object, error) {
		return fails, nil, apierrors.NewInternalError(errors.New("etcd is down"))
	})
	owners, complete := f.Of(t.Context(), podOf("apps/v1/Deployment/nuts/uid-d", ""))
	if complete || len(owners) != 1 || !owners[0].LookupFailed || owners[0].Unresolved {
		t.Errorf("failed read: %+v, complete %t", owners, complete)
	}
	fails = false
	if got := chain(f.Of(t.Context(), podOf("apps/v1/Deployment/nuts/uid-d", ""))); got != "Deployment nuts uid-d" {
		t.Errorf("after the failure: %s", got)
	}
}

// TestConcurrentLookups checks that lookups beyond maxConcurrentLookups wait for a slot until
// the deadline of their request.
func TestConcurrentLookups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLookups()
		var release []func()
		for range maxConcurrentLookups {
			r, err := l.acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			release = append(release, r)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, err := l.acquire(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("got %v after %v, want the deadline after 1 s", err, time.Since(start))
		}
		acquired := make(chan error)
		go func() {
			_, err := l.acquire(t.Context())
			acquired <- err
		}()
		synctest.Wait()
		release[0]()
		if err := <-acquired; err != nil {
			t.Error(err)
		}
	})
}

// TestMayBeStale checks when a cached custom resource is read again for the job id.
func TestMayBeStale(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	custom := kind{CustomResource: flink.CustomResources[0], custom: true}
	young := &entry{kind: deployments, ObjectMeta: metav1.ObjectMeta{UID: "d", CreationTimestamp: metav1.NewTime(now.Add(-time.Second))}}
	old := &entry{kind: deployments, ObjectMeta: metav1.ObjectMeta{UID: "d", CreationTimestamp: metav1.NewTime(now.Add(-maxPropagation))}}
	pod := &flink.Object{Kind: "Pod", OwnerReferences: []flink.OwnerReference{{UID: "rs"}}}
	native := &flink.Object{Kind: "Pod", OwnerReferences: []flink.OwnerReference{{UID: "d"}}}
	for rule, c := range map[string]struct {
		e     *entry
		pod   *flink.Object
		below *entry
		want  bool
	}{
		"new Deployment of an application":   {&entry{kind: custom, mode: flink.Application}, pod, young, true},
		"old Deployment":                     {&entry{kind: custom, mode: flink.Application}, pod, old, false},
		"session":                            {&entry{kind: custom, mode: flink.Session}, pod, young, false},
		"native TaskManager":                 {&entry{kind: custom, mode: flink.Application}, native, young, false},
		"not a pod":                          {&entry{kind: custom, mode: flink.Application}, &flink.Object{Kind: "Deployment"}, young, false},
		"no object between":                  {&entry{kind: custom, mode: flink.Application}, pod, nil, false},
		"custom resource of another":         {&entry{kind: custom, mode: flink.Application}, pod, &entry{kind: custom}, false},
		"Deployment above a Deployment":      {&entry{kind: deployments, mode: flink.Application}, pod, young, false},
		"custom resource of an unknown mode": {&entry{kind: custom}, pod, young, false},
	} {
		if got := c.e.mayBeStale(c.pod, c.below, now); got != c.want {
			t.Errorf("%s: got %t", rule, got)
		}
	}
}
