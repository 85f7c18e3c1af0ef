package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"drey.dev/drey/test/framework/cluster"
)

// registeredMain compares records of registration that a policy can read: a label of the
// namespace, and a parameter object in each namespace, of a custom resource and as a
// ConfigMap.
func registeredMain(ctx context.Context, args []string) (err error) {
	var s settings
	var many int
	flags := flag.NewFlagSet("bench registered", flag.ExitOnError)
	flags.IntVar(&s.rounds, "rounds", 3, "number of rounds, of which the medians are printed")
	flags.DurationVar(&s.each, "each", 2*time.Second, "duration of a measurement")
	flags.IntVar(&s.clients, "clients", 2, "number of concurrent clients that create pods")
	flags.IntVar(&many, "namespaces", 10_000, "number of namespaces in the second measurement; the first has 10")
	if err := flags.Parse(args); err != nil {
		return err
	}
	fmt.Println("Starting a control plane")
	c, err := cluster.New(ctx, cluster.Options{
		Progress: os.Stdout, APIServerArgs: []string{"--profiling=true"}, ControllerManagerArgs: []string{"--controllers=serviceaccount-controller"},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	api, err := dynamic.NewForConfig(unthrottled(c))
	if err != nil {
		return err
	}
	if err := cluster.InstallCRD(ctx, api, registrationCRD()); err != nil {
		return err
	}
	r := &registrations{api: api, c: c, settings: s}
	table := tabwriter.NewWriter(os.Stdout, 0, 4, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "namespaces\trecord\tregistrations/s\theap\tadmits after, p50\tmax\tpods/s\tp50\tp99\tCPU per pod\t")
	for _, n := range []int{10, many} {
		fmt.Fprintf(os.Stderr, "  creating %d namespaces\n", n-r.namespaces)
		if err := inParallel(ctx, r.namespaces, n, r.createNamespace); err != nil {
			return err
		}
		r.namespaces = n
		for _, w := range records {
			fmt.Fprintf(os.Stderr, "  %d namespaces, %s\n", n, w.name)
			if err := r.measure(ctx, w, table); err != nil {
				return fmt.Errorf("%d namespaces, %s: %w", n, w.name, err)
			}
		}
	}
	fmt.Printf("\nPod creates (dry run) through the API server with one policy, %d clients, medians of %d rounds of %s:\n\n", s.clients, s.rounds, s.each)
	return table.Flush()
}

// record is a record of registration.
type record struct {
	name     string
	resource schema.GroupVersionResource
	kind     string // of the parameter; empty: the label of the namespace
}

var namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}

var records = []record{
	{"label of the namespace", namespaces, ""},
	{"custom resource in it", schema.GroupVersionResource{Group: "bench.drey.dev", Version: "v1", Resource: "registrations"}, "Registration"},
	{"ConfigMap in it", schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}, "ConfigMap"},
}

func registrationCRD() map[string]any {
	return map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": "registrations.bench.drey.dev"},
		"spec": map[string]any{
			"group": "bench.drey.dev", "scope": "Namespaced", "names": map[string]any{"kind": "Registration", "listKind": "RegistrationList", "plural": "registrations", "singular": "registration"},
			"versions": []any{map[string]any{
				"name": "v1", "served": true, "storage": true,
				"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "properties": map[string]any{
					"data": map[string]any{"type": "object", "additionalProperties": map[string]any{"type": "string"}},
				}}},
			}},
		},
	}
}

// registrations measures records on a control plane.
type registrations struct {
	api        dynamic.Interface
	c          *cluster.Cluster
	settings   settings
	namespaces int
}

func namespaceName(i int) string { return "bench-" + strconv.Itoa(i) }

func (r *registrations) createNamespace(ctx context.Context, i int) error {
	_, err := r.api.Resource(namespaces).Create(ctx, object("v1", "Namespace", map[string]any{"metadata": map[string]any{"name": namespaceName(i)}}), metav1.CreateOptions{})
	return err
}

// register records that a namespace is registered.
func (r *registrations) register(ctx context.Context, w record, i int) error {
	if w.kind == "" {
		return r.patchLabel(ctx, i, `"true"`)
	}
	o := object(w.resource.GroupVersion().String(), w.kind, map[string]any{"metadata": map[string]any{"name": "drey-registered"}, "data": map[string]any{"registered": "true"}})
	_, err := r.api.Resource(w.resource).Namespace(namespaceName(i)).Create(ctx, o, metav1.CreateOptions{})
	return err
}

func (r *registrations) unregister(ctx context.Context, w record, i int) error {
	if w.kind == "" {
		return r.patchLabel(ctx, i, "null")
	}
	return r.api.Resource(w.resource).Namespace(namespaceName(i)).Delete(ctx, "drey-registered", metav1.DeleteOptions{})
}

