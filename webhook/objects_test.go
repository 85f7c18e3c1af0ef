package webhook_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore"
	"drey.dev/drey/webhook"
	"drey.dev/drey/webhook/config"
)

// rules answer what a test wants; the real ones are asked in test/e2e/kubectl.
type rules struct{ err error }

func (r rules) AllowCreate(context.Context, registry.Object) error                  { return r.err }
func (r rules) AllowUpdate(context.Context, registry.Object, registry.Object) error { return r.err }
func (r rules) AllowDelete(context.Context, registry.Object) error                  { return r.err }
func (rules) AllowGrowth(registry.Object, int64) error                              { return nil }
func (rules) Warnings(registry.Object) []string                                     { return nil }

// TestWritesToOwnObjectsFailClosed: what cannot be found out is refused, in words
// that say what to do, and the rest as the registry says it.
func TestWritesToOwnObjectsFailClosed(t *testing.T) {
	errBroken := errors.New("connection refused")
	referenced := &registry.Error{Reason: registry.ReasonTargetReferenced, Message: "something refers to it"}
	unavailable := fmt.Errorf("%w: secret details", &registry.Error{Reason: registry.ReasonClusterUnavailable, Message: "the cluster could not be asked: try again"})
	for rule, c := range map[string]struct {
		operation   string
		rules       error // of the registry
		holder      error // of looking who has the name
		ending      bool
		endingErr   error
		code        int // 0: allowed
		says        string
		auditedAs   string
		subResource string
		dryRun      bool
		markErr     error
		marked      string // empty: nothing
		uid         string // of another than the cluster has
	}{
		"what keeps the rules is allowed":                      {operation: "CREATE", holder: registry.ErrNotFound, auditedAs: "Valid"},
		"what breaks one is refused":                           {operation: "UPDATE", rules: referenced, code: 403, says: "something refers to it", auditedAs: "TargetReferenced"},
		"a deletion too, and its mark is taken off":            {operation: "DELETE", rules: referenced, code: 403, says: "something refers to it", auditedAs: "TargetReferenced", marked: "false"},
		"one that may be marks what goes":                      {operation: "DELETE", auditedAs: "Valid", marked: "true"},
		"but a dry run changes nothing":                        {operation: "DELETE", dryRun: true, auditedAs: "Valid"},
		"a refused one neither":                                {operation: "DELETE", dryRun: true, rules: referenced, code: 403, says: "something refers to it", auditedAs: "TargetReferenced"},
		"what cannot be marked stays":                          {operation: "DELETE", markErr: errBroken, code: 503, says: "connection refused", auditedAs: "ClusterUnavailable", marked: "true"},
		"but not when the namespace goes":                      {operation: "DELETE", rules: referenced, ending: true, auditedAs: "NotApplicable", marked: "false"},
		"nor when nothing can be told of it":                   {operation: "DELETE", holder: errBroken, ending: true, auditedAs: "NotApplicable"},
		"a namespace that cannot be asked about stays":         {operation: "DELETE", rules: referenced, endingErr: errBroken, code: 403, says: "something refers to it", auditedAs: "TargetReferenced", marked: "false"},
		"a namespace that goes lets nothing be made":           {operation: "CREATE", rules: referenced, holder: registry.ErrNotFound, ending: true, code: 403, says: "something", auditedAs: "TargetReferenced"},
		"what nobody has in REST may go":                       {operation: "DELETE", rules: referenced, holder: registry.ErrNotFound, auditedAs: "Valid"},
		"an unknown failure is to be tried again":              {operation: "UPDATE", rules: errBroken, code: 503, says: "drey could not find out whether this may be: connection refused. Try again", auditedAs: "ClusterUnavailable"},
		"so is a cluster that does not answer":                 {operation: "CREATE", rules: unavailable, holder: registry.ErrNotFound, code: 503, says: "the cluster could not be asked: try again", auditedAs: "ClusterUnavailable"},
		"and a name of which nobody knows whose it is":         {operation: "CREATE", holder: errBroken, code: 503, says: "connection refused", auditedAs: "ClusterUnavailable"},
		"a status is not asked about":                          {operation: "UPDATE", rules: referenced, subResource: "status", auditedAs: "NotApplicable"},
		"a refused deletion of what is not there says nothing": {operation: "DELETE", uid: "0815", rules: referenced, auditedAs: "NotApplicable", marked: "false"},
		"nor does an update":                                   {operation: "UPDATE", uid: "0815", rules: referenced, auditedAs: "NotApplicable"},
		"an operation of later is not asked about, either":     {operation: "EVICT", rules: referenced, auditedAs: "NotApplicable"},
	} {
		t.Run(rule, func(t *testing.T) {
			marked := "nothing"
			handler := newWebhooks(t, nil, webhook.Options{Objects: &webhook.Objects{
				Rules: rules{c.rules}, Decode: kubestore.Decode,
				Holder: func(_ context.Context, key registry.Key) (registry.Object, string, error) {
					return registry.Object{Kind: key.Kind}, key.Name, c.holder
				},
				Has: func(_ context.Context, object registry.Key, uid string) (bool, error) {
					return object == registry.Key{Kind: registry.DeploymentTarget, Namespace: "team-a", Name: "staging"} && uid == "4711", nil
				},
				MarkDeleting: func(_ context.Context, _ registry.Key, _, _ string, on bool) error {
					marked = fmt.Sprint(on)
					return c.markErr
				},
				Ending: func(context.Context, string) (bool, error) { return c.ending, c.endingErr },
			}}).Handlers()[config.PathValidateRegistry]
			object := map[string]any{"metadata": map[string]any{"name": "staging", "namespace": "team-a", "uid": cmp.Or(c.uid, "4711")}, "spec": map[string]any{"kubernetes": map[string]any{"namespace": "flink"}}}
			request := map[string]any{
				"uid": "1", "operation": c.operation, "namespace": "team-a", "kind": map[string]any{"kind": "DeploymentTarget"},
				"oldObject": object, "userInfo": map[string]any{"username": "alice"}, "subResource": c.subResource, "dryRun": c.dryRun,
			}
			if c.operation != "DELETE" {
				request["object"] = object
			}
			body, err := json.Marshal(map[string]any{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request})
			if err != nil {
				t.Fatal(err)
			}
			response := send(handler, body)
			if response.Code != 200 {
				t.Fatalf("%d: %s", response.Code, response.Body)
			}
			a := readAnswer(t, response.Body.Bytes())
			if a.Allowed != (c.code == 0) || a.Status.Code != c.code || !strings.Contains(a.Status.Message, c.says) || a.AuditAnnotations["verdict"] != c.auditedAs {
				t.Errorf("%+v", a)
			}
			if want := cmp.Or(c.marked, "nothing"); marked != want {
				t.Errorf("marked %s, want %s", marked, want)
			}
			if strings.Contains(a.Status.Message, "secret") {
				t.Errorf("it tells too much: %s", a.Status.Message)
			}
		})
	}
}

