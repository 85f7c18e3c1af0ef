// Package cel compares the CEL match conditions of drey's webhooks and policies with the Go
// code behind them. It evaluates CEL with the API server's own packages, and is a separate
// module because of them.
package cel

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	admissioncel "k8s.io/apiserver/pkg/admission/plugin/cel"
	apiserver "k8s.io/apiserver/pkg/admission/plugin/webhook"
	objectselector "k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/object"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/rules"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/client-go/kubernetes/scheme"

	"drey.dev/drey/test/framework/fixtures"
	"drey.dev/drey/webhook"
	"drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/flink"
)

const namespace = "flink"

// webhooks are drey's webhooks as the API server represents them.
var webhooks = func() []apiserver.WebhookAccessor {
	client := config.ByURL("https://drey", nil, "")
	var all []apiserver.WebhookAccessor
	mutating, validating := config.Mutating(client, nil, "drey"), config.Validating(client, nil)
	for i := range mutating.Webhooks {
		all = append(all, apiserver.NewMutatingWebhookAccessor(mutating.Webhooks[i].Name, mutating.Name, &mutating.Webhooks[i]))
	}
	for i := range validating.Webhooks {
		all = append(all, apiserver.NewValidatingWebhookAccessor(validating.Webhooks[i].Name, validating.Name, &validating.Webhooks[i]))
	}
	return all
}()

var compiler = admissioncel.NewConditionCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))

// called returns the paths of the webhooks that the API server would call, in order.
func called(t testing.TB, operation admission.Operation, object, old map[string]any) []string {
	t.Helper()
	return calledOf(t, webhooks, operation, object, old)
}

// registered returns the webhooks whose namespaceSelector matches a registered namespace.
func registered() []apiserver.WebhookAccessor {
	return slices.DeleteFunc(slices.Clone(webhooks), func(s apiserver.WebhookAccessor) bool {
		v, ok := s.GetValidatingWebhook()
		return ok && slices.ContainsFunc(v.NamespaceSelector.MatchExpressions, func(r metav1.LabelSelectorRequirement) bool {
			return r.Key == config.LabelRegistered && r.Operator == metav1.LabelSelectorOpNotIn
		})
	})
}

// calledOf is called for some of the webhooks.
func calledOf(t testing.TB, webhooks []apiserver.WebhookAccessor, operation admission.Operation, object, old map[string]any) []string {
	t.Helper()
	o := &unstructured.Unstructured{Object: object}
	var before runtime.Object
	if old != nil {
		before = typed(t, old)
	}
	kind := o.GroupVersionKind()
	attributes := admission.NewAttributesRecord(typed(t, object), before, kind, namespace, o.GetName(), resourceOf(kind), "", operation, nil, false, &user.DefaultInfo{Name: "alice"})
	versioned, err := admission.NewVersionedAttributes(attributes, kind, admission.NewObjectInterfacesFromScheme(scheme.Scheme))
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, s := range webhooks {
		if !slices.ContainsFunc(s.GetRules(), func(r admissionregistrationv1.RuleWithOperations) bool {
			return (&rules.Matcher{Rule: r, Attr: attributes}).Matches()
		}) {
			continue
		}
		if w, ok := s.GetMutatingWebhook(); ok && w.ObjectSelector != nil { // the API server defaults others
			if selected, err := (&objectselector.Matcher{}).MatchObjectSelector(s, attributes); err != nil {
				t.Fatalf("%s: %v", s.GetName(), err)
			} else if !selected {
				continue
			}
		}
		if len(s.GetMatchConditions()) > 0 {
			result := s.GetCompiledMatcher(compiler).Match(t.Context(), versioned, nil, nil)
			if result.Error != nil {
				t.Fatalf("%s: %v", s.GetName(), result.Error)
			}
			if !result.Matches {
				continue
			}
		}
		paths = append(paths, strings.TrimPrefix(*s.GetClientConfig().URL, "https://drey"))
	}
	return paths
}

// typed converts an object to its Go type, which drops unknown fields as the API server
// does.
func typed(t testing.TB, object map[string]any) runtime.Object {
	t.Helper()
	u := &unstructured.Unstructured{Object: object}
	o, err := scheme.Scheme.New(u.GroupVersionKind())
	if err != nil {
		return u // a custom resource
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object, o); err != nil {
		t.Fatal(err)
	}
	return o
}

func resourceOf(kind schema.GroupVersionKind) schema.GroupVersionResource {
	return kind.GroupVersion().WithResource(strings.ToLower(kind.Kind) + "s")
}

// code is drey's handlers for a namespace with a target, which label Flink, and for one
// without, which deny it.
type code []map[string]http.Handler

func newCode(t testing.TB) code {
	t.Helper()
	var all code
	for _, targets := range [][]string{{"team-a/one"}, nil} {
		all = append(all, webhook.New(webhook.Options{Registry: fixtures.Index(t, namespace, targets), Log: slog.New(slog.DiscardHandler)}).Handlers())
	}
	return all
}

// acting returns the paths at which Go labels or denies the creation of an object.
func (c code) acting(t testing.TB, object map[string]any) []string {
	t.Helper()
	var paths []string
	for _, path := range (fixtures.Case{Object: object}).Paths() {
		for _, handlers := range c {
			allowed, reason := review(t, handlers[path], "CREATE", object, nil)
			if (!allowed || reason != "NotFlink" && reason != "InsufficientSignal") && !slices.Contains(paths, path) {
				paths = append(paths, path)
			}
		}
	}
	return paths
}

