package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	clusterclient "k8s.io/client-go/rest"

	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/test/framework/fixtures"
	"drey.dev/drey/webhook"
	webhookconfig "drey.dev/drey/webhook/config"
	decide "drey.dev/drey/webhook/verdict"
)

// TestAdmissionFixtures creates every fixture in a namespace that has
// its targets and its owners, and finds what the handlers say of it when they are
// asked directly. So the CEL conditions let all of that pass which the Go code
// acts on, the owners that drey finds are those that there are, and what the Go
// code leaves alone causes no call at all.
func TestAdmissionFixtures(t *testing.T) {
	w := inWorld(t)
	for _, c := range fixtures.All(t) {
		t.Run(c.Name, func(t *testing.T) { // not parallel: it counts calls
			namespace := w.Namespace(t)
			c := w.prepare(t, c, namespace)
			want := ask(t, w, c, namespace)
			before := reviews(t, w)
			got := w.try(t, c, namespace)
			for end := time.Now().Add(5 * time.Second); want.differs(got) != "" && time.Now().Before(end); { // drey may not have heard yet of what was prepared
				time.Sleep(50 * time.Millisecond)
				before = reviews(t, w)
				got = w.try(t, c, namespace)
			}
			if difference := want.differs(got); difference != "" {
				t.Fatalf("%s\n%s", c.Rule, difference)
			}
			switch calls := reviews(t, w) - before; {
			case want.concerned && calls == 0:
				t.Errorf("%s\ndrey was not called", c.Rule)
			case !want.concerned && (calls != 0) != (c.CELPasses != ""):
				t.Errorf("%s\nit is not Flink's, and drey was called %d times (the case says that it passes CEL for %q)", c.Rule, calls, c.CELPasses)
			}
		})
	}
}

// prepare makes what a case finds in the registry and in the cluster, and returns
// the case with the ids that all of it got.
func (w *world) prepare(t *testing.T, c fixtures.Case, namespace string) fixtures.Case {
	t.Helper()
	for _, target := range fixtures.TargetsOf(c.Targets, namespace) {
		if target.Namespace != namespace {
			target.Namespace += "-" + namespace
		}
		if err := w.drey.Register(t.Context(), target.PlatformNamespace, target.Name+"-"+namespace, target.Namespace); err != nil {
			t.Fatal(err)
		}
	}
	ids := map[string]string{}
	for _, r := range c.Registered {
		ids[r.ID] = w.registerObject(t, r, namespace)
	}
	if len(c.Existing) > 0 { // some of it would be refused
		w.setMode(t, namespace, webhookconfig.Audit)
	}
	for _, o := range c.Existing {
		o := fixtures.Case{Object: o}.WithIDs(t, ids).Object
		uid := (&unstructured.Unstructured{Object: o}).GetUID()
		ids[string(uid)] = string(w.establish(t, namespace, o).GetUID())
	}
	if len(c.Existing) > 0 { // which was let in when there was a target
		if err := w.mark(t, namespace); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.Existing) > 0 || c.Mode != webhookconfig.Enforce {
		w.setMode(t, namespace, c.Mode)
	}
	return c.WithIDs(t, ids)
}

// mark marks a namespace as registered, as drey does.
func (w *world) mark(t *testing.T, namespace string) error {
	t.Helper()
	_, err := w.as(t, "system:serviceaccount:drey-system:drey").Resource(resources["Namespace"]).Patch(t.Context(), namespace, types.MergePatchType,
		fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, webhookconfig.LabelRegistered, webhookconfig.Registered), metav1.PatchOptions{})
	return err
}

// registerObject makes a Deployment or a SessionCluster over REST, and returns its
// id. It goes with the test: other cases use its name.
func (w *world) registerObject(t *testing.T, r fixtures.Registered, namespace string) string {
	t.Helper()
	path := "/api/v1/namespaces/" + r.PlatformNamespace + "/" + strings.ToLower(string(r.Kind)) + "s"
	body := fmt.Appendf(nil, `{"metadata":{"name":%q},"spec":{"deploymentTargetName":%q}}`, r.Name, r.Target+"-"+namespace)
	answer, err := w.drey.Call(t.Context(), http.MethodPost, path, body)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := w.drey.Call(context.Background(), http.MethodDelete, path+"/"+r.Name, nil); err != nil {
			t.Error(err)
		}
	})
	var made struct{ Metadata struct{ ID string } }
	if err := json.Unmarshal(answer, &made); err != nil {
		t.Fatal(err)
	}
	return made.Metadata.ID
}

