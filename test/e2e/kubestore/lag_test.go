package kubestore_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore"
	restapi "drey.dev/drey/registry/rest"
	"drey.dev/drey/registry/storetest"
	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/test/framework/exchange"
)

// watchDelay delays each read of a watch. A client's next request is far quicker.
const watchDelay = 60 * time.Millisecond

// TestWritesDelayedWatch plays the exchanges of registry/rest against two replicas at
// random, one with a delayed watch. A GET may be stale; writes are decided by consistent
// reads.
func TestWritesDelayedWatch(t *testing.T) {
	w := sharedWorld(t)
	w.empty(t)
	var replicas []http.Handler
	for i := range 2 {
		config := w.Config()
		if i == 1 { // one alone: a write returns once its own cache has it, so two delayed replicas would be in step
			config.WrapTransport = func(next http.RoundTripper) http.RoundTripper { return delayedWatch{next} }
		}
		store := w.openAs(t, config, kubestore.Options{CreateNamespaces: true})
		if i == 0 {
			go store.ReportStatus(t.Context())
		}
		rules, err := registry.New(t.Context(), store, registry.Options{OwnNamespace: "drey-system", Namespaces: []string{"team-a"}})
		if err != nil {
			t.Fatal(err)
		}
		replicas = append(replicas, restapi.New(restapi.Options{Registry: rules, Log: slog.New(slog.DiscardHandler)}))
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		replicas[rand.IntN(len(replicas))].ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	play(t, &exchange.Player{URL: server.URL, IgnoreKeyOrder: true, ConsistencyTimeout: eventually.Timeout})
}

// TestRefresh creates targets with kubectl, and refreshes a store with a delayed watch: each
// target is in its cache, also if several calls share a request.
func TestRefresh(t *testing.T) {
	w := sharedWorld(t)
	w.empty(t)
	config := w.Config()
	config.WrapTransport = func(next http.RoundTripper) http.RoundTripper { return delayedWatch{next} }
	store := w.openAs(t, config, kubestore.Options{CreateNamespaces: true})
	ns := w.Namespace(t)
	for i := range 5 {
		name := fmt.Sprintf("t-%d", i)
		w.MustKubectl(t, targetYAML(name, "", "flink"), "create", "-n", ns, "-f", "-")
		var calls sync.WaitGroup
		for range 4 {
			calls.Go(func() {
				if err := store.Refresh(t.Context(), registry.DeploymentTarget); err != nil {
					t.Error(err)
				}
				if all, err := store.List(t.Context(), registry.DeploymentTarget, ns, registry.Cached); err != nil || len(all) != i+1 {
					t.Errorf("after %s: got %d targets, %v, want %d", name, len(all), err, i+1)
				}
			})
		}
		calls.Wait()
	}
	w.MustKubectl(t, "", "delete", "dt", "-n", ns, "--all")
	if err := store.Refresh(t.Context(), registry.DeploymentTarget); err != nil {
		t.Errorf("after the deletion of all targets: %v", err)
	}
}

// delayedWatch delays the events of watches.
type delayedWatch struct{ http.RoundTripper }

func (d delayedWatch) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := d.RoundTripper.RoundTrip(r)
	if err == nil && r.URL.Query().Get("watch") != "" {
		response.Body = delayedBody{response.Body}
	}
	return response, err
}

type delayedBody struct{ io.ReadCloser }

func (b delayedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	time.Sleep(watchDelay)
	return n, err
}

