package webhook_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"drey.dev/drey/registry"
	"drey.dev/drey/test/framework/fixtures"
	"drey.dev/drey/webhook"
	"drey.dev/drey/webhook/config"
)

func TestHandlerInvalidReview(t *testing.T) {
	valid := string(reviewOf(t, pod(), "flink"))
	cases := map[string]struct {
		method, contentType, body string
		want                      int
		says                      string
	}{
		"another method":                     {http.MethodGet, "application/json", "", 405, "POST"},
		"another content type":               {http.MethodPost, "text/plain", valid, 415, "text/plain"},
		"no content type":                    {http.MethodPost, "", valid, 415, "application/json"},
		"an empty body":                      {http.MethodPost, "application/json", "", 400, "invalid AdmissionReview"},
		"a truncated review":                 {http.MethodPost, "application/json", valid[:len(valid)/2], 400, "invalid AdmissionReview"},
		"something else than JSON":           {http.MethodPost, "application/json", "kind: AdmissionReview", 400, "invalid AdmissionReview"},
		"an array":                           {http.MethodPost, "application/json", "[]", 400, "invalid AdmissionReview"},
		"null":                               {http.MethodPost, "application/json", "null", 400, `invalid kind ""`},
		"another kind":                       {http.MethodPost, "application/json", `{"kind":"Pod","apiVersion":"v1"}`, 400, `invalid kind "Pod"`},
		"an unknown version":                 {http.MethodPost, "application/json", strings.Replace(valid, "admission.k8s.io/v1", "admission.k8s.io/v1beta1", 1), 400, "v1beta1"},
		"no request":                         {http.MethodPost, "application/json", `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}`, 400, "no request"},
		"a null request":                     {http.MethodPost, "application/json", `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":null}`, 400, "no request"},
		"a request without uid":              {http.MethodPost, "application/json", strings.Replace(valid, `"uid":"705ab4f5-6393-11e8-b7cc-42010a800002"`, `"uid":""`, 1), 400, "no request.uid"},
		"a creation without an object":       {http.MethodPost, "application/json", `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"1","operation":"CREATE"}}`, 400, "CREATE without object"},
		"an update without oldObject":        {http.MethodPost, "application/json", `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"1","operation":"UPDATE","object":{}}}`, 400, "UPDATE without object or oldObject"},
		"a creation of null":                 {http.MethodPost, "application/json", `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"1","operation":"CREATE","object":null}}`, 400, "CREATE without object"},
		"labels of another type":             {http.MethodPost, "application/json", `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"1","operation":"CREATE","object":{"metadata":{"labels":[]}}}}`, 400, "labels"},
		"10 MB":                              {http.MethodPost, "application/json", `{"x":"` + strings.Repeat("x", 10<<20) + `"}`, 413, "larger than"},
		"objects nested a million deep":      {http.MethodPost, "application/json", strings.Repeat(`{"a":`, 1e6), 400, "invalid AdmissionReview"},
		"a second review behind the first":   {http.MethodPost, "application/json", valid + valid, 400, "invalid AdmissionReview"},
		"10 MB that claim to be chunked":     {"chunked", "application/json", `{"x":"` + strings.Repeat("x", 10<<20) + `"}`, 413, "larger than"},
		"a body that claims more than comes": {"short", "application/json", valid, 400, "cannot read the body"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for path, handler := range newHandlers(t, "default/myDeploymentTarget") {
				var body io.Reader = strings.NewReader(c.body)
				method := c.method
				switch c.method {
				case "chunked":
					method, body = http.MethodPost, io.MultiReader(body)
				case "short":
					method, body = http.MethodPost, io.MultiReader(body, failing{})
				}
				request := httptest.NewRequest(method, path, body)
				request.Header.Set("Content-Type", c.contentType)
				response := httptest.NewRecorder()
				handler.ServeHTTP(response, request)
				if response.Code != c.want || !strings.Contains(response.Body.String(), c.says) {
					t.Errorf("%s: %d %.200s, want %d with %q", path, response.Code, response.Body, c.want, c.says)
				}
			}
		})
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestHandlerNotApplicable(t *testing.T) {
	for name, change := range map[string]func(request map[string]any){
		"an update":              func(r map[string]any) { r["operation"], r["oldObject"] = "UPDATE", r["object"] },
		"a deletion":             func(r map[string]any) { r["operation"] = "DELETE"; r["object"] = nil },
		"a connection":           func(r map[string]any) { r["operation"] = "CONNECT" },
		"a subresource":          func(r map[string]any) { r["subResource"] = "binding" },
		"an excluded namespace":  func(r map[string]any) { r["namespace"] = "drey-system" },
		"an operation of later ": func(r map[string]any) { r["operation"] = "EVICT" },
	} {
		t.Run(name, func(t *testing.T) {
			var review map[string]any
			if err := json.Unmarshal(reviewOf(t, pod(), "unregistered"), &review); err != nil {
				t.Fatal(err)
			}
			change(review["request"].(map[string]any))
			body, err := json.Marshal(review)
			if err != nil {
				t.Fatal(err)
			}
			for path, handler := range newHandlers(t) {
				response := send(handler, body)
				if response.Code != 200 {
					t.Fatalf("%s: %d %s", path, response.Code, response.Body)
				}
				if a := readAnswer(t, response.Body.Bytes()); !a.Allowed || a.Patch != nil {
					t.Errorf("%s: %+v", path, a)
				}
			}
		})
	}
}

// TestValidatePodLabelsUpdate: an update that changes an identifying label is denied; for others
// the audit annotation has the reason.
func TestValidatePodLabelsUpdate(t *testing.T) {
	handler := newHandlers(t, "default/myDeploymentTarget")[config.PathValidatePodLabels]
	old := map[string]any{"labels": map[string]any{"app": "flink-job", "system": "ververica-platform", "jobId": "a"}}
	same := map[string]any{"app": "flink-job", "system": "ververica-platform", "jobId": "a"}
	for rule, c := range map[string]struct {
		namespace string
		metadata  map[string]any
		want      string
	}{
		"label removed":            {"flink", map[string]any{}, "LabelImmutable"},
		"label changed":            {"flink", map[string]any{"labels": map[string]any{"app": "web", "system": "ververica-platform", "jobId": "a"}}, "LabelImmutable"},
		"annotation added":         {"flink", map[string]any{"labels": same, "annotations": map[string]any{"a": "b"}}, "NotApplicable"},
		"terminating pod":          {"flink", map[string]any{"deletionTimestamp": "2026-01-01T00:00:00Z"}, "NotApplicable"},
		"excluded namespace":       {"drey-system", map[string]any{}, "ExcludedNamespace"},
		"namespace without target": {"unregistered", map[string]any{}, "LabelImmutable"},
	} {
		t.Run(rule, func(t *testing.T) {
			c.metadata["name"] = "p"
			body := updateOf(t, map[string]any{"kind": "Pod", "metadata": c.metadata}, old)
			response := send(handler, bytes.Replace(body, []byte(`"namespace":"flink"`), []byte(`"namespace":"`+c.namespace+`"`), 1))
			a := readAnswer(t, response.Body.Bytes())
			if got := a.AuditAnnotations["verdict"]; got != c.want || a.Allowed != (c.want != "LabelImmutable") {
				t.Errorf("got %s, allowed: %t, want %s", got, a.Allowed, c.want)
			}
		})
	}
}

func TestHandlerRegistryNotSynced(t *testing.T) {
	handlers := webhook.New(webhook.Options{Registry: registry.NewIndex("drey-system"), Log: slog.New(slog.DiscardHandler)}).Handlers()
	for path, handler := range handlers {
		if response := send(handler, reviewOf(t, pod(), "flink")); response.Code != http.StatusServiceUnavailable {
			t.Errorf("%s: %d %s", path, response.Code, response.Body)
		}
	}
}

func FuzzReview(f *testing.F) {
	var existing fixtures.Objects
	for i, c := range fixtures.All(f) {
		existing = append(existing, c.Existing...)
		f.Add(reviewOf(f, c.Object, []string{"flink", "unregistered", "warn", "audit"}[i%4])) // each seed is run before the first that is made up
		if i%20 == 0 {
			f.Add(updateOf(f, c.Object, map[string]any{"labels": map[string]any{"app": "flink-job", "system": "ververica-platform", "vvpNamespace": "team-a"}}))
		}
	}
	f.Add(updateOf(f, pod(), map[string]any{"labels": map[string]any{"system": "ververica-platform", "jobId": "a"}}))
	f.Add([]byte(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"\u0000\ud800","operation":"CREATE","object":{"metadata":{"labels":{"\"":"\\"}}}}}`))
	handlers := newWebhooks(f, []string{"default/myDeploymentTarget"}, webhook.Options{
		Owners: existing, Mode: func(namespace string) config.Mode {
			return map[string]config.Mode{"warn": config.Warn, "audit": config.Audit}[namespace]
		},
	}).Handlers()
	f.Fuzz(func(t *testing.T, body []byte) {
		for path, handler := range handlers {
			response := send(handler, body)
			switch {
			case response.Code == http.StatusOK:
				a := readAnswer(t, response.Body.Bytes())
				if a.Patch != nil && !json.Valid(a.Patch) {
					t.Errorf("%s: the patch is no JSON: %s", path, a.Patch)
				}
				if !a.Allowed && !strings.Contains(a.Status.Message, "namespace") {
					t.Errorf("%s: a denial that says too little: %s", path, a.Status.Message)
				}
			case response.Code >= 500:
				t.Errorf("%s: %d %s", path, response.Code, response.Body)
			}
		}
	})
}

// updateOf is a review of a change to an object whose metadata was old.
func updateOf(t testing.TB, object, old map[string]any) []byte {
	t.Helper()
	var review map[string]any
	if err := json.Unmarshal(reviewOf(t, object, "flink"), &review); err != nil {
		t.Fatal(err)
	}
	request := review["request"].(map[string]any)
	request["operation"], request["oldObject"] = "UPDATE", map[string]any{"metadata": old}
	body, err := json.Marshal(review)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// pod is one that is Flink's by every strong signal of native mode.
func pod() map[string]any {
	return map[string]any{
		"kind": "Pod", "apiVersion": "v1",
		"metadata": map[string]any{"name": "my-job", "labels": map[string]any{"app": "my-job", "component": "jobmanager", "type": "flink-native-kubernetes"}},
		"spec":     map[string]any{"containers": []any{map[string]any{"name": "flink-main-container"}}},
	}
}

// BenchmarkLabelPod is the work that drey does for a pod, without the network.
func BenchmarkLabelPod(b *testing.B) {
	for _, size := range []int{1 << 10, 10 << 10, 100 << 10} {
		o := pod()
		env := []any{}
		for len(reviewOf(b, o, "flink")) < size {
			env = append(env, map[string]any{"name": "A_VARIABLE_WITH_A_NAME", "value": "and a value, as pods have them: /opt/flink/conf"})
			o["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)["env"] = env
		}
		body := reviewOf(b, o, "flink")
		b.Run(sizeName(size), func(b *testing.B) {
			handler := newHandlers(b, "default/myDeploymentTarget")[config.PathLabelPods]
			request := httptest.NewRequest(http.MethodPost, "/", nil)
			request.Header.Set("Content-Type", "application/json")
			request.ContentLength = int64(len(body))
			reader := bytes.NewReader(body)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				reader.Reset(body)
				request.Body = io.NopCloser(reader)
				response := httptest.NewRecorder()
				handler.ServeHTTP(response, request)
				if response.Code != 200 {
					b.Fatal(response.Body)
				}
			}
		})
	}
}

// TestLabelPodAllocations bounds the allocations of a review of a pod. Each causes work for the
// garbage collector beside other reviews.
func TestLabelPodAllocations(t *testing.T) {
	const most = 7
	body := reviewOf(t, pod(), "flink")
	handler := newHandlers(t, "default/myDeploymentTarget")[config.PathLabelPods]
	reader := bytes.NewReader(body)
	request := httptest.NewRequest(http.MethodPost, "/", nil)
	request.Header.Set("Content-Type", "application/json")
	request.ContentLength, request.Body = int64(len(body)), io.NopCloser(reader)
	answer := discarded{http.Header{}}
	got := testing.AllocsPerRun(1000, func() {
		reader.Reset(body)
		handler.ServeHTTP(answer, request)
	})
	if got > most {
		t.Errorf("%.0f allocations, want at most %d", got, most)
	}
}

type discarded struct{ header http.Header }

func (d discarded) Header() http.Header         { return d.header }
func (d discarded) Write(b []byte) (int, error) { return len(b), nil }
func (d discarded) WriteHeader(int)             {}

func sizeName(size int) string {
	return map[int]string{1 << 10: "1KB", 10 << 10: "10KB", 100 << 10: "100KB"}[size]
}

// TestRestoreLabels: labels that an update removes are added again, and no others.
func TestRestoreLabels(t *testing.T) {
	handler := newHandlers(t, "default/myDeploymentTarget")[config.PathRestoreLabels]
	old := map[string]any{"labels": map[string]any{"system": "ververica-platform", "vvpNamespace": "a", "mine": "x"}}
	for rule, c := range map[string]struct {
		metadata       map[string]any
		verdict, patch string
	}{
		"all removed":          {map[string]any{}, "LabelsRestored", `[{"op":"add","path":"/metadata/labels","value":{"system":"ververica-platform","vvpNamespace":"a"}}]`},
		"one removed":          {map[string]any{"labels": map[string]any{"system": "ververica-platform"}}, "LabelsRestored", `[{"op":"add","path":"/metadata/labels/vvpNamespace","value":"a"}]`},
		"changed, not removed": {map[string]any{"labels": map[string]any{"system": "x", "vvpNamespace": "b"}}, "NotApplicable", ""},
		"terminating":          {map[string]any{"deletionTimestamp": "2026-01-01T00:00:00Z"}, "NotApplicable", ""},
	} {
		t.Run(rule, func(t *testing.T) {
			c.metadata["name"] = "p"
			response := send(handler, updateOf(t, map[string]any{"kind": "Deployment", "metadata": c.metadata}, old))
			a := readAnswer(t, response.Body.Bytes())
			if got := a.AuditAnnotations["verdict"]; got != c.verdict || !a.Allowed || string(a.Patch) != c.patch {
				t.Errorf("got %s, allowed: %t, patch %s; want %s %s", got, a.Allowed, a.Patch, c.verdict, c.patch)
			}
		})
	}
}

// TestResetRegisteredLabel: a write of a namespace neither sets nor removes the registered label.
func TestResetRegisteredLabel(t *testing.T) {
	handler := newHandlers(t, "default/myDeploymentTarget")[config.PathRegisteredLabel]
	labels := func(value string) map[string]any {
		m := map[string]any{"name": "orders", "labels": map[string]any{"team": "a"}}
		if value != "" {
			m["labels"].(map[string]any)["drey.dev/registered"] = value
		}
		return m
	}
	const remove = `[{"op":"remove","path":"/metadata/labels/drey.dev~1registered"}]`
	setTo := func(value string) string {
		return `[{"op":"add","path":"/metadata/labels/drey.dev~1registered","value":"` + value + `"}]`
	}
	terminating := labels("")
	terminating["deletionTimestamp"] = "2026-01-01T00:00:00Z"
	for rule, c := range map[string]struct {
		now, old map[string]any // old is nil at creation
		patch    string
		warns    bool
	}{
		"stated at creation":  {labels("true"), nil, remove, true},
		"stated":              {labels("true"), labels(""), remove, true},
		"unknown value":       {labels("maybe"), labels(""), remove, true},
		"changed":             {labels("true"), labels("draining"), setTo("draining"), true},
		"removed":             {labels(""), labels("true"), setTo("true"), false},
		"draining removed":    {labels(""), labels("draining"), setTo("draining"), false},
		"all labels removed":  {map[string]any{"name": "orders"}, labels("true"), `[{"op":"add","path":"/metadata/labels","value":{"drey.dev/registered":"true"}}]`, false},
		"stated, unchanged":   {labels("true"), labels("true"), "", false},
		"absent at creation":  {labels(""), nil, "", false},
		"terminating removal": {terminating, labels("true"), "", false},
	} {
		t.Run(rule, func(t *testing.T) {
			body := reviewOf(t, map[string]any{"kind": "Namespace", "metadata": c.now}, "orders")
			if c.old != nil {
				body = updateOf(t, map[string]any{"kind": "Namespace", "metadata": c.now}, c.old)
			}
			a := readAnswer(t, send(handler, body).Body.Bytes())
			if !a.Allowed || string(a.Patch) != c.patch || (len(a.Warnings) > 0) != c.warns {
				t.Errorf("got allowed: %t, patch %s, warnings %v; want %s, warning: %t", a.Allowed, a.Patch, a.Warnings, c.patch, c.warns)
			}
			want := "LabelReset"
			if c.patch == "" {
				want = "NotApplicable"
			}
			if got := a.AuditAnnotations["verdict"]; got != want {
				t.Errorf("got the verdict %s, want %s", got, want)
			}
		})
	}
}
