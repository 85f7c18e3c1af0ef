package modes

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	metadatafake "k8s.io/client-go/metadata/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"

	webhookconfig "drey.dev/drey/webhook/config"
)

var namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}

// namespace returns the namespace orders with a value of [webhookconfig.LabelMode]; empty: without it.
func namespace(mode string) *metav1.PartialObjectMetadata {
	n := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}, ObjectMeta: metav1.ObjectMeta{Name: "orders"}}
	if mode != "" {
		n.Labels = map[string]string{webhookconfig.LabelMode: mode}
	}
	return n
}

// start runs Modes on a cluster with namespaces. unlisted makes lists fail while it is set.
func start(t *testing.T, fallback webhookconfig.Mode, log *slog.Logger, unlisted *atomic.Bool, all ...runtime.Object) (*Modes, *metadatafake.FakeMetadataClient) {
	t.Helper()
	scheme := metadatafake.NewTestScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	client := metadatafake.NewSimpleMetadataClient(scheme, all...)
	client.PrependReactor("list", "namespaces", func(clienttesting.Action) (bool, runtime.Object, error) {
		return unlisted.Load(), nil, apierrors.NewInternalError(errors.New("etcd is down"))
	})
	m, err := newModes(client, fallback, log)
	if err != nil {
		t.Fatal(err)
	}
	go m.Run(t.Context())
	return m, client
}

// pass lets time pass for lists and watches.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestOf(t *testing.T) {
	for rule, c := range map[string]struct {
		fallback webhookconfig.Mode
		label    string
		want     webhookconfig.Mode
		logged   bool
	}{
		"no label":              {webhookconfig.Enforce, "", webhookconfig.Enforce, false},
		"no label, audit":       {webhookconfig.Audit, "", webhookconfig.Audit, false},
		"warn":                  {webhookconfig.Enforce, "warn", webhookconfig.Warn, false},
		"audit":                 {webhookconfig.Enforce, "audit", webhookconfig.Audit, false},
		"enforce":               {webhookconfig.Warn, "enforce", webhookconfig.Enforce, false},
		"unknown mode":          {webhookconfig.Enforce, "off", webhookconfig.Enforce, true},
		"mode in another case":  {webhookconfig.Enforce, "Audit", webhookconfig.Enforce, true},
		"unknown mode, in warn": {webhookconfig.Warn, "no", webhookconfig.Warn, true},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				m, _ := start(t, c.fallback, slog.New(slog.NewTextHandler(&log, nil)), new(atomic.Bool), namespace(c.label))
				pass(time.Second)
				if got := m.Of("orders"); got != c.want {
					t.Errorf("got %s, want %s", got, c.want)
				}
				if got := m.Of("missing"); got != c.fallback {
					t.Errorf("namespace that does not exist: got %s, want %s", got, c.fallback)
				}
				if logged := strings.Contains(log.String(), "namespace label ignored"); logged != c.logged {
					t.Errorf("log: %s", &log)
				}
			})
		})
	}
}

// TestNew: only the metadata of namespaces with the label is requested.
func TestNew(t *testing.T) {
	requests := make(chan *http.Request, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case requests <- r:
		default: // one is enough
		}
		http.Error(w, "no", http.StatusForbidden)
	}))
	defer server.Close()
	m, err := New(&rest.Config{Host: server.URL}, webhookconfig.Warn, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	go m.Run(t.Context())
	r := <-requests
	if got := r.URL.Query().Get("labelSelector"); r.URL.Path != "/api/v1/namespaces" || got != webhookconfig.LabelMode {
		t.Errorf("got a request of %s with the selector %q, want namespaces with the label", r.URL, got)
	}
	if accept := r.Header.Get("Accept"); !strings.Contains(accept, "as=PartialObjectMetadata") {
		t.Errorf("got the media types %q, want metadata alone", accept)
	}
	if m.Synced() || m.Of("orders") != webhookconfig.Warn {
		t.Error("got a synced cache after a 403, want the fallback")
	}
}

// TestOfChanges checks that the watch delivers new, changed and removed labels.
func TestOfChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, client := start(t, webhookconfig.Enforce, slog.New(slog.DiscardHandler), new(atomic.Bool), namespace("warn"))
		pass(time.Second)
		tracker := client.Tracker()
		for _, c := range []struct {
			change func() error
			want   webhookconfig.Mode
		}{
			{func() error { return tracker.Update(namespaces, namespace("audit"), "") }, webhookconfig.Audit},
			{func() error { return tracker.Update(namespaces, namespace("nonsense"), "") }, webhookconfig.Enforce},
			{func() error { return tracker.Update(namespaces, namespace("warn"), "") }, webhookconfig.Warn},
			{func() error { return tracker.Delete(namespaces, "", "orders") }, webhookconfig.Enforce},
			{func() error { return tracker.Create(namespaces, namespace("audit"), "") }, webhookconfig.Audit},
		} {
			if err := c.change(); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if got := m.Of("orders"); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		}
	})
}

// TestSynced checks that the mode of the installation applies until namespaces are listed,
// which is retried.
func TestSynced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var unlisted atomic.Bool
		unlisted.Store(true)
		var log bytes.Buffer
		m, _ := start(t, webhookconfig.Enforce, slog.New(slog.NewTextHandler(&log, nil)), &unlisted, namespace("audit"))
		pass(10 * time.Minute)
		if m.Synced() || m.Of("orders") != webhookconfig.Enforce {
			t.Error("synced without a list")
		}
		if !strings.Contains(log.String(), "namespaces not watched") {
			t.Errorf("failed list not logged: %s", &log)
		}
		unlisted.Store(false)
		pass(2 * time.Minute)
		if !m.Synced() || m.Of("orders") != webhookconfig.Audit {
			t.Errorf("synced %t, mode %s after the list", m.Synced(), m.Of("orders"))
		}
	})
}
