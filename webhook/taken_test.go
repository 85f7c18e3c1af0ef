package webhook_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore"
	v1 "drey.dev/drey/registry/kubestore/v1"
	"drey.dev/drey/webhook"
	"drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/flink"
)

const taken, free = "0b6dbf26-9a4c-4f5c-8b0b-0d4a5c1e2f3a", "0b6dbf26-9a4c-4f5c-8b0b-0d4a5c1e2f3b"

// running are owners of which the cluster has one, with the UID taken.
type running struct{}

func (running) Of(context.Context, *flink.Object) ([]flink.Owner, bool) { return nil, true }
func (running) VerifyTemplate(_ context.Context, _ string, o flink.Owner, _ func(string, string, []byte) bool) flink.Owner {
	return o
}
func (running) HasUID(uid string) bool                       { return uid == taken }
func (running) Cluster(string, string) (flink.Cluster, bool) { return flink.Cluster{}, false }

// growth denies growth beyond a size.
type growth struct {
	rules
	limit int64
}

func (g growth) AllowGrowth(_ registry.Object, n int64) error {
	if n > g.limit {
		return &registry.Error{Reason: registry.ReasonQuotaExceeded, Message: fmt.Sprintf("%d bytes more", n)}
	}
	return nil
}

// TestRegistryReviewTaken: an object whose name or id belongs to another is denied, and one that
// grows beyond the quota.
func TestRegistryReviewTaken(t *testing.T) {
	object := func(id, text string) map[string]any {
		return map[string]any{
			"metadata": map[string]any{"name": "nuts", "namespace": "team-a", "uid": "4711", "annotations": map[string]any{v1.AnnotationID: id}},
			"spec":     map[string]any{"text": text},
		}
	}
	for rule, c := range map[string]struct {
		operation string
		old, new  map[string]any
		holder    string // of the name in the REST API
		says      string // empty: allowed
	}{
		"new name":                 {"CREATE", nil, object(free, ""), "", ""},
		"own name":                 {"CREATE", nil, object(free, ""), "nuts", ""},
		"name of another":          {"CREATE", nil, object(free, ""), "acorns", `exists in platform namespace "team-a" already, as acorns in Kubernetes: choose another spec.name, or delete that one first: kubectl delete deployment.drey.dev acorns -n team-a`},
		"id of a workload":         {"CREATE", nil, object(taken, ""), "", "something that runs"},
		"update to that id":        {"UPDATE", object(free, ""), object(taken, ""), "nuts", "something that runs"},
		"update of one with it":    {"UPDATE", object(taken, ""), object(taken, "a"), "nuts", ""},
		"creation beyond quota":    {"CREATE", nil, object(free, strings.Repeat("x", 2000)), "", "bytes more"},
		"update beyond quota":      {"UPDATE", object(free, ""), object(free, strings.Repeat("x", 2000)), "nuts", "bytes more"},
		"update that shrinks":      {"UPDATE", object(free, strings.Repeat("x", 4000)), object(free, strings.Repeat("x", 2000)), "nuts", ""},
		"update that grows little": {"UPDATE", object(free, strings.Repeat("x", 4000)), object(free, strings.Repeat("x", 4001)), "nuts", ""},
	} {
		t.Run(rule, func(t *testing.T) {
			handler := newWebhooks(t, nil, webhook.Options{Owners: running{}, Objects: &webhook.Objects{
				Rules: growth{limit: 1500}, Decode: kubestore.Decode,
				Holder: func(_ context.Context, key registry.Key) (registry.Object, string, error) {
					if c.holder == "" {
						return registry.Object{}, "", registry.ErrNotFound
					}
					return registry.Object{Kind: key.Kind}, c.holder, nil
				},
				Has:    func(context.Context, registry.Key, string) (bool, error) { return true, nil },
				Ending: func(context.Context, string) (bool, error) { return false, nil },
			}}).Handlers()[config.PathValidateRegistry]
			request := map[string]any{"uid": "1", "operation": c.operation, "namespace": "team-a", "kind": map[string]any{"kind": "Deployment"}, "object": c.new}
			if c.old != nil {
				request["oldObject"] = c.old
			}
			body, err := json.Marshal(map[string]any{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request})
			if err != nil {
				t.Fatal(err)
			}
			response := send(handler, body)
			if response.Code != 200 {
				t.Fatalf("%d: %s", response.Code, response.Body)
			}
			if a := readAnswer(t, response.Body.Bytes()); a.Allowed != (c.says == "") || !strings.Contains(a.Status.Message, c.says) {
				t.Errorf("got %+v, want %s", a.Status, cmp.Or(c.says, "allowed"))
			}
		})
	}
}

// TestSender: a denial has the address of its sender, unless that has shown a client certificate.
func TestSender(t *testing.T) {
	for rule, c := range map[string]struct {
		address string
		chains  [][]*x509.Certificate
		want    string
	}{
		"address":            {"10.0.0.1:4711", nil, "10.0.0.1"},
		"IPv6":               {"[fd00::1]:4711", nil, "fd00::1"},
		"no port":            {"pipe", nil, "pipe"},
		"client certificate": {"10.0.0.1:4711", [][]*x509.Certificate{{{}}}, ""},
	} {
		t.Run(rule, func(t *testing.T) {
			var denials []webhook.Denial
			w := newWebhooks(t, nil, webhook.Options{Observe: func(d webhook.Denial) { denials = append(denials, d) }, Metrics: prometheus.NewRegistry()})
			r := httptest.NewRequest(http.MethodPost, config.PathLabelPods, strings.NewReader(string(reviewOf(t, pod(), "flink"))))
			r.Header.Set("Content-Type", "application/json")
			r.RemoteAddr = c.address
			r.TLS = &tls.ConnectionState{VerifiedChains: c.chains}
			w.Handlers()[config.PathLabelPods].ServeHTTP(httptest.NewRecorder(), r)
			if len(denials) != 1 || denials[0].Sender != c.want {
				t.Errorf("denials %+v, want the sender %q", denials, c.want)
			}
		})
	}
}
