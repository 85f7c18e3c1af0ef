package kubestore_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore"
	"drey.dev/drey/registry/storetest"
	"drey.dev/drey/test/framework/eventually"
)

// TestStoreErrors asks of the cluster what it does not give.
func TestStoreErrors(t *testing.T) {
	w := inWorld(t)
	s := w.open(t, kubestore.Options{})
	ns := w.Namespace(t)
	nobody, err := w.NewUser("nobody")
	if err != nil {
		t.Fatal(err)
	}
	huge := storetest.Target(ns, "huge", "flink")
	huge.Metadata.Annotations = map[string]string{"note": strings.Repeat("x", 300<<10)}
	bad := storetest.Target(ns, "bad", "Not_A_Namespace")
	token := storetest.Target(ns, "ci", "flink")
	token.Kind = registry.APIToken
	create := func(o registry.Object) func() error {
		return func() error { _, err := s.Create(t.Context(), o); return err }
	}
	for name, c := range map[string]struct {
		do     func() error
		reason registry.Reason
		want   string
	}{
		"no such Kubernetes namespace":         {create(storetest.Target("nowhere", "a", "flink")), registry.ReasonNotFound, "kubectl create namespace nowhere"},
		"what is too large":                    {create(huge), registry.ReasonInvalidSpec, "Too long"},
		"what the definitions refuse":          {create(bad), registry.ReasonInvalidSpec, "not the name of a Kubernetes namespace"},
		"an API token":                         {create(token), registry.ReasonNotSupported, "kubectl create token NAME -n " + ns},
		"a platform namespace of no namespace": {create(registry.Object{Kind: registry.Namespace, Metadata: registry.Metadata{Name: "nowhere"}}), registry.ReasonNotFound, "kubectl create namespace nowhere"},
		"a cluster that gives drey no rights": {func() error { _, err := kubestore.Open(t.Context(), nobody, kubestore.Options{}); return err },
			registry.ReasonClusterUnavailable, "drey has no right to list"},
		"a cluster that is not there": {func() error {
			_, err := kubestore.Open(t.Context(), &rest.Config{Host: closedPort(t)}, kubestore.Options{})
			return err
		}, registry.ReasonClusterUnavailable, "could not be asked to list"},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			err := c.do()
			if registry.ReasonOf(err) != c.reason || !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("got %v (%s)\nwant %s: %s", err, registry.ReasonOf(err), c.reason, c.want)
			}
		})
	}
	if tokens, err := s.List(t.Context(), registry.APIToken, ns); err != nil || len(tokens) != 0 {
		t.Errorf("API tokens: %v, %v", tokens, err)
	}
}

func closedPort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

// gate stands between a store and the API server, and closes.
type gate struct {
	*httptest.Server
	shut   atomic.Bool // to everything
	silent atomic.Bool // watches hear nothing
}

func (w *world) gate(t *testing.T) (*gate, *rest.Config) {
	t.Helper()
	target, err := url.Parse(w.Config().Host)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := rest.TransportFor(w.Config())
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     transport,
		FlushInterval: -1,
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
		ModifyResponse: func(r *http.Response) error {
			if r.Request.URL.Query().Get("watch") != "" {
				r.Body = &held{readCloser: r.Body, gate: g}
			}
			return nil
		},
	}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.shut.Load() {
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		g.silent.Store(false)
		g.CloseClientConnections()
		g.Close()
	})
	return g, &rest.Config{Host: g.URL, QPS: -1}
}

// held holds back what a watch says while the gate is silent.
type held struct {
	readCloser
	gate *gate
}

type readCloser = interface {
	Read([]byte) (int, error)
	Close() error
}

func (h *held) Read(p []byte) (int, error) {
	n, err := h.readCloser.Read(p)
	for h.gate.silent.Load() {
		time.Sleep(5 * time.Millisecond)
	}
	return n, err
}