// review sends an admission review, and returns the verdict.
func review(t testing.TB, handler http.Handler, operation string, object, old map[string]any) (allowed bool, reason string) {
	t.Helper()
	request := map[string]any{"uid": "1", "operation": operation, "namespace": namespace, "kind": map[string]any{"kind": object["kind"]}, "object": object}
	if old != nil {
		request["oldObject"] = old
	}
	body, err := json.Marshal(map[string]any{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(string(body)))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	var answer struct {
		Response struct {
			Allowed          bool
			AuditAnnotations map[string]string
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	return answer.Response.Allowed, answer.Response.AuditAnnotations["verdict"]
}

// TestFixtures: CEL matches each fixture that Go labels or denies. Fixtures that CEL
// matches in addition state the reason in CELPasses.
func TestFixtures(t *testing.T) {
	code := newCode(t)
	for _, c := range fixtures.All(t) {
		t.Run(c.Name, func(t *testing.T) {
			passed, acted := called(t, admission.Create, c.Object, nil), code.acting(t, c.Object)
			for _, path := range acted {
				if !slices.Contains(passed, path) {
					t.Errorf("got CEL matches for %v, want %s, at which Go acts", passed, path)
				}
			}
			if more := len(passed) > 0 && len(acted) == 0; more != (c.CELPasses != "") {
				t.Errorf("got CEL matches for %v and Go acting at %v, want an additional match only with CELPasses set; it is %q", passed, acted, c.CELPasses)
			}
		})
	}
}

// TestManyContainers: beside many other containers, CEL matches each pod that Go labels or denies.
// Without a hint of Flink they are not sent to drey.
func TestManyContainers(t *testing.T) {
	code := newCode(t)
	acting := 0
	for _, others := range []int{40, 200} {
		sidecars := func(i int) any {
			return map[string]any{"name": fmt.Sprint("sidecar-", i), "image": "nginx:1.29", "args": []any{"-g", "daemon off;"}}
		}
		for _, c := range fixtures.All(t) {
			if c.Kind() != "Pod" {
				continue
			}
			object := runtime.DeepCopyJSON(c.Object)
			all, _, _ := unstructured.NestedSlice(object, "spec", "containers")
			if err := unstructured.SetNestedSlice(object, append(many(others, sidecars), all...), "spec", "containers"); err != nil {
				t.Fatal(err)
			}
			passed := called(t, admission.Create, object, nil)
			for _, path := range code.acting(t, object) {
				if acting++; !slices.Contains(passed, path) {
					t.Errorf("%s beside %d containers: got CEL matches for %v, want %s, at which Go acts", c.Name, others, passed, path)
				}
			}
		}
		plain := map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "a"}, "spec": map[string]any{"containers": many(others, sidecars)}}
		if passed := called(t, admission.Create, plain, nil); len(passed) > 0 {
			t.Errorf("%d containers without Flink: got CEL matches for %v, want none", others, passed)
		}
	}
	if acting < 100 {
		t.Errorf("Go acts at %d pods, want at least 100", acting)
	}
}

// TestOwnedByCustomResource: CEL matches workloads owned by a custom resource in an
// unregistered namespace only. In a registered one the owner was admitted.
func TestOwnedByCustomResource(t *testing.T) {
	for _, r := range flink.CustomResources {
		for _, c := range fixtures.All(t) {
			switch c.Kind() {
			case "Deployment", "StatefulSet", "Job", "CronJob", "DaemonSet", "ReplicaSet", "ReplicationController", "Rollout":
			default:
				continue
			}
			object := runtime.DeepCopyJSON(c.Object)
			object["metadata"].(map[string]any)["ownerReferences"] = []any{map[string]any{
				"apiVersion": r.Group + "/" + r.Version, "kind": r.Kind, "name": "a", "uid": "0d0d0d0d-0000-4000-8000-000000000006",
			}}
			if passed := called(t, admission.Create, object, nil); !slices.Contains(passed, config.PathValidateWorkloads) {
				t.Errorf("%s owned by a %s, namespace not registered: got %v, want %s", c.Name, r.Kind, passed, config.PathValidateWorkloads)
			}
			unstructured.RemoveNestedField(object, "metadata", "labels", "system") // claims are reviewed in every namespace
			if passed := calledOf(t, registered(), admission.Create, object, nil); slices.Contains(passed, config.PathValidateWorkloads) {
				t.Errorf("%s owned by a %s, namespace registered: got %v, want no %s", c.Name, r.Kind, passed, config.PathValidateWorkloads)
			}
		}
	}
}

// TestRolloutsWithoutAPodTemplate: a Rollout may lack the fields that conditions read. No
// condition fails, which would deny the request, and none matches.
func TestRolloutsWithoutAPodTemplate(t *testing.T) {
	for name, object := range map[string]map[string]any{
		"no spec":                  {},
		"an empty spec":            {"spec": map[string]any{}},
		"a reference":              {"spec": map[string]any{"workloadRef": map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}}},
		"an empty template":        {"spec": map[string]any{"template": map[string]any{}}},
		"a template of labels":     {"spec": map[string]any{"template": map[string]any{"metadata": map[string]any{"labels": map[string]any{"type": "flink-native-kubernetes"}}}}},
		"no container":             {"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{}}}}},
		"a container without name": {"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"image": "flink"}}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			object["apiVersion"], object["kind"], object["metadata"] = "argoproj.io/v1alpha1", "Rollout", map[string]any{"name": "a"}
			if passed := called(t, admission.Create, object, nil); len(passed) > 0 {
				t.Errorf("got matches for %v, want none", passed)
			}
		})
	}
}