// TestWritesStalledWatch writes through one replica while the watch of another one is
// stalled. The other one's writes are decided by consistent reads.
func TestWritesStalledWatch(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	a := w.replica(t)
	object := func(kind registry.Kind, namespace, name, spec string) registry.Object {
		return registry.Object{Kind: kind, Metadata: registry.Metadata{Namespace: namespace, Name: name}, Spec: json.RawMessage(spec)}
	}
	create := func(r *registry.Registry, o registry.Object) (registry.Object, error) {
		return r.Create(t.Context(), o, nil)
	}
	remove := func(r *registry.Registry, key registry.Key) error {
		_, err := r.Delete(t.Context(), key, registry.Precondition{})
		return err
	}
	const session, onSession, onTarget = `{"deploymentTargetName":"t"}`, `{"sessionClusterName":"s"}`, `{"deploymentTargetName":"t"}`
	var id string // of the object that replica a creates
	for name, c := range map[string]struct {
		before, stalled func(ns string) error // by replica a, before and while b's watch is stalled
		then            func(b *registry.Registry, ns string) error
		want            registry.Reason
	}{
		"delete a session cluster after its last reference": {
			before: func(ns string) error {
				_, err := create(a, object(registry.SessionCluster, ns, "s", session))
				_, err2 := create(a, object(registry.Deployment, ns, "d", onSession))
				return errors.Join(err, err2)
			},
			stalled: func(ns string) error {
				return remove(a, registry.Key{Kind: registry.Deployment, Namespace: ns, Name: "d"})
			},
			then: func(b *registry.Registry, ns string) error {
				return remove(b, registry.Key{Kind: registry.SessionCluster, Namespace: ns, Name: "s"})
			},
		},
		"delete a target with a new reference": {
			stalled: func(ns string) error { _, err := create(a, object(registry.Deployment, ns, "d", onTarget)); return err },
			then: func(b *registry.Registry, ns string) error {
				return remove(b, registry.Key{Kind: registry.DeploymentTarget, Namespace: ns, Name: "t"})
			},
			want: registry.ReasonTargetReferenced,
		},
		"preview the deletion of a target with a new reference": {
			stalled: func(ns string) error { _, err := create(a, object(registry.Deployment, ns, "d", onTarget)); return err },
			then: func(b *registry.Registry, ns string) error {
				p, err := b.PreviewDelete(t.Context(), registry.Key{Kind: registry.DeploymentTarget, Namespace: ns, Name: "t"})
				if err == nil && len(p.References) != 1 {
					err = fmt.Errorf("got the references %v, want one", p.References)
				}
				return err
			},
		},
		"refer to a new object with a free-text name": {
			stalled: func(ns string) error {
				_, err := create(a, object(registry.SessionCluster, ns, "My Session", session))
				return err
			},
			then: func(b *registry.Registry, ns string) error {
				_, err := create(b, object(registry.Deployment, ns, "d", `{"sessionClusterName":"My Session"}`))
				return err
			},
		},
		"delete a session cluster with a new reference by free-text name": {
			stalled: func(ns string) error {
				_, err := create(a, object(registry.SessionCluster, ns, "My Session", session))
				_, err2 := create(a, object(registry.Deployment, ns, "d", `{"sessionClusterName":"My Session"}`))
				return errors.Join(err, err2)
			},
			then: func(b *registry.Registry, ns string) error {
				return remove(b, registry.Key{Kind: registry.SessionCluster, Namespace: ns, Name: "my-session"})
			},
			want: registry.ReasonSessionClusterReferenced,
		},
		"put a new object by its id": {
			stalled: func(ns string) error {
				created, err := create(a, object(registry.Deployment, ns, "d", onTarget))
				id = created.Metadata.ID
				return err
			},
			then: func(b *registry.Registry, ns string) error {
				same, err := b.SameName(t.Context(), registry.Deployment, ns, id, "d")
				if err != nil || !same {
					return fmt.Errorf("SameName: got %t, %w, want true", same, err)
				}
				_, outcome, err := b.Put(t.Context(), object(registry.Deployment, ns, id, `{"deploymentTargetName":"t","more":1}`), registry.Precondition{}, nil)
				if err == nil && outcome != registry.Replaced {
					err = fmt.Errorf("got outcome %d, want Replaced", outcome)
				}
				return err
			},
		},
		"create an object with the name of a deleted one": {
			stalled: func(ns string) error {
				return remove(a, registry.Key{Kind: registry.DeploymentTarget, Namespace: ns, Name: "t"})
			},
			then: func(b *registry.Registry, ns string) error {
				_, err := create(b, storetest.Target(ns, "t", "other"))
				return err
			},
		},
		"create an object with the name of a new one": {
			stalled: func(ns string) error { _, err := create(a, storetest.Target(ns, "u", "flink")); return err },
			then: func(b *registry.Registry, ns string) error {
				_, err := create(b, storetest.Target(ns, "u", "flink"))
				return err
			},
			want: registry.ReasonAlreadyExists,
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			ns := w.Namespace(t)
			if _, err := a.CreateNamespace(t.Context(), ns); err != nil {
				t.Fatal(err)
			}
			if _, err := create(a, storetest.Target(ns, "t", "flink")); err != nil {
				t.Fatal(err)
			}
			if c.before != nil {
				if err := c.before(ns); err != nil {
					t.Fatal(err)
				}
			}
			p, config := w.proxy(t)
			b, err := registry.New(t.Context(), w.openAs(t, config, kubestore.Options{}), registry.Options{OwnNamespace: "drey-system"})
			if err != nil {
				t.Fatal(err)
			}
			p.stalled.Store(true)
			defer p.stalled.Store(false)
			if err := c.stalled(ns); err != nil {
				t.Fatal(err)
			}
			if err := c.then(b, ns); registry.ReasonOf(err) != c.want || c.want == "" && err != nil {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
