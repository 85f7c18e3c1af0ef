package webhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/memstore"
	"drey.dev/drey/test/fixtures"
	"drey.dev/drey/webhook"
	"drey.dev/drey/webhook/verdict"
)

var update = flag.Bool("update", false, "rewrite testdata/verdicts with what the webhooks say")

// TestVerdicts sends every fixture through the handler that would get it, and
// compares the answer with testdata/verdicts.
func TestVerdicts(t *testing.T) {
	for _, c := range fixtures.All(t) {
		t.Run(c.Name, func(t *testing.T) {
			handlers := newHandlers(c.Targets...)
			answer := admit(t, handlers, c.Object)
			got := render(c, answer)
			golden := filepath.Join("testdata", "verdicts", c.Name+".txt")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s\ngot:\n%s\nwant:\n%s", c.Rule, got, want)
			}

			if !answer.Allowed {
				return
			}
			before := labels(c.Object)
			after := patched(t, c.Object, answer)
			for key, value := range before {
				if labels(after)[key] != value {
					t.Errorf("label %s was %q and became %q", key, value, labels(after)[key])
				}
			}
			again := admit(t, handlers, after)
			if !again.Allowed || again.Patch != nil || again.AuditAnnotations["verdict"] != answer.AuditAnnotations["verdict"] {
				t.Errorf("admitted again, drey's own output got another answer: %+v", again)
			}
			if !maps.Equal(kept(again), kept(answer)) {
				t.Errorf("at first %v was kept, then %v", kept(answer), kept(again))
			}
		})
	}
}

// answer is the response in an AdmissionReview.
type answer struct {
	UID     string `json:"uid"`
	Allowed bool   `json:"allowed"`
	Status  struct {
		Code    int    `json:"code"`
		Reason  string `json:"reason"`
		Message string `json:"message"`
	} `json:"status"`
	PatchType        string            `json:"patchType"`
	Patch            []byte            `json:"patch"`
	AuditAnnotations map[string]string `json:"auditAnnotations"`
}

func render(c fixtures.Case, a answer) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", c.Rule)
	if a.Allowed {
		fmt.Fprintf(&b, "allowed: %s\n", a.AuditAnnotations["verdict"])
	} else {
		fmt.Fprintf(&b, "denied: %s\n%s\n", a.AuditAnnotations["verdict"], a.Status.Message)
	}
	if a.Patch != nil {
		fmt.Fprintf(&b, "patch: %s\n", a.Patch)
	}
	for _, key := range slices.Sorted(maps.Keys(kept(a))) {
		fmt.Fprintf(&b, "%s: %s\n", key, a.AuditAnnotations[key])
	}
	return b.String()
}

func kept(a answer) map[string]string {
	k := maps.Clone(a.AuditAnnotations)
	delete(k, "verdict")
	return k
}

// newHandlers serves a registry with the targets, all of them for the one
// namespace that the fixtures live in.
func newHandlers(names ...string) map[string]http.Handler {
	return newWebhooks(names, webhook.Options{}).Handlers()
}

func newWebhooks(targets []string, o webhook.Options) *webhook.Webhooks {
	o.Registry, o.Log = index(targets), slog.New(slog.DiscardHandler)
	o.Address, o.Exclude = verdict.Registry{URL: "http://127.0.0.1:8080"}, []string{"drey-system"}
	return webhook.New(o)
}

func index(targets []string) *registry.Index {
	store, x := memstore.New(), registry.NewIndex("drey-system")
	for _, name := range targets {
		platform, name, _ := strings.Cut(name, "/")
		if _, err := store.Create(context.Background(), registry.Object{
			Kind: registry.DeploymentTarget, Metadata: registry.Metadata{Namespace: platform, Name: name, ID: uuid.NewString()},
			Spec: json.RawMessage(`{"kubernetes":{"namespace":"flink"}}`),
		}); err != nil {
			panic(err)
		}
	}
	if err := x.Follow(context.Background(), store); err != nil {
		panic(err)
	}
	return x
}

// admit sends an object's creation to the webhook that the configuration would
// send it to first.
func admit(t testing.TB, handlers map[string]http.Handler, object map[string]any) answer {
	t.Helper()
	path := webhook.PathLabelPods
	if object["kind"] != "Pod" {
		path = webhook.PathValidateWorkloads
	}
	response := send(handlers[path], reviewOf(t, object, "flink"))
	if response.Code != http.StatusOK {
		t.Fatalf("%d: %s", response.Code, response.Body)
	}
	return readAnswer(t, response.Body.Bytes())
}

func reviewOf(t testing.TB, object map[string]any, namespace string) []byte {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
		"request": map[string]any{
			"uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "operation": "CREATE", "namespace": namespace,
			"kind": map[string]any{"group": "", "version": "v1", "kind": object["kind"]}, "object": object,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func readAnswer(t testing.TB, text []byte) answer {
	t.Helper()
	var review struct {
		Kind, APIVersion string
		Response         answer
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var shape struct {
		Kind       string          `json:"kind"`
		APIVersion string          `json:"apiVersion"`
		Response   json.RawMessage `json:"response"`
	}
	if err := d.Decode(&shape); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if err := json.Unmarshal(text, &review); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if review.Kind != "AdmissionReview" || review.APIVersion != "admission.k8s.io/v1" || review.Response.UID == "" {
		t.Fatalf("not an answered AdmissionReview: %s", text)
	}
	return review.Response
}

func send(handler http.Handler, body []byte) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	response := httptest.NewRecorder()
	handler.ServeHTTP(response, request)
	return response
}

// patched applies the answer's patch the way the API server would, and checks
// that it only adds labels that are absent.
func patched(t testing.TB, object map[string]any, a answer) map[string]any {
	t.Helper()
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	var copied map[string]any
	if err := json.Unmarshal(text, &copied); err != nil {
		t.Fatal(err)
	}
	if a.Patch == nil {
		return copied
	}
	var operations []struct {
		Op, Path string
		Value    any
	}
	if err := json.Unmarshal(a.Patch, &operations); err != nil || a.PatchType != "JSONPatch" {
		t.Fatalf("%v: %s patch %s", err, a.PatchType, a.Patch)
	}
	metadata := copied["metadata"].(map[string]any)
	for _, o := range operations {
		present, _ := metadata["labels"].(map[string]any)
		key, isKey := strings.CutPrefix(o.Path, "/metadata/labels/")
		switch {
		case o.Op != "add":
			t.Errorf("the patch has the operation %q", o.Op)
		case o.Path == "/metadata/labels" && len(present) == 0:
			metadata["labels"] = o.Value
		case isKey && present != nil && present[key] == nil:
			present[key] = o.Value
		default:
			t.Errorf("the patch touches %s, which is there or is no label", o.Path)
		}
	}
	return copied
}

func labels(object map[string]any) map[string]string {
	all := map[string]string{}
	present, _ := object["metadata"].(map[string]any)["labels"].(map[string]any)
	for key, value := range present {
		all[key] = fmt.Sprint(value)
	}
	return all
}
