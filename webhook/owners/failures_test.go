package owners

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
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
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"

	"drey.dev/drey/webhook/flink"
)

// TestAPIServerFailure checks the owners of a pod while requests fail, and that they are read as
// soon as requests succeed.
func TestAPIServerFailure(t *testing.T) {
	cluster := []string{
		"apps/v1/ReplicaSet/nuts-5c7d uid-rs < argoproj.io/v1alpha1/Rollout/nuts/uid-rollout", "argoproj.io/v1alpha1/Rollout/nuts uid-rollout",
	}
	const replicaSet, afterwards = "apps/v1/ReplicaSet/nuts-5c7d/uid-rs", "ReplicaSet nuts-5c7d uid-rs, Rollout nuts uid-rollout"
	unavailable := apierrors.NewServiceUnavailable("etcd is down")
	for rule, c := range map[string]struct {
		verb, resource string // that fails
		err            error
		want           string
		unknown        bool // the selector
		permanent      bool // until forbiddenTTL or discoveryTTL
	}{
		"discovery":                       {"get", "resource", unavailable, "ReplicaSet nuts-5c7d uid-rs, Rollout nuts uid-rollout, ?", false, false},
		"discovery that is forbidden":     {"get", "resource", apierrors.NewForbidden(schema.GroupResource{}, "", errors.New("no right")), "ReplicaSet nuts-5c7d uid-rs, ~Rollout nuts uid-rollout", false, true},
		"owner of the controller":         {"get", "rollouts", unavailable, "ReplicaSet nuts-5c7d uid-rs, Rollout nuts uid-rollout, ?", false, false},
		"kind without metadata":           {"get", "rollouts", apierrors.NewGenericServerResponse(http.StatusNotAcceptable, "get", schema.GroupResource{}, "", "", 0, false), "ReplicaSet nuts-5c7d uid-rs, ~Rollout nuts uid-rollout", false, true},
		"kind without get":                {"get", "rollouts", apierrors.NewMethodNotSupported(schema.GroupResource{}, "get"), "ReplicaSet nuts-5c7d uid-rs, ~Rollout nuts uid-rollout", false, true},
		"controller":                      {"get", "replicasets", unavailable, "ReplicaSet nuts-5c7d uid-rs, ?", true, false},
		"controller that is not readable": {"get", "replicasets", apierrors.NewForbidden(schema.GroupResource{}, "", errors.New("no right")), "~ReplicaSet nuts-5c7d uid-rs", true, true},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakes(t, cluster...)
				fails := true
				fail := func(clienttesting.Action) (bool, runtime.Object, error) { return fails, nil, c.err }
				f.metadata.PrependReactor(c.verb, c.resource, fail)
				f.dynamic.PrependReactor(c.verb, c.resource, fail)
				f.discovery.PrependReactor(c.verb, c.resource, fail)
				pod := podOf(replicaSet, "")
				owners, complete := f.Of(t.Context(), pod)
				if got := chain(owners, complete); got != c.want || owners[0].SelectorUnknown != c.unknown {
					t.Errorf("got  %s, selector unknown: %t\nwant %s", got, owners[0].SelectorUnknown, c.want)
				}
				fails = false
				if c.permanent {
					if got := chain(f.Of(t.Context(), pod)); got != c.want {
						t.Errorf("right afterwards: got %s\nwant %s", got, c.want)
					}
					time.Sleep(max(forbiddenTTL, discoveryTTL) + time.Second)
				}
				owners, complete = f.Of(t.Context(), pod)
				if got := chain(owners, complete); got != afterwards || owners[0].SelectorUnknown {
					t.Errorf("afterwards: got  %s, selector unknown: %t\nwant %s", got, owners[0].SelectorUnknown, afterwards)
				}
			})
		})
	}
}

