package kubestore_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// TestStoreErrors checks the reason of an error, and the remedy in its text.
func TestStoreErrors(t *testing.T) {
	w := sharedWorld(t)
	s := w.open(t, kubestore.Options{})
	ns := w.Namespace(t)
	unprivileged, err := w.NewUser("unprivileged")
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
		"Kubernetes namespace missing": {create(storetest.Target("nowhere", "a", "flink")), registry.ReasonNotFound, "kubectl create namespace nowhere"},
		"object too large":             {create(huge), registry.ReasonInvalidSpec, "Too long"},
		"CRD validation":               {create(bad), registry.ReasonInvalidSpec, "not the name of a Kubernetes namespace"},
		"API token":                    {create(token), registry.ReasonNotSupported, "kubectl create token NAME -n " + ns},
		"platform namespace without a Kubernetes namespace": {create(registry.Object{Kind: registry.Namespace, Metadata: registry.Metadata{Name: "nowhere"}}), registry.ReasonNotFound, "kubectl create namespace nowhere"},
		"no RBAC permission": {func() error { _, err := kubestore.Open(t.Context(), unprivileged, kubestore.Options{}); return err },
			registry.ReasonClusterUnavailable, "drey is not permitted to list"},
		"API server unreachable": {func() error {
			_, err := kubestore.Open(t.Context(), &rest.Config{Host: closedPort(t)}, kubestore.Options{})
			return err
		}, registry.ReasonClusterUnavailable, "cannot list"},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			err := c.do()
			if registry.ReasonOf(err) != c.reason || !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("got %v (%s)\nwant %s: %s", err, registry.ReasonOf(err), c.reason, c.want)
			}
		})
	}
	if tokens, err := s.List(t.Context(), registry.APIToken, ns, registry.Cached); err != nil || len(tokens) != 0 {
		t.Errorf("List of API tokens: got %v, %v, want none", tokens, err)
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

// apiProxy is a reverse proxy between a store and the API server that injects faults.
type apiProxy struct {
	*httptest.Server
	down    atomic.Bool // all connections fail
	stalled atomic.Bool // watches deliver nothing
}

// proxy starts an apiProxy, and returns the client configuration that leads through it.
func (w *world) proxy(t *testing.T) (*apiProxy, *rest.Config) {
	t.Helper()
	target, err := url.Parse(w.Config().Host)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := rest.TransportFor(w.Config())
	if err != nil {
		t.Fatal(err)
	}
	p := &apiProxy{}
	reverse := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     transport,
		FlushInterval: -1,
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
		ModifyResponse: func(r *http.Response) error {
			if r.Request.URL.Query().Get("watch") != "" {
				r.Body = &watchBody{ReadCloser: r.Body, proxy: p}
			}
			return nil
		},
	}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.down.Load() {
			panic(http.ErrAbortHandler)
		}
		reverse.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		p.stalled.Store(false)
		p.CloseClientConnections()
		p.Close()
	})
	return p, &rest.Config{Host: p.URL, QPS: -1}
}

// watchBody is the body of a watch. Read blocks while the proxy is stalled.
type watchBody struct {
	io.ReadCloser
	proxy *apiProxy
}

func (b *watchBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	for b.proxy.stalled.Load() {
		time.Sleep(5 * time.Millisecond)
	}
	return n, err
}

