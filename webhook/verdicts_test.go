package webhook_test

import (
	"bytes"
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

	"drey.dev/drey/test/framework/fixtures"
	"drey.dev/drey/webhook"
	"drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/verdict"
)

var update = flag.Bool("update", false, "rewrite testdata/verdicts with what the webhooks say")

// TestVerdicts sends every fixture through the handlers that would get it, in
// their order, and compares the answers with testdata/verdicts.
func TestVerdicts(t *testing.T) {
	for _, c := range fixtures.All(t) {
		t.Run(c.Name, func(t *testing.T) {
			w := newWorld(t, c)
			object, got := c.Object, c.Rule+"\n"
			for _, path := range c.Paths() {
				a := w.admit(t, path, object)
				got += "\n" + w.render(path, a)
				if !a.Allowed {
					break
				}
				object = w.onlyAdds(t, path, object, a)
			}
			golden(t, c.Name, got)
		})
	}
}

// TestVerdictsGoldenPerFixture: a golden file without a fixture would never be compared.
func TestVerdictsGoldenPerFixture(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join("testdata", "verdicts"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, c := range fixtures.All(t) {
		names[c.Name+".txt"] = true
	}
	for _, entry := range entries {
		if !names[entry.Name()] {
			t.Errorf("testdata/verdicts/%s has no fixture", entry.Name())
		}
	}
}

// TestModesAllowDenials: in the modes warn and audit, a denial is allowed and no label is added.
// In each mode it is observed, with the message that the user gets in mode enforce.
func TestModesAllowDenials(t *testing.T) {
	denied := 0
	for _, c := range fixtures.All(t) {
		for _, path := range c.Paths() {
			w := newWorld(t, c, config.Enforce)
			enforced := w.admit(t, path, c.Object)
			if enforced.Allowed {
				if len(w.observed) > 0 {
					t.Errorf("%s: an allowed request is observed as denied: %+v", c.Name, w.observed)
				}
				continue
			}
			w.checkObserved(t, c.Name, config.Enforce, enforced.Status.Message)
			denied++
			w = newWorld(t, c, config.Warn)
			warned := w.admit(t, path, c.Object)
			if !warned.Allowed || warned.Patch != nil || !slices.Contains(warned.Warnings, "drey would deny this: "+enforced.Status.Message) {
				t.Errorf("%s: %s warns with %+v", c.Name, path, warned)
			}
			w.checkObserved(t, c.Name, config.Warn, enforced.Status.Message)
			w = newWorld(t, c, config.Audit)
			audited := w.admit(t, path, c.Object)
			if !audited.Allowed || audited.Patch != nil || len(audited.Warnings) > 0 {
				t.Errorf("%s: %s audits with %+v", c.Name, path, audited)
			}
			w.checkObserved(t, c.Name, config.Audit, enforced.Status.Message)
		}
	}
	if denied == 0 {
		t.Error("no fixture is denied")
	}
}

// checkObserved checks that one denial was observed.
func (w *world) checkObserved(t *testing.T, name string, mode config.Mode, message string) {
	t.Helper()
	if len(w.observed) != 1 {
		t.Errorf("%s: in mode %s %d denials are observed", name, mode, len(w.observed))
		return
	}
	d := w.observed[0]
	if d.Mode != mode || d.Message != message || d.Remedy == "" || !strings.Contains(message, d.Remedy) || d.Operation != "CREATE" || d.User != "alice" || !slices.Equal(d.Groups, []string{"developers"}) || d.Namespace != "flink" || d.Kind == "" {
		t.Errorf("%s: in mode %s the denial is observed as %+v, want message %q", name, mode, d, message)
	}
}

// world is the state that a case is decided in.
type world struct {
	handlers map[string]http.Handler
	observed []webhook.Denial
}

func newWorld(t testing.TB, c fixtures.Case, mode ...config.Mode) *world {
	t.Helper()
	w := &world{}
	w.handlers = webhook.New(webhook.Options{
		Registry: fixtures.Index(t, "flink", c.Targets, c.Registered...), Owners: c.Existing, HadTarget: func(string) bool { return true }, Log: slog.New(slog.DiscardHandler),
		Address: verdict.RegisterHint{URL: "http://127.0.0.1:8080"},
		Mode:    func(string) config.Mode { return append(mode, c.Mode)[0] },
		Observe: func(d webhook.Denial) { w.observed = append(w.observed, d) },
	}).Handlers()
	return w
}

func (w *world) admit(t testing.TB, path string, object map[string]any) answer {
	t.Helper()
	response := send(w.handlers[path], reviewOf(t, object, "flink"))
	if response.Code != http.StatusOK {
		t.Fatalf("%d: %s", response.Code, response.Body)
	}
	return readAnswer(t, response.Body.Bytes())
}

// onlyAdds applies an answer, and checks that every label that was there stayed,
// and that drey has nothing to say to its own output.
func (w *world) onlyAdds(t *testing.T, path string, object map[string]any, a answer) map[string]any {
	t.Helper()
	after := patched(t, object, a)
	for key, value := range labels(object) {
		if labels(after)[key] != value {
			t.Errorf("label %s was %q and became %q", key, value, labels(after)[key])
		}
	}
	again := w.admit(t, path, after)
	if !again.Allowed || again.Patch != nil || again.AuditAnnotations["verdict"] != a.AuditAnnotations["verdict"] {
		t.Errorf("admitted again, drey's own output got another answer: %+v", again)
	}
	if !maps.Equal(kept(again), kept(a)) {
		t.Errorf("at first %v was kept, then %v", kept(a), kept(again))
	}
	return after
}

// golden compares with a file, or writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "verdicts", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
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
	Warnings         []string          `json:"warnings"`
	AuditAnnotations map[string]string `json:"auditAnnotations"`
}

func (w *world) render(path string, a answer) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", path)
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
	for _, warning := range a.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", warning)
	}
	for _, d := range w.observed {
		if d.Mode != config.Audit {
			continue
		}
		fmt.Fprintf(&b, "event: %s of %s %s/%s: %s\n", d.Reason, d.Kind, d.Namespace, d.Name, d.Message)
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
func newHandlers(t testing.TB, targets ...string) map[string]http.Handler {
	t.Helper()
	return newWebhooks(t, targets, webhook.Options{}).Handlers()
}

func newWebhooks(t testing.TB, targets []string, o webhook.Options) *webhook.Webhooks {
	t.Helper()
	o.Registry, o.Log = fixtures.Index(t, "flink", targets), slog.New(slog.DiscardHandler)
	o.Address, o.Exclude = verdict.RegisterHint{URL: "http://127.0.0.1:8080"}, []string{"drey-system"}
	return webhook.New(o)
}

func reviewOf(t testing.TB, object map[string]any, namespace string) []byte {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
		"request": map[string]any{
			"uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "operation": "CREATE", "namespace": namespace,
			"kind": map[string]any{"group": "", "version": "v1", "kind": object["kind"]}, "object": object,
			"userInfo": map[string]any{"username": "alice", "groups": []string{"developers"}},
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
		key = strings.ReplaceAll(key, "~1", "/")
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