// TestDeadline checks that each lookup ends with its request while all slots are taken.
func TestDeadline(t *testing.T) {
	owner := flink.Owner{APIVersion: "apps/v1", Kind: "Deployment", Name: "nuts", UID: "uid-d"}
	for rule, do := range map[string]func(context.Context, *fakes) string{
		"owner": func(ctx context.Context, f *fakes) string {
			owners, complete := f.Of(ctx, podOf("apps/v1/Deployment/nuts/uid-d", ""))
			return fmt.Sprint(len(owners), complete, owners[0].LookupFailed, owners[0].Unresolved)
		},
		"kind": func(ctx context.Context, f *fakes) string {
			owners, complete := f.Of(ctx, podOf("argoproj.io/v1alpha1/Rollout/nuts/uid-r", ""))
			return fmt.Sprint(len(owners), complete, owners[0].LookupFailed, owners[0].Unresolved)
		},
		"selector": func(ctx context.Context, f *fakes) string {
			owners, complete := f.Of(ctx, podOf("apps/v1/ReplicaSet/nuts/uid-rs", ""))
			return fmt.Sprint(len(owners), complete, owners[0].SelectorUnknown, owners[0].Unresolved)
		},
		"template": func(ctx context.Context, f *fakes) string {
			got := f.VerifyTemplate(ctx, "flink", owner, func(string, string, []byte) bool { return false })
			return fmt.Sprint(1, got.TemplateNotFlink, true, got.Unresolved)
		},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakes(t)
				for range maxConcurrentLookups {
					if _, err := f.lookups.acquire(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				began := time.Now()
				if got := do(ctx, f); got != "1 false true false" || time.Since(began) != time.Second {
					t.Errorf("got %s after %s", got, time.Since(began))
				}
				if n := f.calls(); n > 0 {
					t.Errorf("%d calls", n)
				}
			})
		})
	}
}

// TestVerifyTemplateFailure checks that an owner whose template cannot be read is neither
// changed nor cached.
func TestVerifyTemplateFailure(t *testing.T) {
	f := newFakes(t, "apps/v1/Deployment/nuts uid-nuts")
	fails := true
	f.dynamic.PrependReactor("get", "deployments", func(clienttesting.Action) (bool, runtime.Object, error) {
		return fails, nil, apierrors.NewInternalError(errors.New("etcd is down"))
	})
	for _, notFlink := range []bool{false, true} {
		got := f.VerifyTemplate(t.Context(), "flink", flink.Owner{APIVersion: "apps/v1", Kind: "Deployment", Name: "nuts", UID: "uid-nuts"}, func(string, string, []byte) bool { return false })
		if got.TemplateNotFlink != notFlink || got.Unresolved {
			t.Errorf("request fails %t: %+v", fails, got)
		}
		fails = false
	}
}