// TestOwnObjectsThatCannotBeReadAreRefused rather than let pass unread.
func TestOwnObjectsThatCannotBeReadAreRefused(t *testing.T) {
	handler := newWebhooks(t, nil, webhook.Options{Objects: &webhook.Objects{
		Rules: rules{}, Decode: kubestore.Decode,
		Ending: func(context.Context, string) (bool, error) { return false, nil },
	}}).Handlers()[config.PathValidateRegistry]
	for name, request := range map[string]string{
		"another kind":            `{"uid":"1","operation":"CREATE","kind":{"kind":"Secret"},"object":{}}`,
		"a spec of another shape": `{"uid":"1","operation":"CREATE","kind":{"kind":"DeploymentTarget"},"object":{"spec":[]}}`,
		"an old one likewise":     `{"uid":"1","operation":"UPDATE","kind":{"kind":"DeploymentTarget"},"object":{},"oldObject":{"spec":[]}}`,
		"a deletion of nothing":   `{"uid":"1","operation":"DELETE","kind":{"kind":"DeploymentTarget"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			response := send(handler, []byte(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":`+request+`}`))
			if response.Code != 200 {
				t.Fatalf("%d: %s", response.Code, response.Body)
			}
			if a := readAnswer(t, response.Body.Bytes()); a.Allowed || a.Status.Message == "" {
				t.Errorf("%+v", a)
			}
		})
	}
}

// TestRefusalsAreLimited to each address: a refusal tells what is in the registry.
func TestRefusalsAreLimited(t *testing.T) {
	var refusal error = &registry.Error{Reason: registry.ReasonUnknownReference, Message: "there is no such target"}
	handler := newWebhooks(t, nil, webhook.Options{Objects: &webhook.Objects{
		Rules: &rules{refusal}, Decode: kubestore.Decode,
		Holder: func(context.Context, registry.Key) (registry.Object, string, error) {
			return registry.Object{}, "", registry.ErrNotFound
		},
	}}).Handlers()[config.PathValidateRegistry]
	guess := func(address string) int {
		body := `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"1","operation":"CREATE","namespace":"team-a","kind":{"kind":"Deployment"},"object":{"metadata":{"name":"x","namespace":"team-a"},"spec":{}}}}`
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/", strings.NewReader(body))
		r.RemoteAddr = address
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Code
	}
	told := 0
	for range 1000 {
		if guess("10.0.0.1:4711") == http.StatusOK {
			told++
		}
	}
	if told < 50 || told > 200 {
		t.Errorf("one address was told of %d refusals at once", told)
	}
	if guess("10.0.0.2:4711") != http.StatusOK {
		t.Error("another address is limited, too")
	}
}
