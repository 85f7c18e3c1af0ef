// Package console serves the console of drey in the process of a test, over sample data.
package console

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"drey.dev/drey/cmd/drey/explain"
	"drey.dev/drey/console"
	"drey.dev/drey/console/page"
	"drey.dev/drey/denials"
	"drey.dev/drey/inventory"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/access"
	"drey.dev/drey/registry/memstore"
	"drey.dev/drey/registry/rest"
	"drey.dev/drey/webhook/verdict"
)

// Options configure a [Server].
type Options struct {
	Auth      bool // with API tokens, over TLS
	NoCluster bool
	Empty     bool // without sample data
	CookieKey []byte
}

// Now is the time of the console: ages in screenshots do not change.
var Now = time.Date(2026, 3, 9, 14, 30, 0, 0, time.UTC)

// Server is a running console.
type Server struct {
	*httptest.Server
	Registry  *registry.Registry
	Inventory *inventory.Inventory
	Denials   *denials.History
	Store     registry.Store
	Log       *Log

	EndStreams func() // as a shutdown does

	tokens  int // issued
	objects int // created
	denied  denials.Document
}

// Deny adds denials to the history, newest first as the history lists them.
func (s *Server) Deny(all ...denials.Denial) {
	s.denied.Revision++
	s.denied.Denials = append(s.denied.Denials, all...)
	s.Denials.Load(s.denied)
}

// Log is the log of the server.
type Log struct {
	mu   sync.Mutex
	text []byte
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

// String returns what was logged.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// Start serves a console until the test ends.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s := &Server{Store: memstore.New(), Log: &Log{}}
	log := slog.New(slog.NewTextHandler(s.Log, nil))
	index := registry.NewIndex("drey-system")
	var err error
	s.Registry, err = registry.New(t.Context(), s.Store, registry.Options{OwnNamespace: "drey-system", Namespaces: []string{"analytics", "payments", "search"}, Index: index})
	if err != nil {
		t.Fatal(err)
	}
	closing := make(chan struct{})
	options := console.Options{
		Registry: s.Registry, Store: s.Store, Log: log, Version: "v0.9.0", OwnNamespace: "drey-system", Throttle: access.NewThrottle(), CookieKey: o.CookieKey,
		Health: health(!o.NoCluster), Closing: closing, LoginHelp: []string{"An API token of drey. An owner of the platform namespace issues it: drey tokens create NAME --role viewer --platform-namespace NAMESPACE"},
		Explain: explain.Explainer{State: verdict.Caches{Registry: index}, OwnNamespace: "drey-system", Hint: verdict.RegisterHint{URL: "http://127.0.0.1:8080"}}.Explain,
		Now:     func() time.Time { return Now },
	}
	if !o.NoCluster {
		s.Inventory, s.Denials = inventory.New(), denials.NewHistory("drey-0", func() {})
		s.Denials.SetClock(func() time.Time { return Now })
		s.Inventory.SetSynced()
		s.Inventory.SetPods(samplePods)
		options.Inventory, options.Denials, options.Readiness = s.Inventory, s.Denials, readiness
	}
	if o.Auth {
		options.Now = nil // of sessions
		tokens, err := access.Follow(t.Context(), s.Store)
		if err != nil {
			t.Fatal(err)
		}
		options.Access = access.Any{tokens}
	}
	options.API = rest.New(rest.Options{Registry: s.Registry, Log: log, Access: options.Access, Throttle: options.Throttle})
	c, err := console.New(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	if !o.Empty {
		s.fill(t, !o.NoCluster)
	}
	s.Server = httptest.NewUnstartedServer(c.Mount(options.API))
	s.Config.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelWarn)
	if o.Auth {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	s.EndStreams = sync.OnceFunc(func() { close(closing) })
	t.Cleanup(s.EndStreams)
	return s
}

// readiness has the sample target sandbox without its Kubernetes namespace.
func readiness(_, target, kubernetesNamespace string) (registry.Readiness, bool) {
	if target == "sandbox" {
		return registry.Readiness{Reason: "NamespaceMissing", Message: fmt.Sprintf("Kubernetes namespace %q does not exist: kubectl create namespace %[1]s", kubernetesNamespace)}, true
	}
	return registry.Readiness{Ready: true, Reason: "Registered"}, true
}

// Token returns an API token with a role, in a platform namespace or in [registry.Everywhere].
func (s *Server) Token(t testing.TB, platformNamespace string, role access.Role) string {
	t.Helper()
	o, secret, err := access.Issue(platformNamespace, fmt.Sprintf("%s-%d", role, s.tokens), role)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Registry.Create(t.Context(), o, nil); err != nil {
		t.Fatal(err)
	}
	s.tokens++
	return secret
}

func health(cluster bool) func(context.Context) page.Health {
	return func(context.Context) page.Health {
		if !cluster {
			return page.Health{Store: "a file of this process"}
		}
		return page.Health{
			Cluster: true, Store: "custom resources", Mode: "enforce", Wanted: 2, Leader: "drey-6f7c9d8b54-k2x8w", LeaderSince: Now.Add(-3 * time.Hour),
			Replicas: []page.Replica{
				{Name: "drey-6f7c9d8b54-k2x8w", Ready: true, Leader: true, Since: Now.Add(-75 * time.Hour)},
				{Name: "drey-6f7c9d8b54-zq4lm", Ready: true, Self: true, Since: Now.Add(-75 * time.Hour)},
			},
			Certificate: page.Certificate{Issuer: "drey-ca", NotAfter: Now.Add(61 * 24 * time.Hour)},
		}
	}
}

// Target registers a target.
func (s *Server) Target(t testing.TB, platformNamespace, name, kubernetesNamespace string) registry.Object {
	t.Helper()
	return s.Create(t, registry.DeploymentTarget, platformNamespace, name, map[string]any{"kubernetes": map[string]string{"namespace": kubernetesNamespace}})
}

// Create stores an object, which must be valid, with an id and times that do not change between
// runs.
func (s *Server) Create(t testing.TB, kind registry.Kind, platformNamespace, name string, spec any) registry.Object {
	t.Helper()
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	s.objects++
	created := Now.Add(-time.Duration(s.objects*s.objects) * 7 * time.Hour)
	o, err := s.Store.Create(t.Context(), registry.Object{Kind: kind, Spec: text, Metadata: registry.Metadata{
		ID: uuid.NewSHA1(uuid.NameSpaceURL, fmt.Append(nil, kind, platformNamespace, name)).String(), Namespace: platformNamespace, Name: name,
		CreatedAt: created, ModifiedAt: created.Add(time.Duration(s.objects) * time.Hour), Labels: map[string]string{}, Annotations: map[string]string{},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return o
}