// TestStaleJobID checks that a custom resource is read again for the job id of a new pod: the
// operator writes it right before it creates the Deployment.
func TestStaleJobID(t *testing.T) {
	for rule, c := range map[string]struct {
		age   time.Duration // of the Deployment
		fails bool
		want  string
	}{
		"new Deployment":                 {time.Second, false, "Deployment nuts uid-d , FlinkDeployment nuts uid-f new"},
		"old Deployment":                 {maxPropagation, false, "Deployment nuts uid-d , FlinkDeployment nuts uid-f old"},
		"new Deployment, the read fails": {time.Second, true, "Deployment nuts uid-d , FlinkDeployment nuts uid-f , ?"},
	} {
		t.Run(rule, func(t *testing.T) {
			f := newFakes(t)
			if c.fails {
				f.dynamic.PrependReactor("get", "flinkdeployments", func(clienttesting.Action) (bool, runtime.Object, error) {
					return true, nil, apierrors.NewServiceUnavailable("etcd is down")
				})
			}
			custom := asWhole(t, metadataOf(t, flinkDeployment+"nuts uid-f"))
			custom.Object["spec"] = map[string]any{"job": map[string]any{}}
			setJobID := func(id string) { _ = unstructured.SetNestedField(custom.Object, id, "status", "jobStatus", "jobId") }
			setJobID("old")
			k := cachedKinds[slices.IndexFunc(cachedKinds, func(k kind) bool { return k.Kind == "FlinkDeployment" })]
			deployment := metadataOf(t, "apps/v1/Deployment/nuts uid-d < "+flinkDeployment+"nuts/uid-f")
			deployment.CreationTimestamp = metav1.NewTime(f.now().Add(-c.age))
			if err := errors.Join(f.caches[k].informer.GetIndexer().Add(newCustomEntry(k, custom)), f.caches[deployments].informer.GetIndexer().Add(newEntry(deployments, deployment))); err != nil {
				t.Fatal(err)
			}
			setJobID("new")
			if err := f.dynamic.Tracker().Add(custom); err != nil {
				t.Fatal(err)
			}
			owners, complete := f.Of(t.Context(), podOf("apps/v1/ReplicaSet/nuts-5c7d/uid-rs", "5c7d"))
			var got []string
			for _, o := range owners {
				got = append(got, fmt.Sprint(o.Kind, " ", o.Name, " ", o.UID, " ", o.JobID))
			}
			if !complete {
				got = append(got, "?")
			}
			if strings.Join(got, ", ") != c.want {
				t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), c.want)
			}
		})
	}
}

// TestExcludedKeysOfCachedController checks that the selector is read of a controller that is
// in the cache, once.
func TestExcludedKeysOfCachedController(t *testing.T) {
	f := newFakes(t)
	set := asWhole(t, metadataOf(t, "apps/v1/StatefulSet/nuts uid-s"))
	set.Object["spec"] = map[string]any{"selector": map[string]any{"matchExpressions": []any{
		map[string]any{"key": "vvpNamespace", "operator": "NotIn", "values": []any{"team-a"}},
		map[string]any{"key": "deploymentId", "operator": "DoesNotExist"},
		map[string]any{"key": "app", "operator": "In", "values": []any{"flink"}},
	}}}
	if err := errors.Join(f.dynamic.Tracker().Add(set), f.caches[statefulSets].informer.GetIndexer().Add(newWholeEntry(statefulSets, set))); err != nil {
		t.Fatal(err)
	}
	for call, want := range []int{1, 0, 0} {
		owners, complete := f.Of(t.Context(), podOf("apps/v1/StatefulSet/nuts/uid-s", ""))
		if !complete || owners[0].SelectorUnknown || fmt.Sprint(owners[0].ExcludedKeys) != "[vvpNamespace deploymentId]" {
			t.Errorf("pod %d: complete %t, %+v", call, complete, owners)
		}
		if n := f.calls(); n != want {
			t.Errorf("pod %d: %d calls, want %d", call, n, want)
		}
	}
}

// TestNew checks that Owners read the metadata of an owner alone, from the API server of a
// configuration.
func TestNew(t *testing.T) {
	if _, err := New(&rest.Config{Host: "://"}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a host that is no URL is valid")
	}
	var requests []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests = append(requests, r.URL.Path+" "+r.Header.Get("Accept"))
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"apiVersion":"meta.k8s.io/v1","kind":"PartialObjectMetadata","metadata":{"namespace":"flink","name":"nuts","uid":"uid-d"}}`)
	}))
	defer server.Close()
	o, err := New(&rest.Config{Host: server.URL}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if got := chain(o.Of(t.Context(), podOf("apps/v1/Deployment/nuts/uid-d", ""))); got != "Deployment nuts uid-d" {
		t.Errorf("got %s", got)
	}
	if len(requests) != 1 || !strings.HasPrefix(requests[0], "/apis/apps/v1/namespaces/flink/deployments/nuts ") || !strings.Contains(requests[0], "PartialObjectMetadata") {
		t.Errorf("requests %q", requests)
	}
}
