package cel

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	admissioncel "k8s.io/apiserver/pkg/admission/plugin/cel"
	apiserver "k8s.io/apiserver/pkg/admission/plugin/webhook"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/rules"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/client-go/kubernetes/scheme"

	"drey.dev/drey/webhook/config"
)

// maxObjectSize is etcd's limit of an object, in bytes.
const maxObjectSize = 3 << 19

// many returns a list of n elements.
func many(n int, at func(i int) any) []any {
	all := make([]any, n)
	for i := range all {
		all[i] = at(i)
	}
	return all
}

// word returns a string of n bytes.
func word(n int) func(int) any {
	return func(int) any { return strings.Repeat("a", n) }
}

// main returns a container with additional fields.
func main(fields map[string]any) map[string]any {
	c := map[string]any{"name": "main", "image": "nginx:1"}
	maps.Copy(c, fields)
	return c
}

// inContainer returns a pod spec with one container.
func inContainer(fields map[string]any) map[string]any {
	return map[string]any{"containers": []any{main(fields)}}
}

func variable(i int) any { return map[string]any{"name": fmt.Sprint("A", i), "value": "b"} }

// carriers returns a Pod and workloads of each shape with the same pod template.
func carriers(metadata, spec map[string]any) []map[string]any {
	meta := func() map[string]any {
		m := map[string]any{"name": "a"}
		maps.Copy(m, metadata)
		return m
	}
	template := map[string]any{"metadata": runtime.DeepCopyJSON(metadata), "spec": spec}
	return []map[string]any{
		{"apiVersion": "v1", "kind": "Pod", "metadata": meta(), "spec": spec},
		{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta(), "spec": map[string]any{"template": template}},
		{"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": meta(), "spec": map[string]any{"template": template}},
		{"apiVersion": "batch/v1", "kind": "CronJob", "metadata": meta(), "spec": map[string]any{"jobTemplate": map[string]any{"spec": map[string]any{"template": template}}}},
		{"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": meta(), "spec": map[string]any{"template": template}},
	}
}