// TestAPIServerUnavailable reads from the cache while the API server is unreachable. Writes
// and consistent reads fail with ReasonClusterUnavailable.
func TestAPIServerUnavailable(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	p, config := w.proxy(t)
	s := w.openAs(t, config, kubestore.Options{})
	ns := w.Namespace(t)
	o, err := s.Create(t.Context(), storetest.Target(ns, "a", "flink"))
	if err != nil {
		t.Fatal(err)
	}
	p.down.Store(true)
	p.CloseClientConnections()
	if got, err := s.Get(t.Context(), o.Key(), registry.Cached); err != nil || got.Metadata.ID != o.Metadata.ID {
		t.Errorf("Get: %v", err)
	}
	if l, err := s.List(t.Context(), o.Kind, ns, registry.Cached); err != nil || len(l) != 1 {
		t.Errorf("List: %v, %v", l, err)
	}
	_, createErr := s.Create(t.Context(), storetest.Target(ns, "b", "flink"))
	_, updateErr := s.Update(t.Context(), o, 1)
	_, currentErr := s.Get(t.Context(), o.Key(), registry.Consistent)
	_, missingErr := s.Get(t.Context(), storetest.Target(ns, "missing", "").Key(), registry.Cached)
	for name, err := range map[string]error{"Create": createErr, "Update": updateErr, "Delete": s.Delete(t.Context(), o.Key(), 1), "consistent Get": currentErr, "Get of a missing object": missingErr} {
		if registry.ReasonOf(err) != registry.ReasonClusterUnavailable {
			t.Errorf("%s: got %v, want ReasonClusterUnavailable", name, err)
		}
	}
	p.down.Store(false)
	eventually.OK(t, func() error { _, err := s.Create(t.Context(), storetest.Target(ns, "b", "flink")); return err })
}

