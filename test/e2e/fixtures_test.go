package e2e

import (
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
	"k8s.io/client-go/rest"

	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/test/framework/fixtures"
	"drey.dev/drey/webhook"
	webhookconfig "drey.dev/drey/webhook/config"
	decide "drey.dev/drey/webhook/verdict"
)

// TestAdmissionFixtures creates the object of every fixture, in a namespace with its targets and
// owners, and compares the result with that of the handlers, called directly. This covers three
// rules: the match conditions in CEL pass all objects that the Go code labels or denies, drey
// resolves the owners of an object, and the API server sends no review of an object without
// Flink.
func TestAdmissionFixtures(t *testing.T) {
	w := sharedWorld(t)
	shared := map[string]string{} // namespaces of cases that create nothing, by their targets and mode
	for _, c := range fixtures.All(t) {
		t.Run(c.Name, func(t *testing.T) { // not parallel: counts reviews
			key := fmt.Sprint(c.Targets, c.Mode)
			namespace, ok := shared[key]
			if creates := len(c.Existing)+len(c.Registered) > 0; creates || !ok {
				namespace = w.Namespace(t)
				c = w.prepare(t, c, namespace)
				if !creates {
					shared[key] = namespace
				}
			}
			want := w.callHandlers(t, c, namespace)
			before := w.reviewCount(t)
			got := w.dryRun(t, namespace, c.Object)
			for end := time.Now().Add(eventually.Timeout); want.diff(got) != "" && time.Now().Before(end); { // drey follows the cluster by watches
				time.Sleep(50 * time.Millisecond)
				before = w.reviewCount(t)
				got = w.dryRun(t, namespace, c.Object)
			}
			if difference := want.diff(got); difference != "" {
				t.Fatalf("%s\n%s", c.Rule, difference)
			}
			calls := w.reviewCount(t) - before
			for range 3 { // the result is no state on the way
				if difference := want.diff(w.dryRun(t, namespace, c.Object)); difference != "" {
					t.Fatalf("%s\nafter a result that was right: %s", c.Rule, difference)
				}
			}
			switch {
			case want.isFlink && calls == 0:
				t.Errorf("%s\nreviews: got none, want some", c.Rule)
			case !want.isFlink && (calls != 0) != (c.CELPasses != ""):
				t.Errorf("%s\nreviews of an object without Flink: got %d, want some only if the fixture has passes (%q)", c.Rule, calls, c.CELPasses)
			}
		})
	}
}

// prepare creates the targets, registered objects and existing objects of a case, and returns
// the case with their ids.
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
	if len(c.Existing) > 0 { // drey would deny some
		w.setMode(t, namespace, webhookconfig.Audit)
	}
	for _, o := range c.Existing {
		o := fixtures.Case{Object: o}.WithIDs(t, ids).Object
		uid := (&unstructured.Unstructured{Object: o}).GetUID()
		ids[string(uid)] = string(w.createExisting(t, namespace, o).GetUID())
	}
	if len(c.Existing) > 0 { // as if admitted when the namespace had a target
		w.labelRegistered(t, namespace)
	}
	if len(c.Existing) > 0 || c.Mode != webhookconfig.Enforce {
		w.setMode(t, namespace, c.Mode)
	}
	return c.WithIDs(t, ids)
}

// labelRegistered labels a namespace as registered, as drey's ServiceAccount.
func (w *world) labelRegistered(t *testing.T, namespace string) {
	t.Helper()
	_, err := w.impersonate(t, "system:serviceaccount:drey-system:drey").Resource(resources["Namespace"]).Patch(t.Context(), namespace, types.MergePatchType,
		fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, webhookconfig.LabelRegistered, webhookconfig.Registered), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// registerObject creates a Deployment or a SessionCluster over REST, and returns its id. It is
// deleted when the test ends, since other cases use its name.
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
	var created struct{ Metadata struct{ ID string } }
	if err := json.Unmarshal(answer, &created); err != nil {
		t.Fatal(err)
	}
	return created.Metadata.ID
}