// TestLargePods: large pods that are not Flink's do not match within the limits of the
// conditions. Beyond the limits they are sent to drey, and the policy does not deny them.
func TestLargePods(t *testing.T) {
	for name, c := range map[string]struct {
		spec       map[string]any
		sent, deny bool
	}{
		"a script of 100 KiB":                                  {spec: inContainer(map[string]any{"args": []any{"-c", strings.Repeat("echo a; ", 100<<7)}})},
		"a script of 1 MiB":                                    {spec: inContainer(map[string]any{"args": []any{"-c", strings.Repeat("echo a; ", 1<<17)}}), sent: true},
		"10,000 arguments":                                     {spec: inContainer(map[string]any{"args": many(10_000, func(i int) any { return fmt.Sprint("--a=", i) })})},
		"20,000 arguments":                                     {spec: inContainer(map[string]any{"args": many(20_000, word(4))})},
		"40,000 arguments":                                     {spec: inContainer(map[string]any{"args": many(40_000, word(4))}), sent: true},
		"11 arguments of 115,000 bytes":                        {spec: inContainer(map[string]any{"args": many(11, word(115_000))}), sent: true},
		"20 containers of 50 variables":                        {spec: map[string]any{"containers": many(20, func(int) any { return main(map[string]any{"env": many(50, variable)}) })}},
		"20 containers of 500 variables":                       {spec: map[string]any{"containers": many(20, func(int) any { return main(map[string]any{"env": many(500, variable)}) })}},
		"200 containers of 40 arguments":                       {spec: map[string]any{"containers": many(200, func(int) any { return main(map[string]any{"args": many(40, word(8))}) })}},
		"200 containers of 1,000 bytes":                        {spec: map[string]any{"containers": many(200, func(int) any { return main(map[string]any{"args": many(1, word(1_000))}) })}, sent: true},
		"500 containers":                                       {spec: map[string]any{"containers": many(500, func(int) any { return main(nil) })}, sent: true},
		"5,000 containers":                                     {spec: map[string]any{"containers": many(5_000, func(int) any { return main(nil) })}, sent: true},
		"200 init containers":                                  {spec: map[string]any{"containers": []any{main(nil)}, "initContainers": many(200, func(int) any { return main(map[string]any{"args": many(40, word(8))}) })}},
		"30 sidecars of 8,000 bytes":                           {spec: map[string]any{"containers": []any{main(nil)}, "initContainers": many(30, func(int) any { return main(map[string]any{"restartPolicy": "Always", "args": many(200, word(40))}) })}},
		"200 sidecars":                                         {spec: map[string]any{"containers": []any{main(nil)}, "initContainers": many(200, func(int) any { return main(map[string]any{"restartPolicy": "Always"}) })}, sent: true},
		"11 sidecars of 115,000 bytes":                         {spec: map[string]any{"containers": []any{main(nil)}, "initContainers": many(11, func(int) any { return main(map[string]any{"restartPolicy": "Always", "args": many(1, word(115_000))}) })}, sent: true},
		"40,000 arguments of a sidecar":                        {spec: map[string]any{"containers": []any{main(nil)}, "initContainers": []any{main(map[string]any{"restartPolicy": "Always", "args": many(40_000, word(4))})}}, sent: true},
		"5,000 init containers":                                {spec: map[string]any{"containers": []any{main(nil)}, "initContainers": many(5_000, func(int) any { return main(nil) })}, sent: true},
		"a script of 8,000 bytes of a sidecar that is not run": {spec: map[string]any{"containers": []any{main(nil)}, "initContainers": []any{main(map[string]any{"restartPolicy": "Always", "command": []any{"sh", "-c"}, "args": []any{strings.Repeat("echo jobmanager.sh; ", 400)}})}}, sent: true},
		"30 scripts of 8,000 bytes of sidecars": {spec: map[string]any{"containers": []any{main(nil)}, "initContainers": many(30, func(int) any {
			return main(map[string]any{"restartPolicy": "Always", "command": []any{"sh", "-c"}, "args": []any{strings.Repeat("echo jobmanager.sh; ", 400)}})
		})}, sent: true},
		"30 containers and 30 sidecars":          {spec: map[string]any{"containers": many(30, func(int) any { return main(map[string]any{"args": many(100, word(40))}) }), "initContainers": many(30, func(int) any { return main(map[string]any{"restartPolicy": "Always", "args": many(200, word(40))}) })}},
		"1,000 volumes":                          {spec: map[string]any{"containers": []any{main(nil)}, "volumes": many(1_000, func(i int) any { return map[string]any{"name": fmt.Sprint("v", i)} })}},
		"10,000 volumes":                         {spec: map[string]any{"containers": []any{main(nil)}, "volumes": many(10_000, func(i int) any { return map[string]any{"name": fmt.Sprint("v", i)} })}},
		"1,000 volumes and a JobManager":         {spec: map[string]any{"containers": []any{map[string]any{"name": "jobmanager"}}, "volumes": many(1_000, func(i int) any { return map[string]any{"name": fmt.Sprint("v", i)} })}, sent: true, deny: true},
		"40,000 arguments that name Flink":       {spec: inContainer(map[string]any{"args": many(40_000, func(int) any { return "flink" })}), sent: true, deny: true},
		"100 containers, one with a Flink image": {spec: map[string]any{"containers": append(many(99, func(int) any { return main(nil) }), main(map[string]any{"image": "flink:2.2"}))}, sent: true, deny: true},
		"2,000 variables and a Flink role":       {spec: inContainer(map[string]any{"args": []any{"taskmanager"}, "env": many(2_000, variable)}), sent: true, deny: true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, o := range carriers(map[string]any{}, c.spec) {
				if passed := called(t, admission.Create, o, nil); (len(passed) > 0) != c.sent {
					t.Errorf("%s: got matches for %v, want it sent: %t", o["kind"], passed, c.sent)
				}
				if o["kind"] == "Pod" && denied(t, o) != c.deny {
					t.Errorf("denied by the policy: got %t, want %t", !c.deny, c.deny)
				}
			}
		})
	}
}