// TestReadYourWritesStalledWatch writes while the watch delivers nothing. Get and List read
// the API server until the cache has the write.
func TestReadYourWritesStalledWatch(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	p, config := w.proxy(t)
	s := w.openAs(t, config, kubestore.Options{})
	ns := w.Namespace(t)
	p.stalled.Store(true)
	o, err := s.Create(t.Context(), storetest.Target(ns, "a", "flink"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(t.Context(), o.Key(), registry.Cached); err != nil || got.Metadata.ResourceVersion != 1 {
		t.Errorf("Get: %+v, %v", got, err)
	}
	if l, err := s.List(t.Context(), o.Kind, ns, registry.Cached); err != nil || len(l) != 1 {
		t.Errorf("List: %v, %v", l, err)
	}
	p.stalled.Store(false)
	eventually.OK(t, func() error {
		p.down.Store(true) // from the cache alone
		defer p.down.Store(false)
		_, err := s.Get(t.Context(), o.Key(), registry.Cached)
		return err
	})
}

// TestReplicasConverge has three stores write to a few objects at random, and compares
// their final lists and watch events with the API server.
func TestReplicasConverge(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
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
			go r.ReportStatus(t.Context())
		}
		replicas[i] = r
		if err := r.Watch(t.Context(), registry.Deployment, func(e registry.Event) {
			r.mu.Lock()
			defer r.mu.Unlock()
			key := e.Object.Key()
			if key.Namespace != ns { // of another test
				return
			}
			last, exists := r.view[key]
			if exists != (e.Change != registry.Added) || exists && e.Change == registry.Modified && last.Metadata.ResourceVersion == e.Object.Metadata.ResourceVersion {
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
				current, err := r.Get(t.Context(), o.Key(), registry.Consistent)
				switch {
				case errors.Is(err, registry.ErrNotFound):
					_, err = r.Create(t.Context(), o)
				case err == nil && random.IntN(4) == 0:
					err = r.Delete(t.Context(), o.Key(), current.Metadata.ResourceVersion)
				case err == nil:
					o.Metadata.ID = current.Metadata.ID
					var kept registry.Object
					if kept, err = r.Update(t.Context(), o, current.Metadata.ResourceVersion); err == nil && kept.Metadata.ResourceVersion != current.Metadata.ResourceVersion+1 {
						t.Errorf("got version %d after %d", kept.Metadata.ResourceVersion, current.Metadata.ResourceVersion)
					}
				}
				if err != nil && !errors.Is(err, registry.ErrNotFound) && !errors.Is(err, registry.ErrExists) && !errors.Is(err, registry.ErrConflict) {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	want, err := replicas[0].List(t.Context(), registry.Deployment, ns, registry.Consistent)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range replicas {
		eventually.OK(t, func() error {
			got, err := r.List(t.Context(), registry.Deployment, ns, registry.Cached)
			if err != nil {
				return err
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			if fmt.Sprint(got) != fmt.Sprint(want) || len(r.view) != len(want) {
				return fmt.Errorf("replica %d: got the list\n%v\nand by watch\n%v\nwant\n%v", i, got, r.view, want)
			}
			for _, o := range want {
				if fmt.Sprint(r.view[o.Key()]) != fmt.Sprint(o) {
					return fmt.Errorf("replica %d: got by watch\n%v\nwant\n%v", i, r.view[o.Key()], o)
				}
			}
			return nil
		})
	}
}

// TestPlatformNamespaces: a Kubernetes namespace is a platform namespace while it has drey's
// objects or the label drey.dev/platform.
func TestPlatformNamespaces(t *testing.T) {
	w := sharedWorld(t)
	s := w.open(t, kubestore.Options{})
	ns := w.Namespace(t)
	var seen events
	if err := s.Watch(t.Context(), registry.Namespace, seen.observe(ns)); err != nil {
		t.Fatal(err)
	}
	wantExists := func(want bool) {
		t.Helper()
		eventually.OK(t, func() error {
			_, err := s.Get(t.Context(), registry.Key{Kind: registry.Namespace, Name: ns}, registry.Cached)
			all, listErr := s.List(t.Context(), registry.Namespace, "", registry.Cached)
			listed := false
			for _, o := range all {
				listed = listed || o.Metadata.Name == ns
				if o.Metadata.Name == "kube-system" {
					t.Error("got kube-system in the list, want it excluded")
				}
			}
			if (err == nil) != want || listed != want || listErr != nil {
				return fmt.Errorf("got Get: %w, listed: %t, want %t", err, listed, want)
			}
			return nil
		})
	}
	wantExists(false)
	w.MustKubectl(t, targetYAML("a", "", "flink"), "apply", "-n", ns, "-f", "-")
	wantExists(true)
	w.MustKubectl(t, "", "delete", "dt", "a", "-n", ns)
	wantExists(false)
	created, err := s.Create(t.Context(), registry.Object{Kind: registry.Namespace, Metadata: registry.Metadata{Name: ns}})
	if err != nil || created.Metadata.Name != ns || created.Metadata.ResourceVersion != 1 {
		t.Errorf("Create: got %+v, %v, want version 1", created, err)
	}
	wantExists(true)
	if _, err := s.Create(t.Context(), created); !errors.Is(err, registry.ErrExists) {
		t.Errorf("second Create: got %v, want ErrExists", err)
	}
	if err := s.Delete(t.Context(), created.Key(), 1); err != nil {
		t.Error(err)
	}
	wantExists(false)
	w.MustKubectl(t, "", "label", "namespace", ns, "drey.dev/platform=true")
	wantExists(true)
	if got, want := seen.text(), strings.TrimSuffix(strings.Repeat("Added "+ns+", Deleted "+ns+", ", 2)+"Added "+ns, ", "); got != want {
		t.Errorf("got the events %s, want %s", got, want)
	}
	if _, err := s.Create(t.Context(), registry.Object{Kind: registry.Namespace, Metadata: registry.Metadata{Name: "default"}}); !errors.Is(err, registry.ErrExists) {
		t.Errorf("Create of default: got %v, want ErrExists", err)
	}
	t.Run("CreateNamespaces creates the Kubernetes namespace", func(t *testing.T) {
		s := w.open(t, kubestore.Options{CreateNamespaces: true})
		created, err := s.Create(t.Context(), registry.Object{Kind: registry.Namespace, Metadata: registry.Metadata{Name: "created-by-drey"}})
		if err != nil || created.Metadata.ID != w.MustKubectl(t, "", "get", "namespace", "created-by-drey", "-o", "jsonpath={.metadata.uid}") {
			t.Errorf("Create: got %+v, %v, want the uid of the Kubernetes namespace", created, err)
		}
	})
}