func (w *world) setMode(t *testing.T, namespace string, mode webhookconfig.Mode) {
	t.Helper()
	patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, webhookconfig.LabelMode, mode)
	if _, err := w.api.Resource(resources["Namespace"]).Patch(t.Context(), namespace, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

// establish makes an object that is there before the case's own, with the labels
// that the case gives it, whatever drey would: and so that it makes no pods.
func (w *world) establish(t *testing.T, namespace string, object map[string]any) *unstructured.Unstructured {
	t.Helper()
	whole(object)
	wanted := &unstructured.Unstructured{Object: clone(t, object)}
	wanted.SetUID("")
	var made *unstructured.Unstructured
	eventually.OK(t, 5*time.Second, func() (err error) {
		made, err = w.create(t.Context(), namespace, wanted.DeepCopy().Object)
		return err
	})
	api := w.api.Resource(resources[wanted.GetKind()]).Namespace(namespace)
	if status, ok := object["status"]; ok {
		made.Object["status"] = status
		updated, err := api.UpdateStatus(t.Context(), made, metav1.UpdateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		made = updated
	}
	if maps.Equal(made.GetLabels(), wanted.GetLabels()) {
		return made
	}
	patch, err := json.Marshal([]any{map[string]any{"op": "add", "path": "/metadata/labels", "value": labelsOf(wanted.Object)}})
	if err != nil {
		t.Fatal(err)
	}
	if made, err = api.Patch(t.Context(), made.GetName(), types.JSONPatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	return made
}

// whole completes what makes pods, so that it makes none and shows nothing of
// Flink: drey reads the metadata of an owner, and no more.
func whole(object map[string]any) {
	labels := map[string]any{"part": "owner"}
	spec := map[string]any{"containers": []any{map[string]any{"name": "flink-main-container", "image": "example.com/owner:1"}}}
	template := map[string]any{"metadata": map[string]any{"labels": labels}, "spec": spec}
	switch object["kind"] {
	case "DaemonSet": // there are no nodes
		object["spec"] = map[string]any{"selector": map[string]any{"matchLabels": labels}, "template": template}
	case "Deployment", "StatefulSet", "ReplicaSet":
		object["spec"] = map[string]any{"replicas": int64(0), "selector": map[string]any{"matchLabels": labels}, "template": template}
	case "Job":
		spec["restartPolicy"] = "OnFailure"
		object["spec"] = map[string]any{"suspend": true, "template": template}
	case "CronJob":
		spec["restartPolicy"] = "OnFailure"
		object["spec"] = map[string]any{"suspend": true, "schedule": "0 3 * * *", "jobTemplate": map[string]any{"spec": map[string]any{"template": template}}}
	}
}

// outcome is what comes of a creation.
type outcome struct {
	concerned bool   // drey takes it for Flink's
	denial    string // empty: it was let in
	labels    map[string]string
	warnings  []string
}

// differs says in what another outcome is not the one that is wanted.
func (want outcome) differs(got outcome) string {
	switch {
	case want.denial == "" && got.denial != "":
		return "it was refused: " + got.denial
	case !strings.Contains(got.denial, want.denial):
		return fmt.Sprintf("got   %q\nwant the denial %q", got.denial, want.denial)
	case want.denial == "" && !maps.Equal(got.labels, want.labels):
		return fmt.Sprintf("got labels  %v\nwant labels %v", got.labels, want.labels)
	case !slices.Equal(got.warnings, want.warnings):
		return fmt.Sprintf("got warnings  %q\nwant warnings %q", got.warnings, want.warnings)
	}
	return ""
}

// try creates the case's object, dry, through the API server.
func (w *world) try(t *testing.T, c fixtures.Case, namespace string) outcome {
	t.Helper()
	heard := &warnings{}
	config := clusterclient.CopyConfig(w.Config())
	config.WarningHandlerWithContext = heard
	api, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	o := &unstructured.Unstructured{Object: clone(t, c.Object)}
	got, err := api.Resource(resources[c.Kind()]).Namespace(namespace).Create(t.Context(), o, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return outcome{denial: err.Error()}
	}
	labels := maps.Clone(got.GetLabels())
	maps.DeleteFunc(labels, func(key, _ string) bool {
		return key == "controller-uid" || key == "job-name" || strings.HasPrefix(key, "batch.kubernetes.io/")
	})
	if labels == nil {
		labels = map[string]string{}
	}
	return outcome{labels: labels, warnings: heard.texts}
}

// warnings are those that the API server sends along.
type warnings struct {
	mu    sync.Mutex
	texts []string
}

// HandleWarningHeaderWithContext implements rest.WarningHandlerWithContext.
func (w *warnings) HandleWarningHeaderWithContext(_ context.Context, code int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if code == 299 && !slices.Contains(w.texts, text) {
		w.texts = append(w.texts, text)
	}
}

// ask puts the case to the handlers, in the order of the API server and without
// one between.
func ask(t *testing.T, w *world, c fixtures.Case, namespace string) outcome {
	t.Helper()
	handlers := webhook.New(webhook.Options{
		Registry: fixtures.Index(t, namespace, c.Targets, c.Registered...), Owners: c.Existing, HadTarget: func(string) bool { return true }, Log: slog.New(slog.DiscardHandler),
		Address: decide.RegisterHint{URL: w.drey.REST}, Mode: func(string) webhookconfig.Mode { return c.Mode },
	}).Handlers()
	object := clone(t, c.Object)
	out := outcome{labels: labelsOf(object)}
	for _, path := range c.Paths() {
		v := askOne(t, handlers[path], c.Kind(), namespace, object)
		reason := v.AuditAnnotations["verdict"]
		out.concerned = reason != "NotFlink" && reason != "InsufficientSignal"
		for _, text := range v.Warnings {
			if !slices.Contains(out.warnings, text) {
				out.warnings = append(out.warnings, text)
			}
		}
		if !v.Allowed {
			return outcome{concerned: true, denial: v.Status.Message}
		}
		v.label(t, object)
		out.labels = labelsOf(object)
	}
	return out
}

type verdict struct {
	Allowed          bool              `json:"allowed"`
	Status           metav1.Status     `json:"status"`
	Patch            []byte            `json:"patch"`
	Warnings         []string          `json:"warnings"`
	AuditAnnotations map[string]string `json:"auditAnnotations"`
}

func askOne(t *testing.T, handler http.Handler, kind, namespace string, object map[string]any) verdict {
	t.Helper()
	body, err := json.Marshal(map[string]any{
		"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
		"request": map[string]any{"uid": "1", "operation": "CREATE", "namespace": namespace, "kind": map[string]any{"kind": kind}, "object": object},
	})
	if err != nil {
		t.Fatal(err)
	}
	request := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(string(body)))
	request.Header.Set("Content-Type", "application/json")
	response := httptest.NewRecorder()
	handler.ServeHTTP(response, request)
	var review struct{ Response verdict }
	if err := json.Unmarshal(response.Body.Bytes(), &review); err != nil {
		t.Fatalf("%v: %s", err, response.Body)
	}
	return review.Response
}

// label applies the verdict's patch.
func (v verdict) label(t *testing.T, object map[string]any) {
	t.Helper()
	if v.Patch == nil {
		return
	}
	var operations []struct {
		Path  string
		Value any
	}
	if err := json.Unmarshal(v.Patch, &operations); err != nil {
		t.Fatal(err)
	}
	labels := map[string]any{}
	if present, ok := object["metadata"].(map[string]any)["labels"].(map[string]any); ok {
		labels = present
	}
	for _, o := range operations {
		if m, ok := o.Value.(map[string]any); ok {
			maps.Copy(labels, m)
			continue
		}
		labels[strings.ReplaceAll(strings.TrimPrefix(o.Path, "/metadata/labels/"), "~1", "/")] = o.Value
	}
	object["metadata"].(map[string]any)["labels"] = labels
}

func labelsOf(object map[string]any) map[string]string {
	all := map[string]string{}
	present, _ := object["metadata"].(map[string]any)["labels"].(map[string]any)
	for key, value := range present {
		all[key] = fmt.Sprint(value)
	}
	return all
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