// TestLargeFlink: a Flink pod is sent to drey and denied by the policy at any size.
func TestLargeFlink(t *testing.T) {
	code := newCode(t)
	jobManager := func() map[string]any {
		return map[string]any{"name": "jobmanager", "image": "flink:2.2", "args": []any{"jobmanager"}, "env": []any{map[string]any{"name": "FLINK_PROPERTIES", "value": "a"}}}
	}
	for name, add := range map[string]func(spec, c map[string]any){
		"arguments":      func(_, c map[string]any) { c["args"] = append(c["args"].([]any), many(50_000, word(8))...) },
		"long arguments": func(_, c map[string]any) { c["args"] = append(c["args"].([]any), many(11, word(115_000))...) },
		"variables":      func(_, c map[string]any) { c["env"] = append(c["env"].([]any), many(20_000, variable)...) },
		"volumes": func(s, _ map[string]any) {
			s["volumes"] = many(10_000, func(i int) any { return map[string]any{"name": fmt.Sprint("v", i)} })
		},
		"containers":   func(s, c map[string]any) { s["containers"] = append(many(400, func(int) any { return main(nil) }), c) },
		"a long image": func(_, c map[string]any) { c["image"] = strings.Repeat("a/", 100_000) + "flink" },
		"sidecars with long arguments": func(s, c map[string]any) {
			s["containers"] = append(many(10, func(int) any { return main(map[string]any{"args": many(1, word(130_000))}) }), c)
		},
		"sidecars with long scripts": func(s, c map[string]any) {
			s["containers"] = append(many(14, func(int) any {
				return main(map[string]any{"command": []any{"sh", "-c"}, "args": []any{strings.Repeat("exec x; ", 1_000)}})
			}), c)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := jobManager()
			spec := map[string]any{"containers": []any{c}}
			add(spec, c)
			for _, o := range carriers(map[string]any{}, spec) {
				passed := called(t, admission.Create, o, nil)
				for _, path := range code.acting(t, o) {
					if !slices.Contains(passed, path) {
						t.Errorf("%s: got CEL matches for %v, want %s, at which Go acts", o["kind"], passed, path)
					}
				}
				if len(passed) == 0 {
					t.Errorf("%s: got no match, want it sent to drey", o["kind"])
				}
				if o["kind"] == "Pod" && !denied(t, o) {
					t.Error("got no denial by the policy")
				}
			}
		})
	}
}