// setMode labels a namespace with a mode.
func (w *world) setMode(t *testing.T, namespace string, mode webhookconfig.Mode) {
	t.Helper()
	patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, webhookconfig.LabelMode, mode)
	if _, err := w.api.Resource(resources["Namespace"]).Patch(t.Context(), namespace, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

// createExisting creates an object that exists before that of a case. It has exactly the labels
// of the case, and creates no pods.
func (w *world) createExisting(t *testing.T, namespace string, object map[string]any) *unstructured.Unstructured {
	t.Helper()
	completeWorkload(object)
	wanted := &unstructured.Unstructured{Object: deepCopy(t, object)}
	wanted.SetUID("")
	var created *unstructured.Unstructured
	eventually.OK(t, func() (err error) {
		created, err = w.create(t.Context(), namespace, wanted.DeepCopy().Object)
		return err
	})
	api := w.api.Resource(resources[wanted.GetKind()]).Namespace(namespace)
	if status, ok := object["status"]; ok {
		created.Object["status"] = status
		updated, err := api.UpdateStatus(t.Context(), created, metav1.UpdateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		created = updated
	}
	if maps.Equal(created.GetLabels(), wanted.GetLabels()) {
		return created
	}
	patch, err := json.Marshal([]any{map[string]any{"op": "add", "path": "/metadata/labels", "value": labelsOf(wanted.Object)}})
	if err != nil {
		t.Fatal(err)
	}
	if created, err = api.Patch(t.Context(), created.GetName(), types.JSONPatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	return created
}

// completeWorkload gives a workload a spec without replicas and without signals of Flink. Drey
// reads only the metadata of an owner.
func completeWorkload(object map[string]any) {
	labels := map[string]any{"part": "owner"}
	spec := map[string]any{"containers": []any{map[string]any{"name": "flink-main-container", "image": "example.com/owner:1"}}}
	template := map[string]any{"metadata": map[string]any{"labels": labels}, "spec": spec}
	switch object["kind"] {
	case "DaemonSet": // no node runs
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

// outcome is the result of the creation of an object.
type outcome struct {
	isFlink  bool   // drey recognizes the object
	denial   string // empty: allowed
	labels   map[string]string
	warnings []string
}

// diff describes the first difference, or returns an empty string.
func (want outcome) diff(got outcome) string {
	switch {
	case want.denial == "" && got.denial != "":
		return fmt.Sprintf("denial: got %q, want none", got.denial)
	case !strings.Contains(got.denial, want.denial):
		return fmt.Sprintf("denial: got %q\nwant %q", got.denial, want.denial)
	case want.denial == "" && !maps.Equal(got.labels, want.labels):
		return fmt.Sprintf("labels: got %v\nwant %v", got.labels, want.labels)
	case !slices.Equal(got.warnings, want.warnings):
		return fmt.Sprintf("warnings: got %q\nwant %q", got.warnings, want.warnings)
	}
	return ""
}

// dryRun creates an object in a dry run of the API server.
func (w *world) dryRun(t testing.TB, namespace string, object map[string]any) outcome {
	t.Helper()
	received := &warnings{}
	config := rest.CopyConfig(w.Config())
	config.WarningHandlerWithContext = received
	api, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	o := &unstructured.Unstructured{Object: deepCopy(t, object)}
	got, err := api.Resource(resources[o.GetKind()]).Namespace(namespace).Create(t.Context(), o, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
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
	return outcome{labels: labels, warnings: received.texts}
}

// warnings collects the warnings of responses.
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

// callHandlers calls the handlers of an object in the order of the API server, without one.
func (w *world) callHandlers(t *testing.T, c fixtures.Case, namespace string) outcome {
	t.Helper()
	handlers := webhook.New(webhook.Options{
		Registry: fixtures.Index(t, namespace, c.Targets, c.Registered...), Owners: c.Existing, HadTarget: func(string) bool { return true }, Log: slog.New(slog.DiscardHandler),
		Address: decide.RegisterHint{URL: w.drey.REST}, Mode: func(string) webhookconfig.Mode { return c.Mode },
	}).Handlers()
	object := deepCopy(t, c.Object)
	out := outcome{labels: labelsOf(object)}
	for _, path := range c.Paths() {
		r := review(t, handlers[path], c.Kind(), namespace, object, true)
		reason := r.AuditAnnotations["verdict"]
		out.isFlink = reason != "NotFlink" && reason != "InsufficientSignal"
		for _, text := range r.Warnings {
			if !slices.Contains(out.warnings, text) {
				out.warnings = append(out.warnings, text)
			}
		}
		if !r.Allowed {
			return outcome{isFlink: true, denial: r.Status.Message}
		}
		r.applyPatch(t, object)
		out.labels = labelsOf(object)
	}
	return out
}

// response is the response of an AdmissionReview.
type response struct {
	Allowed          bool              `json:"allowed"`
	Status           metav1.Status     `json:"status"`
	Patch            []byte            `json:"patch"`
	Warnings         []string          `json:"warnings"`
	AuditAnnotations map[string]string `json:"auditAnnotations"`
}

// review sends an AdmissionReview of a creation to a handler.
func review(t *testing.T, handler http.Handler, kind, namespace string, object map[string]any, dryRun bool) response {
	t.Helper()
	body, err := json.Marshal(map[string]any{
		"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
		"request": map[string]any{"uid": "1", "operation": "CREATE", "namespace": namespace, "kind": map[string]any{"kind": kind}, "object": object, "dryRun": dryRun},
	})
	if err != nil {
		t.Fatal(err)
	}
	request := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(string(body)))
	request.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	var answer struct{ Response response }
	if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil {
		t.Fatalf("%v: %s", err, recorder.Body)
	}
	return answer.Response
}

// applyPatch applies the patch of labels to an object.
func (r response) applyPatch(t *testing.T, object map[string]any) {
	t.Helper()
	if r.Patch == nil {
		return
	}
	var operations []struct {
		Path  string
		Value any
	}
	if err := json.Unmarshal(r.Patch, &operations); err != nil {
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

// labelsOf returns the labels of an object.
func labelsOf(object map[string]any) map[string]string {
	all := map[string]string{}
	present, _ := object["metadata"].(map[string]any)["labels"].(map[string]any)
	for key, value := range present {
		all[key] = fmt.Sprint(value)
	}
	return all
}

// reviewCount returns the number of AdmissionReviews that drey has answered.
func (w *world) reviewCount(t *testing.T) int {
	t.Helper()
	total := 0
	for line := range strings.Lines(w.metrics(t)) {
		if strings.HasPrefix(line, "drey_admission_reviews_total{") {
			n, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:]), 64)
			if err != nil {
				t.Fatal(err)
			}
			total += int(n)
		}
	}
	return total
}