func (r *registrations) patchLabel(ctx context.Context, i int, value string) error {
	_, err := r.api.Resource(namespaces).Patch(ctx, namespaceName(i), types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"labels":{"drey.dev/registered":%s}}}`, value), metav1.PatchOptions{})
	return err
}

// policy returns a policy that admits pods in registered namespaces, and its binding.
func (w record) policy() []*unstructured.Unstructured {
	expression := `namespaceObject.metadata.?labels[?"drey.dev/registered"].orValue("") == "true"`
	spec := map[string]any{"failurePolicy": "Fail", "matchConstraints": map[string]any{"resourceRules": []any{podRule()}}}
	binding := map[string]any{"policyName": "registered", "validationActions": []any{"Deny"}}
	if w.kind != "" {
		expression = `params.data["registered"] == "true"`
		spec["paramKind"] = map[string]any{"apiVersion": w.resource.GroupVersion().String(), "kind": w.kind}
		binding["paramRef"] = map[string]any{"name": "drey-registered", "parameterNotFoundAction": "Deny"}
	}
	spec["validations"] = []any{map[string]any{"expression": expression}}
	return []*unstructured.Unstructured{
		object(group+"/v1", "ValidatingAdmissionPolicy", map[string]any{"metadata": map[string]any{"name": "registered"}, "spec": spec}),
		object(group+"/v1", "ValidatingAdmissionPolicyBinding", map[string]any{"metadata": map[string]any{"name": "registered"}, "spec": binding}),
	}
}

func (r *registrations) createPod(ctx context.Context, i int) error {
	pod := &unstructured.Unstructured{Object: flinkPod()}
	_, err := r.api.Resource(pods).Namespace(namespaceName(i)).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	return err
}

// measure measures a record in all namespaces but the first fresh ones, which it registers one by
// one.
func (r *registrations) measure(ctx context.Context, w record, table *tabwriter.Writer) (err error) {
	const fresh = 5
	before, err := r.heap(ctx)
	if err != nil {
		return err
	}
	stage := &stage{api: r.api}
	for _, o := range w.policy() {
		if _, err := stage.resource(o).Create(ctx, o, metav1.CreateOptions{}); err != nil {
			return err
		}
		defer func() {
			err = errors.Join(err, stage.resource(o).Delete(context.WithoutCancel(ctx), o.GetName(), metav1.DeleteOptions{}))
		}()
	}
	if err := until(ctx, func() bool { return r.createPod(ctx, 0) != nil }); err != nil {
		return fmt.Errorf("the policy is not in effect: %w", err)
	}
	began := time.Now()
	if err := inParallel(ctx, fresh, r.namespaces, func(ctx context.Context, i int) error { return r.register(ctx, w, i) }); err != nil {
		return err
	}
	perSecond := float64(r.namespaces-fresh) / time.Since(began).Seconds()
	last := r.namespaces - 1
	if err := until(ctx, func() bool { return r.createPod(ctx, last) == nil }); err != nil {
		return err
	}
	heap, err := r.heap(ctx)
	if err != nil {
		return err
	}
	var delays []time.Duration
	for i := range fresh {
		if err := r.register(ctx, w, i); err != nil {
			return err
		}
		began := time.Now()
		if err := until(ctx, func() bool { return r.createPod(ctx, i) == nil }); err != nil {
			return err
		}
		delays = append(delays, time.Since(began))
	}
	slices.Sort(delays)
	var rounds []figures
	var cpu []time.Duration
	for range r.settings.rounds {
		start, err := cpuTime(r.c.PID(cluster.APIServer))
		if err != nil {
			return err
		}
		f, err := measure(ctx, r.settings.clients, r.settings.each, func() func() error { return func() error { return r.createPod(ctx, last) } })
		if err != nil {
			return err
		}
		end, err := cpuTime(r.c.PID(cluster.APIServer))
		if err != nil {
			return err
		}
		rounds, cpu = append(rounds, f), append(cpu, time.Duration(float64(end-start)/(f.perSecond*r.settings.each.Seconds())))
	}
	slices.Sort(cpu)
	fmt.Fprintf(table, "%d\t%s\t%.0f\t%+.1f MB\t%s\t%s\t%s\t%s\t\n", r.namespaces, w.name, perSecond, float64(heap-before)/1e6,
		short(delays[len(delays)/2]), short(delays[len(delays)-1]), middle(rounds).columns(), short(cpu[len(cpu)/2]))
	return inParallel(ctx, 0, r.namespaces, func(ctx context.Context, i int) error { return r.unregister(ctx, w, i) })
}

// until polls without a pause until a condition holds, for 30 s.
func until(ctx context.Context, condition func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for !condition() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// inParallel calls do for each number from first to before end, with 16 workers.
func inParallel(ctx context.Context, first, end int, do func(ctx context.Context, i int) error) error {
	const workers = 16
	errs := make(chan error, workers)
	for w := range workers {
		go func() {
			var err error
			for i := first + w; i < end && err == nil && ctx.Err() == nil; i += workers {
				err = do(ctx, i)
			}
			errs <- errors.Join(err, ctx.Err())
		}()
	}
	var all []error
	for range workers {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

// heapAlloc is the line of live objects in a heap profile in text form.
var heapAlloc = regexp.MustCompile(`(?m)^# HeapAlloc = (\d+)$`)

// heap returns the live heap of the API server after a garbage collection, in bytes.
func (r *registrations) heap(ctx context.Context) (int64, error) {
	client, err := kubernetes.NewForConfig(rest.CopyConfig(r.c.Config()))
	if err != nil {
		return 0, err
	}
	var text []byte
	for range 2 { // the second collection frees what finalizers held
		if text, err = client.RESTClient().Get().AbsPath("/debug/pprof/heap").Param("gc", "1").Param("debug", "1").DoRaw(ctx); err != nil {
			return 0, err
		}
	}
	match := heapAlloc.FindSubmatch(text)
	if match == nil {
		return 0, fmt.Errorf("no HeapAlloc in the heap profile: %s", bytes.TrimSpace(text[max(0, len(text)-200):]))
	}
	return strconv.ParseInt(string(match[1]), 10, 64)
}