// large returns an object of about size bytes: few long or many short values, with the
// words that the conditions search for among them.
func (g generator) large(size int) map[string]any {
	filler := func(n int) string { // of about n bytes
		w := g.of("a", "-D", "echo a; ", "flink ", "x.sh ", "docker-entrypoint.sh\n", "org.apache.flink.", "java -cp ", "/", ";exec ", "kubernetes-taskmanager.sh ", "jobmanager", "ü", "\n")
		return strings.Repeat(w, n/len(w)+1)
	}
	list := func(size int, of func(n int) any) []any {
		count := []int{1, 3, 11, 100, 1_000, 10_000, 100_000}[g.IntN(7)]
		count = max(1, min(count, size/8))
		one := of(size / count)
		return many(count, func(int) any { return one })
	}
	words := func(size int) []any {
		return append(g.words(), list(size, func(n int) any { return filler(n) })...)
	}
	container := func(size int) map[string]any {
		c := map[string]any{"name": g.of("main", "jobmanager", "flink-main-container"), "image": g.image()}
		switch g.IntN(4) {
		case 0:
			c["args"] = words(size)
		case 1:
			c["command"], c["args"] = append([]any{g.of("sh", "/docker-entrypoint.sh", "java"), g.of("-c", "-cp")}, words(size/2)...), words(size/2)
		case 2:
			c["env"] = list(size, func(n int) any {
				return map[string]any{"name": g.of("A", "ROLE", "FLINK_MODE"), "value": filler(n)}
			})
		case 3:
			c["image"] = filler(size)
		}
		return c
	}
	containers := []int{1, 2, 14, 32, 33, 500, 5_000}[g.IntN(7)]
	metadata, spec := map[string]any{"labels": g.labels()}, map[string]any{}
	share := max(size/containers, 8)
	switch g.IntN(8) {
	case 0:
		metadata["ownerReferences"] = list(size, func(n int) any {
			return map[string]any{"apiVersion": g.of("apps/v1", "flink.apache.org/v1beta1"), "kind": g.of("Deployment", "FlinkDeployment"), "name": filler(n), "uid": "a", "controller": g.oneIn(2)}
		})
		share = 8
	case 1:
		spec["volumes"] = list(size, func(n int) any { return map[string]any{"name": g.of("a", "flink-config-volume", filler(min(n, 60)))} })
		share = 8
	case 2:
		labels := metadata["labels"].(map[string]any)
		for i := range size / 64 {
			labels[fmt.Sprint("l", i)] = strings.Repeat("v", 55)
		}
		share = 8
	}
	spec["containers"] = many(containers, func(int) any { return container(share) })
	if containers > 500 {
		one := container(share)
		spec["containers"] = many(containers, func(int) any { return one })
	}
	all := carriers(metadata, spec)
	return all[g.IntN(len(all))]
}

// growingShape enlarges one field of a pod.
type growingShape struct {
	sizes    [2]int
	add      func(metadata, spec, container map[string]any, n int)
	searched bool // by the policy
}

// growing are shapes of pods that are not Flink's, at two sizes beyond a bound.
var growing = map[string]growingShape{
	"arguments":      {[2]int{33_000, 100_000}, func(_, _, c map[string]any, n int) { c["args"] = many(n, word(4)) }, true},
	"long arguments": {[2]int{12_000, 115_000}, func(_, _, c map[string]any, n int) { c["args"] = many(11, word(n)) }, true},
	"a script": {[2]int{140_000, 1_200_000}, func(_, _, c map[string]any, n int) {
		c["command"], c["args"] = []any{"sh", "-c"}, many(1, word(n))
	}, true},
	"variables":  {[2]int{1_001, 20_000}, func(_, _, c map[string]any, n int) { c["env"] = many(n, variable) }, false},
	"containers": {[2]int{600, 5_000}, func(_, s, _ map[string]any, n int) { s["containers"] = many(n, func(int) any { return main(nil) }) }, false},
	"volumes": {[2]int{257, 10_000}, func(_, s, _ map[string]any, n int) {
		s["volumes"] = many(n, func(int) any { return map[string]any{"name": "v"} })
	}, false},
	"owner references": {[2]int{65, 5_000}, func(m, _, _ map[string]any, n int) { m["ownerReferences"] = many(n, owner) }, false},
	"labels": {[2]int{10, 20_000}, func(m, _, _ map[string]any, n int) {
		labels := map[string]any{}
		for i := range n {
			labels[fmt.Sprint("l", i)] = "v"
		}
		m["labels"] = labels
	}, false},
}

// objects returns a Pod and a Deployment of a shape.
func (s growingShape) objects(n int) []map[string]any {
	container := main(nil)
	metadata, spec := map[string]any{}, map[string]any{"containers": []any{container}}
	s.add(metadata, spec, container, n)
	return carriers(metadata, spec)[:2]
}

