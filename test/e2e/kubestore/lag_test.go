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
	"testing"
	"time"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore"
	restapi "drey.dev/drey/registry/rest"
	"drey.dev/drey/registry/storetest"
	"drey.dev/drey/test/framework/exchange"
)

// lag is how much later than the API server says it, a replica hears of a change: far
// longer than a client takes from one request to the next.
const lag = 60 * time.Millisecond

// TestWritesDelayedWatch plays the exchanges of registry/rest against
// two replicas by chance, one of which hears late of what the other wrote. A GET may lag
// behind; no write is refused, or done, by what was true before.
func TestWritesDelayedWatch(t *testing.T) {
	w := inWorld(t)
	w.empty(t)
	var replicas []http.Handler
	for i := range 2 {
		config := w.Config()
		if i == 1 { // a write returns when its own replica has heard of it: two late ones would be in step
			config.WrapTransport = func(next http.RoundTripper) http.RoundTripper { return late{next} }
		}
		store := w.openAs(t, config, kubestore.Options{CreateNamespaces: true})
		if i == 0 {
			go store.Report(t.Context())
		}
		rules, err := registry.New(t.Context(), store, registry.Options{Home: "drey-system", Namespaces: []string{"team-a"}})
		if err != nil {
			t.Fatal(err)
		}
		replicas = append(replicas, restapi.New(restapi.Options{Registry: rules, Log: slog.New(slog.DiscardHandler)}))
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		replicas[rand.IntN(len(replicas))].ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	play(t, &exchange.Player{URL: server.URL, IgnoreKeyOrder: true, ConsistencyTimeout: soon})
}

// late delays what watches bring.
type late struct{ http.RoundTripper }

func (l late) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := l.RoundTripper.RoundTrip(r)
	if err == nil && r.URL.Query().Get("watch") != "" {
		response.Body = lateBody{response.Body}
	}
	return response, err
}

type lateBody struct{ io.ReadCloser }

func (b lateBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	time.Sleep(lag)
	return n, err
}

// TestWritesStalledWatch has another write what this one cannot
// know yet.
func TestWritesStalledWatch(t *testing.T) {
	w := inWorld(t)
	a := w.rules(t)
	object := func(kind registry.Kind, namespace, name, spec string) registry.Object {
		return registry.Object{Kind: kind, Metadata: registry.Metadata{Namespace: namespace, Name: name}, Spec: json.RawMessage(spec)}
	}
	create := func(r *registry.Registry, o registry.Object) (registry.Object, error) {
		return r.Create(t.Context(), o)
	}
	remove := func(r *registry.Registry, key registry.Key) error {
		_, err := r.Delete(t.Context(), key, registry.Precondition{})
		return err
	}
	const session, onSession, onTarget = `{"deploymentTargetName":"t"}`, `{"sessionClusterName":"s"}`, `{"deploymentTargetName":"t"}`
	var id string // of what the other made
	for name, c := range map[string]struct {
		before, unheard func(ns string) error // by the other replica
		then            func(b *registry.Registry, ns string) error
		want            registry.Reason
	}{
		"a session cluster goes after the last that referred to it": {
			before: func(ns string) error {
				_, err := create(a, object(registry.SessionCluster, ns, "s", session))
				_, err2 := create(a, object(registry.Deployment, ns, "d", onSession))
				return errors.Join(err, err2)
			},
			unheard: func(ns string) error {
				return remove(a, registry.Key{Kind: registry.Deployment, Namespace: ns, Name: "d"})
			},
			then: func(b *registry.Registry, ns string) error {
				return remove(b, registry.Key{Kind: registry.SessionCluster, Namespace: ns, Name: "s"})
			},
		},
		"a target stays under one that refers to it since": {
			unheard: func(ns string) error { _, err := create(a, object(registry.Deployment, ns, "d", onTarget)); return err },
			then: func(b *registry.Registry, ns string) error {
				return remove(b, registry.Key{Kind: registry.DeploymentTarget, Namespace: ns, Name: "t"})
			},
			want: registry.ReasonTargetReferenced,
		},
		"a preview counts what refers since": {
			unheard: func(ns string) error { _, err := create(a, object(registry.Deployment, ns, "d", onTarget)); return err },
			then: func(b *registry.Registry, ns string) error {
				p, err := b.PreviewDelete(t.Context(), registry.Key{Kind: registry.DeploymentTarget, Namespace: ns, Name: "t"})
				if err == nil && len(p.References) != 1 {
					err = fmt.Errorf("references: %v", p.References)
				}
				return err
			},
		},
		"a reference by free text is found": {
			unheard: func(ns string) error {
				_, err := create(a, object(registry.SessionCluster, ns, "My Session", session))
				return err
			},
			then: func(b *registry.Registry, ns string) error {
				_, err := create(b, object(registry.Deployment, ns, "d", `{"sessionClusterName":"My Session"}`))
				return err
			},
		},
		"a session cluster stays under one that refers to it by its free text": {
			unheard: func(ns string) error {
				_, err := create(a, object(registry.SessionCluster, ns, "My Session", session))
				_, err2 := create(a, object(registry.Deployment, ns, "d", `{"sessionClusterName":"My Session"}`))
				return errors.Join(err, err2)
			},
			then: func(b *registry.Registry, ns string) error {
				return remove(b, registry.Key{Kind: registry.SessionCluster, Namespace: ns, Name: "my-session"})
			},
			want: registry.ReasonSessionClusterReferenced,
		},
		"what is put by its id is found": {
			unheard: func(ns string) error {
				made, err := create(a, object(registry.Deployment, ns, "d", onTarget))
				id = made.Metadata.ID
				return err
			},
			then: func(b *registry.Registry, ns string) error {
				same, err := b.SameName(t.Context(), registry.Deployment, ns, id, "d")
				if err != nil || !same {
					return fmt.Errorf("the same: %t, %w", same, err)
				}
				_, outcome, err := b.Put(t.Context(), object(registry.Deployment, ns, id, `{"deploymentTargetName":"t","more":1}`), registry.Precondition{})
				if err == nil && outcome != registry.Replaced {
					err = fmt.Errorf("outcome %d", outcome)
				}
				return err
			},
		},
		"a name that has become free is taken": {
			unheard: func(ns string) error {
				return remove(a, registry.Key{Kind: registry.DeploymentTarget, Namespace: ns, Name: "t"})
			},
			then: func(b *registry.Registry, ns string) error {
				_, err := create(b, storetest.Target(ns, "t", "other"))
				return err
			},
		},
		"a name that was taken since is not": {
			unheard: func(ns string) error { _, err := create(a, storetest.Target(ns, "u", "flink")); return err },
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
			g, config := w.gate(t)
			b, err := registry.New(t.Context(), w.openAs(t, config, kubestore.Options{}), registry.Options{Home: "drey-system"})
			if err != nil {
				t.Fatal(err)
			}
			g.silent.Store(true)
			defer g.silent.Store(false)
			if err := c.unheard(ns); err != nil {
				t.Fatal(err)
			}
			if err := c.then(b, ns); registry.ReasonOf(err) != c.want || c.want == "" && err != nil {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
