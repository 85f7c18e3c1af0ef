package certs

import (
	"context"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

const testToken = "abcdefghijklmnopqrstuvwxyz"

func byPath(name, path string) admissionregistrationv1.ValidatingWebhook {
	service := &admissionregistrationv1.ServiceReference{Namespace: "drey-system", Name: "drey"}
	if path != "" {
		service.Path = &path
	}
	return admissionregistrationv1.ValidatingWebhook{Name: name, ClientConfig: admissionregistrationv1.WebhookClientConfig{Service: service}}
}

func byURL(name, url string) admissionregistrationv1.ValidatingWebhook {
	return admissionregistrationv1.ValidatingWebhook{Name: name, ClientConfig: admissionregistrationv1.WebhookClientConfig{URL: &url}}
}

func configurationOf(webhooks ...admissionregistrationv1.ValidatingWebhook) configuration {
	return validating(&admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "drey", ResourceVersion: "1", Labels: map[string]string{NameLabel: Owner}}, Webhooks: webhooks,
	})
}

// TestPathOps: a path gets a token if it has none, or another one if all are renewed.
func TestPathOps(t *testing.T) {
	const path, url = "/webhooks/0/clientConfig/service/path", "/webhooks/0/clientConfig/url"
	for rule, c := range map[string]struct {
		webhook    admissionregistrationv1.ValidatingWebhook
		all        bool
		path, want string // want is a prefix; empty: not changed
	}{
		"no path":             {byPath("a.drey.dev", ""), false, path, "/a/"},
		"no token":            {byPath("a.drey.dev", "/a"), false, path, "/a/"},
		"short token":         {byPath("a.drey.dev", "/a/b"), false, path, "/a/"},
		"path of another":     {byPath("a.drey.dev", "/b/"+testToken), false, path, "/a/"},
		"token":               {byPath("a.drey.dev", "/a/"+testToken), false, "", ""},
		"token, all":          {byPath("a.drey.dev", "/a/"+testToken), true, path, "/a/"},
		"unknown webhook":     {byPath("b.drey.dev", "/b"), true, "", ""},
		"URL without a path":  {byURL("a.drey.dev", "https://drey.example:9443"), false, url, "https://drey.example:9443/a/"},
		"URL without a token": {byURL("a.drey.dev", "https://drey.example/a"), false, url, "https://drey.example/a/"},
		"URL with a token":    {byURL("a.drey.dev", "https://drey.example/a/"+testToken), false, "", ""},
	} {
		t.Run(rule, func(t *testing.T) {
			renewer := pathRenewer{base: map[string]string{"a.drey.dev": "/a"}}
			ops := renewer.ops(configurationOf(c.webhook), c.all)
			if c.path == "" {
				if len(ops) > 0 {
					t.Errorf("got %v, want no change", ops)
				}
				return
			}
			if len(ops) != 1 || ops[0].Path != c.path {
				t.Fatalf("got %v, want one of %s", ops, c.path)
			}
			token, ok := strings.CutPrefix(ops[0].Value.(string), c.want)
			if !ok || !regexp.MustCompile(`^[a-z2-7]{26}$`).MatchString(token) || token == testToken {
				t.Errorf("got %q, want %sTOKEN", ops[0].Value, c.want)
			}
		})
	}
}

// TestPathsOfWebhooksDiffer: a token that a call of one webhook discloses is of no use for
// another.
func TestPathsOfWebhooksDiffer(t *testing.T) {
	renewer := pathRenewer{base: map[string]string{"a.drey.dev": "/a", "b.drey.dev": "/a"}}
	ops := renewer.ops(configurationOf(byPath("a.drey.dev", ""), byPath("b.drey.dev", "")), false)
	if len(ops) != 2 || ops[0].Value == ops[1].Value {
		t.Errorf("got %v, want two tokens", ops)
	}
}