// TestConditionCost: beyond the bounds, the cost of the webhooks' conditions does not depend
// on the size of the object. Nor does that of the policy, except on the command lines, which
// it searches for the name of Flink.
func TestConditionCost(t *testing.T) {
	for name, shape := range growing {
		t.Run(name, func(t *testing.T) {
			var costs [2]map[string]int64
			for i, n := range shape.sizes {
				costs[i] = map[string]int64{}
				for _, o := range shape.objects(n) {
					for _, s := range conditional(t, o) {
						if s != podPolicy || !shape.searched {
							costs[i][o["kind"].(string)+" "+s.GetName()] = costOf(t, s, o)
						}
					}
				}
			}
			if len(costs[0]) < 5 || !maps.Equal(costs[0], costs[1]) {
				t.Errorf("cost of %d: %v\ncost of %d: %v", shape.sizes[0], costs[0], shape.sizes[1], costs[1])
			}
		})
	}
}

// BenchmarkConditions evaluates all of drey's conditions for the creation of an object.
func BenchmarkConditions(b *testing.B) {
	for _, name := range slices.Sorted(maps.Keys(growing)) {
		shape := growing[name]
		for _, n := range append([]int{0}, shape.sizes[:]...) {
			for _, o := range shape.objects(n) {
				b.Run(fmt.Sprintf("%s/%d/%s", strings.ReplaceAll(name, " ", "_"), n, o["kind"]), func(b *testing.B) {
					evaluate(b, o, conditional(b, o))
				})
			}
		}
	}
}

// BenchmarkManyContainers evaluates the conditions for the creation of a pod without a hint of
// Flink, by webhook; that without a name is the policy.
func BenchmarkManyContainers(b *testing.B) {
	for _, n := range []int{1, 30, 200} {
		pod := map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "a"}, "spec": map[string]any{
			"containers": many(n, func(int) any { return main(map[string]any{"args": []any{"-g", "daemon off;"}}) }),
		}}
		for _, s := range conditional(b, pod) {
			b.Run(fmt.Sprintf("%d/%s", n, s.GetName()), func(b *testing.B) { evaluate(b, pod, []apiserver.WebhookAccessor{s}) })
		}
	}
}

// evaluate repeats the evaluation of the conditions of webhooks.
func evaluate(b *testing.B, object map[string]any, webhooks []apiserver.WebhookAccessor) {
	b.Helper()
	versioned := creation(b, object)
	least := time.Hour // the mean of a busy machine says little
	b.ReportAllocs()
	for b.Loop() {
		began := time.Now()
		for _, s := range webhooks {
			if result := s.GetCompiledMatcher(compiler).Match(b.Context(), versioned, nil, nil); result.Error != nil {
				b.Fatal(result.Error)
			}
		}
		least = min(least, time.Since(began))
	}
	b.ReportMetric(float64(least.Microseconds()), "least-us/op")
	b.ReportMetric(2e6, "limit-us/op") // of a large object, below the timeout of a webhook
}

func owner(i int) any {
	return map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "name": fmt.Sprint("o", i), "uid": fmt.Sprint("u", i)}
}

// evaluators are the compiled conditions of costOf.
var evaluators = map[apiserver.WebhookAccessor]admissioncel.ConditionEvaluator{}

// conditional returns the webhooks whose conditions the API server evaluates for the creation
// of an object, and the policy for a Pod.
func conditional(t testing.TB, object map[string]any) []apiserver.WebhookAccessor {
	t.Helper()
	attributes := creation(t, object).Attributes
	all := slices.DeleteFunc(slices.Clone(webhooks), func(s apiserver.WebhookAccessor) bool {
		return len(s.GetMatchConditions()) == 0 || !slices.ContainsFunc(s.GetRules(), func(r admissionregistrationv1.RuleWithOperations) bool {
			return (&rules.Matcher{Rule: r, Attr: attributes}).Matches()
		})
	})
	if object["kind"] == "Pod" {
		all = append(all, podPolicy)
	}
	return all
}