func TestAPIServerUnavailable(t *testing.T) {
	w := inWorld(t)
	g, config := w.gate(t)
	s := w.openAs(t, config, kubestore.Options{})
	ns := w.Namespace(t)
	o, err := s.Create(t.Context(), storetest.Target(ns, "a", "flink"))
	if err != nil {
		t.Fatal(err)
	}
	g.shut.Store(true)
	g.CloseClientConnections()
	if got, err := s.Get(t.Context(), o.Key()); err != nil || got.Metadata.ID != o.Metadata.ID {
		t.Errorf("Get: %v", err)
	}
	if l, err := s.List(t.Context(), o.Kind, ns); err != nil || len(l) != 1 {
		t.Errorf("List: %v, %v", l, err)
	}
	_, createErr := s.Create(t.Context(), storetest.Target(ns, "b", "flink"))
	_, updateErr := s.Update(t.Context(), o, 1)
	_, currentErr := s.Get(registry.Current(t.Context()), o.Key())
	_, missingErr := s.Get(t.Context(), storetest.Target(ns, "missing", "").Key())
	for name, err := range map[string]error{"Create": createErr, "Update": updateErr, "Delete": s.Delete(t.Context(), o.Key(), 1), "a current Get": currentErr, "Get of what is not there": missingErr} {
		if registry.ReasonOf(err) != registry.ReasonClusterUnavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
	g.shut.Store(false)
	eventually.OK(t, soon, func() error { _, err := s.Create(t.Context(), storetest.Target(ns, "b", "flink")); return err })
}

// TestReadYourWritesStalledWatch: a write is durable although the
// watch does not bring it; who reads then asks the API server.
func TestReadYourWritesStalledWatch(t *testing.T) {
	w := inWorld(t)
	g, config := w.gate(t)
	s := w.openAs(t, config, kubestore.Options{})
	ns := w.Namespace(t)
	g.silent.Store(true)
	o, err := s.Create(t.Context(), storetest.Target(ns, "a", "flink"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(t.Context(), o.Key()); err != nil || got.Metadata.ResourceVersion != 1 {
		t.Errorf("Get: %+v, %v", got, err)
	}
	if l, err := s.List(t.Context(), o.Kind, ns); err != nil || len(l) != 1 {
		t.Errorf("List: %v, %v", l, err)
	}
	g.silent.Store(false)
	eventually.OK(t, soon, func() error {
		g.shut.Store(true) // now from memory alone
		defer g.shut.Store(false)
		_, err := s.Get(t.Context(), o.Key())
		return err
	})
}

// TestReplicasConverge lets three stores and kubectl's like write to a few objects
// at random, and compares what they say in the end, and what their watches told.
func TestReplicasConverge(t *testing.T) {
	w := inWorld(t)
	ns := w.Namespace(t)
	type replica struct {
		*kubestore.Store
		mu   sync.Mutex
		view map[registry.Key]registry.Object
	}
	replicas := make([]*replica, 3)
	for i := range replicas {
		r := &replica{Store: w.open(t, kubestore.Options{}), view: map[registry.Key]registry.Object{}}
		if i == 0 {
			go r.Report(t.Context())
		}
		replicas[i] = r
		if err := r.Watch(t.Context(), registry.Deployment, func(e registry.Event) {
			r.mu.Lock()
			defer r.mu.Unlock()
			key := e.Object.Key()
			last, known := r.view[key]
			if known != (e.Change != registry.Added) || known && e.Change == registry.Modified && last.Metadata.ResourceVersion == e.Object.Metadata.ResourceVersion {
				t.Errorf("%s %v@%d, after %d", e.Change, key, e.Object.Metadata.ResourceVersion, last.Metadata.ResourceVersion)
			}
			r.view[key] = e.Object
			if e.Change == registry.Deleted {
				delete(r.view, key)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	var wait sync.WaitGroup
	for i, r := range replicas {
		wait.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 1))
			for n := range 60 {
				o := storetest.Target(ns, fmt.Sprint("d", random.IntN(4)), "")
				o.Kind, o.Spec = registry.Deployment, json.RawMessage(fmt.Sprintf(`{"by":"%d-%d","n":1.0}`, i, n))
				o.Metadata.ID = fmt.Sprintf("%08d-0000-4000-8000-%012d", i, n)
				current, err := r.Get(registry.Current(t.Context()), o.Key())
				switch {
				case errors.Is(err, registry.ErrNotFound):
					_, err = r.Create(t.Context(), o)
				case err == nil && random.IntN(4) == 0:
					err = r.Delete(t.Context(), o.Key(), current.Metadata.ResourceVersion)
				case err == nil:
					o.Metadata.ID = current.Metadata.ID
					var kept registry.Object
					if kept, err = r.Update(t.Context(), o, current.Metadata.ResourceVersion); err == nil && kept.Metadata.ResourceVersion != current.Metadata.ResourceVersion+1 {
						t.Errorf("version %d after %d", kept.Metadata.ResourceVersion, current.Metadata.ResourceVersion)
					}
				}
				if err != nil && !errors.Is(err, registry.ErrNotFound) && !errors.Is(err, registry.ErrExists) && !errors.Is(err, registry.ErrConflict) {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	want, err := replicas[0].List(registry.Current(t.Context()), registry.Deployment, ns)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range replicas {
		eventually.OK(t, soon, func() error {
			got, err := r.List(t.Context(), registry.Deployment, ns)
			if err != nil {
				return err
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			if fmt.Sprint(got) != fmt.Sprint(want) || len(r.view) != len(want) {
				return fmt.Errorf("replica %d lists\n%v\nits watch has told\n%v\nthe API server has\n%v", i, got, r.view, want)
			}
			for _, o := range want {
				if fmt.Sprint(r.view[o.Key()]) != fmt.Sprint(o) {
					return fmt.Errorf("the watch of replica %d has told\n%v\nthe API server has\n%v", i, r.view[o.Key()], o)
				}
			}
			return nil
		})
	}
}

func TestPlatformNamespaces(t *testing.T) {
	w := inWorld(t)
	s := w.open(t, kubestore.Options{})
	ns := w.Namespace(t)
	var seen events
	if err := s.Watch(t.Context(), registry.Namespace, seen.observe(ns)); err != nil {
		t.Fatal(err)
	}
	is := func(want bool) {
		t.Helper()
		eventually.OK(t, soon, func() error {
			_, err := s.Get(t.Context(), registry.Key{Kind: registry.Namespace, Name: ns})
			all, listErr := s.List(t.Context(), registry.Namespace, "")
			listed := false
			for _, o := range all {
				listed = listed || o.Metadata.Name == ns
				if o.Metadata.Name == "kube-system" {
					t.Error("kube-system is listed")
				}
			}
			if (err == nil) != want || listed != want || listErr != nil {
				return fmt.Errorf("Get: %w, listed: %t, want %t", err, listed, want)
			}
			return nil
		})
	}
	is(false)
	w.MustKubectl(t, targetYAML("a", "", "flink"), "apply", "-n", ns, "-f", "-")
	is(true)
	w.MustKubectl(t, "", "delete", "dt", "a", "-n", ns)
	is(false)
	made, err := s.Create(t.Context(), registry.Object{Kind: registry.Namespace, Metadata: registry.Metadata{Name: ns}})
	if err != nil || made.Metadata.Name != ns || made.Metadata.ResourceVersion != 1 {
		t.Errorf("%+v, %v", made, err)
	}
	is(true)
	if _, err := s.Create(t.Context(), made); !errors.Is(err, registry.ErrExists) {
		t.Errorf("created twice: %v", err)
	}
	if err := s.Delete(t.Context(), made.Key(), 1); err != nil {
		t.Error(err)
	}
	is(false)
	w.MustKubectl(t, "", "label", "namespace", ns, "drey.dev/platform=true")
	is(true)
	if got, want := seen.text(), strings.TrimSuffix(strings.Repeat("Added "+ns+", Deleted "+ns+", ", 2)+"Added "+ns, ", "); got != want {
		t.Errorf("observed %s, want %s", got, want)
	}
	if _, err := s.Create(t.Context(), registry.Object{Kind: registry.Namespace, Metadata: registry.Metadata{Name: "default"}}); !errors.Is(err, registry.ErrExists) {
		t.Errorf("default: %v", err)
	}
	t.Run("told to, drey makes the Kubernetes namespace", func(t *testing.T) {
		s := w.open(t, kubestore.Options{CreateNamespaces: true})
		made, err := s.Create(t.Context(), registry.Object{Kind: registry.Namespace, Metadata: registry.Metadata{Name: "made-by-drey"}})
		if err != nil || made.Metadata.ID != w.MustKubectl(t, "", "get", "namespace", "made-by-drey", "-o", "jsonpath={.metadata.uid}") {
			t.Errorf("%+v, %v", made, err)
		}
	})
}
