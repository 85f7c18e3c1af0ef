package webhook_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

// TestRegistryReviewFailsClosed: an error is a denial that can be retried, and a violated rule
// one with the registry's message.
func TestRegistryReviewFailsClosed(t *testing.T) {
	errBroken := errors.New("connection refused")
	referenced := &registry.Error{Reason: registry.ReasonTargetReferenced, Message: "something refers to it"}
	unavailable := fmt.Errorf("%w: secret details", &registry.Error{Reason: registry.ReasonClusterUnavailable, Message: "the cluster could not be asked: try again"})
	for rule, c := range map[string]struct {
		operation   string
		rules       error // of the registry
		holder      error // the error of Holder
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
		"valid":                                             {operation: "CREATE", holder: registry.ErrNotFound, auditedAs: "Valid"},
		"invalid update":                                    {operation: "UPDATE", rules: referenced, code: 403, says: "something refers to it", auditedAs: "TargetReferenced"},
		"invalid deletion removes the mark":                 {operation: "DELETE", rules: referenced, code: 403, says: "something refers to it", auditedAs: "TargetReferenced", marked: "false"},
		"valid deletion sets the mark":                      {operation: "DELETE", auditedAs: "Valid", marked: "true"},
		"dry run sets no mark":                              {operation: "DELETE", dryRun: true, auditedAs: "Valid"},
		"invalid dry run removes no mark":                   {operation: "DELETE", dryRun: true, rules: referenced, code: 403, says: "something refers to it", auditedAs: "TargetReferenced"},
		"mark fails":                                        {operation: "DELETE", markErr: errBroken, code: 503, says: "connection refused", auditedAs: "ClusterUnavailable", marked: "true"},
		"namespace terminating":                             {operation: "DELETE", rules: referenced, ending: true, auditedAs: "NotApplicable", marked: "false"},
		"namespace terminating, lookup fails":               {operation: "DELETE", holder: errBroken, ending: true, auditedAs: "NotApplicable"},
		"namespace not readable":                            {operation: "DELETE", rules: referenced, endingErr: errBroken, code: 403, says: "something refers to it", auditedAs: "TargetReferenced", marked: "false"},
		"creation in a terminating namespace":               {operation: "CREATE", rules: referenced, holder: registry.ErrNotFound, ending: true, code: 403, says: "something", auditedAs: "TargetReferenced"},
		"deletion of a name that REST does not have":        {operation: "DELETE", rules: referenced, holder: registry.ErrNotFound, auditedAs: "Valid"},
		"unknown error is retryable":                        {operation: "UPDATE", rules: errBroken, code: 503, says: "cannot validate request: connection refused: try again", auditedAs: "ClusterUnavailable"},
		"unavailable cluster is retryable":                  {operation: "CREATE", rules: unavailable, holder: registry.ErrNotFound, code: 503, says: "the cluster could not be asked: try again", auditedAs: "ClusterUnavailable"},
		"lookup of the name fails":                          {operation: "CREATE", holder: errBroken, code: 503, says: "connection refused", auditedAs: "ClusterUnavailable"},
		"status subresource":                                {operation: "UPDATE", rules: referenced, subResource: "status", auditedAs: "NotApplicable"},
		"denied deletion of an unknown uid reveals nothing": {operation: "DELETE", uid: "0815", rules: referenced, auditedAs: "NotApplicable", marked: "false"},
		"denied update of an unknown uid reveals nothing":   {operation: "UPDATE", uid: "0815", rules: referenced, auditedAs: "NotApplicable"},
		"unknown operation":                                 {operation: "EVICT", rules: referenced, auditedAs: "NotApplicable"},
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
				t.Errorf("message reveals the cause: %s", a.Status.Message)
			}
		})
	}
}

// TestRegistryReviewInvalidObject: objects that cannot be decoded are denied.
func TestRegistryReviewInvalidObject(t *testing.T) {
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

// TestHandlerPath: a review is answered at a path that a webhook configuration states, with
// a token for the registry. Otherwise the answer does not depend on the review.
func TestHandlerPath(t *testing.T) {
	var denial error = &registry.Error{Reason: registry.ReasonIDTaken, Message: "the id is taken"}
	const token = "/abcdefghijklmnopqrstuvwxyz"
	for path, c := range map[string]struct {
		handler, stated string
		want            int
	}{
		config.PathValidateRegistry + token:              {config.PathValidateRegistry, config.PathValidateRegistry + token, 200},
		config.PathValidateRegistry + "/other":           {config.PathValidateRegistry, config.PathValidateRegistry + token, 403},
		config.PathValidateRegistry:                      {config.PathValidateRegistry, config.PathValidateRegistry, 403},
		config.PathLabelPods + token:                     {config.PathLabelPods, config.PathLabelPods + token, 200},
		config.PathLabelPods:                             {config.PathLabelPods, config.PathLabelPods + token, 403},
		config.PathValidateWorkloads:                     {config.PathValidateWorkloads, config.PathValidateWorkloads, 200},
		config.PathValidateWorkloads + "/" + "pods.drey": {config.PathValidateWorkloads, config.PathValidateWorkloads, 403},
	} {
		t.Run(path, func(t *testing.T) {
			answer := func(outcome error) (int, string) {
				handler := newWebhooks(t, nil, webhook.Options{
					StatesPath: func(_ context.Context, path string) bool { return path == c.stated },
					Objects: &webhook.Objects{
						Rules: &rules{outcome}, Decode: kubestore.Decode,
						Holder: func(context.Context, registry.Key) (registry.Object, string, error) {
							return registry.Object{}, "", registry.ErrNotFound
						},
					},
				}).Handlers()[c.handler]
				body := `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"1","operation":"CREATE","namespace":"team-a","kind":{"kind":"Deployment"},"object":{"metadata":{"name":"x","namespace":"team-a"},"spec":{}}}}`
				r := httptest.NewRequestWithContext(t.Context(), "POST", path, strings.NewReader(body))
				r.Header.Set("Content-Type", "application/json")
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, r)
				return w.Code, fmt.Sprint(w.Result().Header, w.Body)
			}
			status, taken := answer(denial)
			_, free := answer(nil)
			if status != c.want {
				t.Errorf("got %d, want %d", status, c.want)
			}
			if status != 200 && taken != free {
				t.Errorf("the answers differ:\n%s\n%s", taken, free)
			}
		})
	}
}
