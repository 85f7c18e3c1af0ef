package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/memstore"
	"drey.dev/drey/test/fixtures"
	"drey.dev/drey/webhook"
	"drey.dev/drey/webhook/owners"
	decide "drey.dev/drey/webhook/verdict"
)

// TestFixturesThroughTheAPIServer creates every fixture in a namespace that has
// its targets, and finds what the handlers say of it when they are asked
// directly. So the CEL conditions let all of that pass which the Go code acts
// on, and what the Go code leaves alone causes no call at all.
func TestFixturesThroughTheAPIServer(t *testing.T) {
	w := inWorld(t)
	for _, c := range fixtures.All(t) {
		t.Run(c.Name, func(t *testing.T) { // not parallel: it counts calls
			namespace := w.Namespace(t)
			for _, target := range c.Targets {
				platform, name, _ := strings.Cut(target, "/")
				if err := w.drey.Register(t.Context(), platform, name+"-"+namespace, namespace); err != nil {
					t.Fatal(err)
				}
			}
			want := ask(t, w, c, namespace)
			before := reviews(t, w)
			got, err := w.create(t.Context(), namespace, clone(t, c.Object), metav1.DryRunAll)
			calls := reviews(t, w) - before

			if !want.Allowed {
				if err == nil || !strings.Contains(err.Error(), want.Status.Message) {
					t.Fatalf("%s\ngot error %v\nwant the denial %s", c.Rule, err, want.Status.Message)
				}
				return
			}
			if err != nil {
				t.Fatalf("%s\n%v", c.Rule, err)
			}
			if labels := want.labels(t, c); !maps.Equal(got.GetLabels(), labels) {
				t.Errorf("%s\ngot labels  %v\nwant labels %v", c.Rule, got.GetLabels(), labels)
			}
			if verdict := want.AuditAnnotations["verdict"]; (verdict == "NotFlink" || verdict == "WeakSignal") && calls != 0 {
				t.Errorf("%s\n%s, and drey was called %d times", c.Rule, verdict, calls)
			}
		})
	}
}

type verdict struct {
	Allowed          bool              `json:"allowed"`
	Status           metav1.Status     `json:"status"`
	Patch            []byte            `json:"patch"`
	AuditAnnotations map[string]string `json:"auditAnnotations"`
}

// labels are those of the case's object with the verdict's patch applied.
func (v verdict) labels(t *testing.T, c fixtures.Case) map[string]string {
	t.Helper()
	all := map[string]string{}
	present, _ := c.Object["metadata"].(map[string]any)["labels"].(map[string]any)
	for key, value := range present {
		all[key] = fmt.Sprint(value)
	}
	if v.Patch == nil {
		return all
	}
	var operations []struct {
		Path  string
		Value any
	}
	if err := json.Unmarshal(v.Patch, &operations); err != nil {
		t.Fatal(err)
	}
	for _, o := range operations {
		if m, ok := o.Value.(map[string]any); ok {
			for key, value := range m {
				all[key] = fmt.Sprint(value)
			}
			continue
		}
		all[strings.TrimPrefix(o.Path, "/metadata/labels/")] = fmt.Sprint(o.Value)
	}
	return all
}

// ask puts the case to the handlers without an API server between: to the one that
// denies and, if that is another, to the one that labels.
func ask(t *testing.T, w *world, c fixtures.Case, namespace string) verdict {
	t.Helper()
	switch c.Kind() {
	case "Pod":
		return askAt(t, w, c, namespace, webhook.PathLabelPods)
	case "Deployment", "StatefulSet", "Job":
		v := askAt(t, w, c, namespace, webhook.PathValidateWorkloads)
		v.Patch = askAt(t, w, c, namespace, webhook.PathLabelWorkloads).Patch
		return v
	default:
		return askAt(t, w, c, namespace, webhook.PathValidateWorkloads)
	}
}

func askAt(t *testing.T, w *world, c fixtures.Case, namespace, path string) verdict {
	t.Helper()
	body, err := json.Marshal(map[string]any{
		"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
		"request": map[string]any{"uid": "1", "operation": "CREATE", "namespace": namespace, "kind": map[string]any{"kind": c.Kind()}, "object": c.Object},
	})
	if err != nil {
		t.Fatal(err)
	}
	finder, err := owners.New(w.Config(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	request := httptest.NewRequest(http.MethodPost, path, strings.NewReader(string(body)))
	request.Header.Set("Content-Type", "application/json")
	response := httptest.NewRecorder()
	webhook.New(webhook.Options{Registry: index(t, c, namespace), Owners: finder, Log: slog.New(slog.DiscardHandler), Address: decide.Registry{URL: w.drey.REST}}).Handlers()[path].ServeHTTP(response, request)
	var review struct{ Response verdict }
	if err := json.Unmarshal(response.Body.Bytes(), &review); err != nil {
		t.Fatalf("%v: %s", err, response.Body)
	}
	return review.Response
}

// index has the case's targets, for the namespace that it is in.
func index(t *testing.T, c fixtures.Case, namespace string) *registry.Index {
	t.Helper()
	store, x := memstore.New(), registry.NewIndex("drey-system")
	for _, target := range c.Targets {
		platform, name, _ := strings.Cut(target, "/")
		if _, err := store.Create(t.Context(), registry.Object{
			Kind: registry.DeploymentTarget, Metadata: registry.Metadata{Namespace: platform, Name: name, ID: platform + name},
			Spec: json.RawMessage(fmt.Sprintf(`{"kubernetes":{"namespace":%q}}`, namespace)),
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.Follow(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	return x
}

// reviews is how many AdmissionReviews drey has answered so far.
func reviews(t *testing.T, w *world) int {
	t.Helper()
	response, err := http.Get(w.drey.Metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	total := 0
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if line := lines.Text(); strings.HasPrefix(line, "drey_admission_reviews_total{") {
			n, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
			if err != nil {
				t.Fatal(err)
			}
			total += int(n)
		}
	}
	return total
}