// TestStatedPaths: a path is accepted while a configuration states it, and for the
// propagation delay afterwards.
func TestStatedPaths(t *testing.T) {
	var s statedPaths
	now := start
	state := func(path string) {
		s.observe([]configuration{configurationOf(byPath("a.drey.dev", path))}, time.Minute, now)
	}
	check := func(when string, want map[string]bool) {
		t.Helper()
		got := map[string]bool{}
		for path := range want {
			got[path] = s.has(path, now)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	check("before any", map[string]bool{"/a": false, "": false})
	state("/a/1")
	check("first", map[string]bool{"/a/1": true, "/a/2": false, "/a": false})
	state("/a/2")
	check("renewed", map[string]bool{"/a/1": true, "/a/2": true})
	now = now.Add(59 * time.Second)
	state("/a/2")
	check("within the delay", map[string]bool{"/a/1": true, "/a/2": true})
	now = now.Add(2 * time.Second)
	check("after the delay", map[string]bool{"/a/1": false, "/a/2": true})
	state("/a/1") // restored from a backup
	check("restored", map[string]bool{"/a/1": true, "/a/2": true})
	now = now.Add(time.Hour)
	state("/a/1")
	check("later", map[string]bool{"/a/1": true, "/a/2": false})
}

// TestPathRenewal: a leader renews the tokens when it starts and every hour, and meanwhile
// restores lost ones at once.
func TestPathRenewal(t *testing.T) {
	s := &oneConfiguration{configurationOf(byPath("a.drey.dev", "/a/"+testToken), byPath("b.drey.dev", ""))}
	now := start
	newLeader := func() *writer {
		return &writer{
			api: s, policy: simulated, now: func() time.Time { return now }, log: slog.New(slog.DiscardHandler),
			paths: pathRenewer{base: map[string]string{"a.drey.dev": "/a", "b.drey.dev": "/b"}},
		}
	}
	leader := newLeader()
	reconcile := func() []string {
		t.Helper()
		next, err := leader.reconcile(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if renewal := now.Add(time.Hour); next.After(renewal) {
			t.Errorf("got the next reconciliation at %s, want at most %s", next, renewal)
		}
		return []string{s.webhooks[0].path, s.webhooks[1].path}
	}
	first := reconcile()
	if first[0] == "/a/"+testToken || !HasPathToken(first[0], "/a") || !HasPathToken(first[1], "/b") {
		t.Errorf("first: got %v, want new tokens", first)
	}
	now = now.Add(59 * time.Minute)
	if got := reconcile(); got[0] != first[0] || got[1] != first[1] {
		t.Errorf("within the lifetime: got %v, want %v", got, first)
	}
	s.webhooks[0].path = "/a"
	if got := reconcile(); got[0] == first[0] || !HasPathToken(got[0], "/a") || got[1] != first[1] {
		t.Errorf("lost: got %v, want a new token of the first", got)
	}
	now = now.Add(time.Minute)
	if got := reconcile(); got[1] == first[1] {
		t.Errorf("after the lifetime: got %v, want new tokens", got)
	}
	before := reconcile()
	leader = newLeader()
	if got := reconcile(); got[0] == before[0] || got[1] == before[1] {
		t.Errorf("new leader: got %v, want new tokens", got)
	}
}

// oneConfiguration is a [store] without a Secret.
type oneConfiguration struct{ configuration }

func (s *oneConfiguration) secret(context.Context, string) (*corev1.Secret, error) { return nil, nil }
func (s *oneConfiguration) write(context.Context, *corev1.Secret) error            { return nil }

func (s *oneConfiguration) configurations(context.Context) ([]configuration, error) {
	return []configuration{s.configuration}, nil
}

func (s *oneConfiguration) patch(_ context.Context, _ configuration, ops []patchOp) error {
	for _, op := range ops {
		if path, ok := op.Value.(string); ok {
			s.webhooks[op.Path[len("/webhooks/")]-'0'].path = path
		}
	}
	return nil
}

// TestUnknownPath: a path that the watch has not delivered yet is read from the API server.
// Requests with unknown paths share one read a second.
func TestUnknownPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, reads := newTestReplica(byPath("a.drey.dev", "/a/"+testToken))
		if !r.StatesPath(t.Context(), "/a/"+testToken) {
			t.Error("got unknown, want stated: it is in the API server")
		}
		time.Sleep(time.Millisecond)
		var wait sync.WaitGroup
		begin := time.Now()
		for range 500 {
			wait.Go(func() {
				if r.StatesPath(t.Context(), "/a") {
					t.Error("got stated, want unknown")
				}
			})
		}
		wait.Wait()
		if n, took := reads.Load(), time.Since(begin)+time.Millisecond; n != 2 || took != pathReadInterval {
			t.Errorf("got %d reads within %s, want the second after %s", n, took, pathReadInterval)
		}
		begin = time.Now()
		if !r.StatesPath(t.Context(), "/a/"+testToken) || time.Since(begin) != 0 {
			t.Errorf("got a stated path after %s, want it at once", time.Since(begin))
		}
	})
}

// newTestReplica returns a replica whose watch has delivered nothing, and how often it has
// read the configuration.
func newTestReplica(webhooks ...admissionregistrationv1.ValidatingWebhook) (*replica, *atomic.Int32) {
	client := fake.NewClientset(&admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "drey"}, Webhooks: webhooks})
	reads := new(atomic.Int32)
	client.PrependReactor("get", "validatingwebhookconfigurations", func(clienttesting.Action) (bool, runtime.Object, error) {
		reads.Add(1)
		return false, nil, nil
	})
	a := &api{client.CoreV1(), client.AdmissionregistrationV1(), "drey-system", "drey"}
	return newReplica(Options{Log: slog.New(slog.DiscardHandler)}, a, time.Minute, SecretName, checkSecretOwner, 0), reads
}