// costOf returns the cost of the conditions of a webhook, by the API server's measure, for
// the creation of an object.
func costOf(t *testing.T, s apiserver.WebhookAccessor, object map[string]any) int64 {
	t.Helper()
	versioned := creation(t, object)
	evaluator, ok := evaluators[s]
	if !ok {
		var conditions []admissioncel.ExpressionAccessor
		for _, c := range s.GetMatchConditions() {
			conditions = append(conditions, &matchconditions.MatchCondition{Name: c.Name, Expression: c.Expression})
		}
		evaluator = compiler.CompileCondition(conditions, admissioncel.OptionalVariableDeclarations{}, environment.StoredExpressions)
		evaluators[s] = evaluator
	}
	request := admissioncel.CreateAdmissionRequest(versioned.Attributes, metav1.GroupVersionResource(versioned.GetResource()), metav1.GroupVersionKind(versioned.VersionedKind))
	results, left, err := evaluator.ForInput(t.Context(), versioned, request, admissioncel.OptionalVariableBindings{}, nil, celconfig.RuntimeCELCostBudgetMatchConditions)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Error != nil {
			t.Fatal(r.Error)
		}
	}
	return celconfig.RuntimeCELCostBudgetMatchConditions - left
}

// creation returns the attributes of the creation of an object.
func creation(t testing.TB, object map[string]any) *admission.VersionedAttributes {
	t.Helper()
	o := &unstructured.Unstructured{Object: object}
	kind := o.GroupVersionKind()
	attributes := admission.NewAttributesRecord(typed(t, object), nil, kind, namespace, o.GetName(), resourceOf(kind), "", admission.Create, nil, false, &user.DefaultInfo{Name: "alice"})
	versioned, err := admission.NewVersionedAttributes(attributes, kind, admission.NewObjectInterfacesFromScheme(scheme.Scheme))
	if err != nil {
		t.Fatal(err)
	}
	return versioned
}

// TestConditionsOfLargeObjects: no condition exceeds the API server's cost limit for objects of any
// shape, and CEL matches each object that Go labels or denies.
func TestConditionsOfLargeObjects(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(7, 8))}
	code := newCode(t)
	before := map[string]map[string]any{} // the last large object of each kind
	updates := 0
	for i := range 250 {
		o := g.large([]int{1 << 12, 1 << 14, 1 << 17, 1 << 18, maxObjectSize}[i%5])
		if text, err := json.Marshal(o); err != nil || len(text) > 3<<20 {
			continue // over the API server's request limit
		}
		passed := called(t, admission.Create, o, nil)
		if o["kind"] == "Pod" {
			denied(t, o)
		}
		kind := o["kind"].(string)
		if old := before[kind]; old != nil {
			called(t, admission.Update, o, old)
			updates++
		}
		before[kind] = o
		if passed := called(t, admission.Update, o, o); slices.Contains(passed, config.PathRestoreLabels) {
			t.Errorf("an update without changes: got matches for %v, want none of %s", passed, config.PathRestoreLabels)
		}
		if i%5 == 4 {
			continue // recognition in Go does not depend on the size
		}
		for _, path := range code.acting(t, o) {
			if !slices.Contains(passed, path) {
				t.Fatalf("%s: got CEL matches for %v, want %s, at which Go acts", o["kind"], passed, path)
			}
		}
	}
	if updates < 100 {
		t.Errorf("only %d updates were tried", updates)
	}
}

// shapes enlarges the pod of a workload, each by another field.
var shapes = map[string]func(spec, c map[string]any){
	"many arguments": func(_, c map[string]any) { c["args"] = many(60_000, word(8)) },
	"long arguments": func(_, c map[string]any) { c["args"] = many(10, word(115_000)) },
	"a long script": func(_, c map[string]any) {
		c["command"], c["args"] = []any{"sh", "-c"}, []any{strings.Repeat("echo a.sh; ", 1<<16)}
	},
	"a script within the bounds": func(_, c map[string]any) {
		c["command"], c["args"] = []any{"sh", "-c"}, []any{strings.Repeat("exec x; ", 1_000)}
	},
	"command lines within the bounds": func(_, c map[string]any) { c["args"] = many(1_300, word(90)) },
	"arguments that mention a script of Flink's": func(_, c map[string]any) {
		c["args"] = many(20_000, func(int) any { return "--see=jobmanager.sh" })
	},
	"variables":                   func(_, c map[string]any) { c["env"] = many(20_000, variable) },
	"variables within the bounds": func(_, c map[string]any) { c["env"] = many(1_000, variable) },
	"volumes": func(s, _ map[string]any) {
		s["volumes"] = many(10_000, func(i int) any { return map[string]any{"name": fmt.Sprint("v", i)} })
	},
	"volumes within the bounds": func(s, _ map[string]any) {
		s["volumes"] = many(256, func(i int) any { return map[string]any{"name": fmt.Sprint("v", i)} })
	},
	"containers": func(s, _ map[string]any) { s["containers"] = many(5_000, func(int) any { return main(nil) }) },
	"containers with long arguments": func(s, _ map[string]any) {
		s["containers"] = many(250, func(int) any { return main(map[string]any{"args": many(4, word(2_500))}) })
	},
	"containers with many arguments": func(s, _ map[string]any) {
		s["containers"] = many(250, func(int) any { return main(map[string]any{"args": many(200, word(0))}) })
	},
	"containers within the bounds": func(s, _ map[string]any) {
		s["containers"] = many(32, func(int) any { return main(map[string]any{"args": many(30, word(90)), "env": many(31, variable)}) })
	},
	"a long image": func(_, c map[string]any) { c["image"] = strings.Repeat("a/", 500_000) + "web" },
	"sidecars that mention Flink": func(s, _ map[string]any) {
		s["initContainers"] = many(32, func(int) any {
			return main(map[string]any{"command": []any{"sh", "-c"}, "args": []any{strings.Repeat("exec x.sh jobmanager.sh flink; ", 250)}, "restartPolicy": "Always"})
		})
	},
	"a sidecar that mentions Flink, within the bounds": func(s, _ map[string]any) {
		s["initContainers"] = many(1, func(int) any {
			return main(map[string]any{"command": []any{"sh", "-c"}, "args": []any{strings.Repeat("exec x.sh jobmanager.sh flink; ", 250)}, "restartPolicy": "Always"})
		})
	},
}

// TestLargeUpdates: an update whose old and new object are both large stays within the cost
// limit of every condition. An update to nginx is never denied; one that turns the workload
// into Flink is sent, and denied without a target.
func TestLargeUpdates(t *testing.T) {
	code := newCode(t)
	without := code[1]
	for name, add := range shapes {
		t.Run(name, func(t *testing.T) {
			large := func(image string, flink ...any) []map[string]any {
				c := main(map[string]any{"image": image})
				spec := map[string]any{"containers": []any{c}}
				add(spec, c)
				spec["containers"] = append(spec["containers"].([]any), flink...)
				return carriers(map[string]any{"labels": map[string]any{"app": "web"}}, spec)
			}
			update := func(before, now map[string]any) []string { return called(t, admission.Update, now, before) }
			old, plain := large("nginx:1"), large("nginx:2")
			flink := large("nginx:2", map[string]any{"name": "flink-main-container", "image": "flink:2.2", "args": []any{"kubernetes-jobmanager.sh", "kubernetes-application"}})
			for i, o := range old {
				for _, path := range update(o, plain[i]) {
					if allowed, reason := review(t, without[path], "UPDATE", plain[i], o); !allowed {
						t.Errorf("%s denies a %s of nginx: %s", path, o["kind"], reason)
					}
				}
				if o["kind"] != "Pod" && o["kind"] != "Deployment" {
					continue // no webhook sees its updates
				}
				denied := slices.ContainsFunc(update(o, flink[i]), func(path string) bool {
					allowed, _ := review(t, without[path], "UPDATE", flink[i], o)
					return !allowed
				})
				if !denied {
					t.Errorf("a %s becomes Flink, and is not denied", o["kind"])
				}
			}
		})
	}
}
