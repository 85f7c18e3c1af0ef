package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/webhook/config"
)

// shape enlarges one field of a pod.
type shape struct {
	field string
	sizes []int
	add   func(metadata, spec, container map[string]any, n int)
}

var shapes = []shape{
	{"args", []int{0, 100, 1_000, 20_000, 40_000}, func(_, _, c map[string]any, n int) {
		c["args"] = times(n, func(int) any { return "--a=b" })
	}},
	{"args of 115,000 bytes", []int{1, 11}, func(_, _, c map[string]any, n int) {
		c["args"] = times(n, func(int) any { return string(bytes.Repeat([]byte("a"), 115_000)) })
	}},
	{"containers", []int{10, 100, 1_000}, func(_, spec, c map[string]any, n int) {
		spec["containers"] = times(n, func(i int) any {
			return map[string]any{"name": fmt.Sprint("c", i), "image": c["image"], "args": []any{"a", "b"}}
		})
	}},
	{"env", []int{100, 1_000, 20_000}, func(_, _, c map[string]any, n int) {
		c["env"] = times(n, func(i int) any { return map[string]any{"name": fmt.Sprint("A", i), "value": "b"} })
	}},
	{"volumes", []int{100, 1_000, 10_000}, func(_, spec, _ map[string]any, n int) {
		spec["volumes"] = times(n, func(i int) any { return map[string]any{"name": fmt.Sprint("v", i), "emptyDir": map[string]any{}} })
	}},
	{"ownerReferences", []int{10, 1_000, 5_000}, func(metadata, _, _ map[string]any, n int) {
		metadata["ownerReferences"] = times(n, func(i int) any {
			return map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "name": fmt.Sprint("o", i), "uid": fmt.Sprint("u", i)}
		})
	}},
	{"labels", []int{10, 1_000, 20_000}, func(metadata, _, _ map[string]any, n int) {
		labels := map[string]any{}
		for i := range n {
			labels[fmt.Sprint("l", i)] = "v"
		}
		metadata["labels"] = labels
	}},
}

// times returns a list of n elements.
func times(n int, at func(i int) any) []any {
	all := make([]any, n)
	for i := range all {
		all[i] = at(i)
	}
	return all
}

// largeScenes are the columns of the table. Scenes with other conditions show what the API
// server spends on any webhook: on the conversion of the object for the conditions, and on
// the calls for objects that drey's conditions send to it.
var largeScenes = []struct {
	name       string
	conditions func(webhook string) string // in place of drey's; nil: drey's
}{
	{"none", nil},
	{"false", func(string) string { return "false" }},
	{"drey", nil},
	{"called", func(webhook string) string {
		called := []string{config.NameLabelPods, config.NameLabelTypedPods, config.NameLabelWorkloads, config.NameValidateWorkloads}
		return strconv.FormatBool(slices.Contains(called, webhook))
	}},
}

// withConditions returns copies of webhook configurations and policies with one condition in
// place of all.
func withConditions(objects []*unstructured.Unstructured, condition func(webhook string) string) []*unstructured.Unstructured {
	var all []*unstructured.Unstructured
	for _, o := range objects {
		o = o.DeepCopy()
		all = append(all, o)
		one := func(name string) []any {
			return []any{map[string]any{"name": "condition", "expression": condition(name)}}
		}
		if spec, ok := o.Object["spec"].(map[string]any); ok && o.GetKind() == "ValidatingAdmissionPolicy" {
			spec["matchConditions"] = one("")
		}
		webhooks, _, _ := unstructured.NestedSlice(o.Object, "webhooks") // absent in policies
		for _, w := range webhooks {
			w := w.(map[string]any)
			w["matchConditions"] = one(w["name"].(string))
		}
		if len(webhooks) > 0 {
			o.Object["webhooks"] = webhooks
		}
	}
	return all
}

// propagationDelay is more than the API server takes to use a configuration.
const propagationDelay = 3 * time.Second

// largeObjects prints the API server's CPU time for large objects that are not Flink's, in
// each of largeScenes.
func largeObjects(ctx context.Context, c *cluster.Cluster, stage *stage, installed []*unstructured.Unstructured) error {
	var rows [][2]string
	var objects []*unstructured.Unstructured
	for _, s := range shapes {
		for _, n := range s.sizes {
			rows = append(rows, [2]string{s.field, strconv.Itoa(n)})
			objects = append(objects, s.pod(n), s.deployment(n))
		}
	}
	spent := make([][]time.Duration, len(objects)) // by scene
	for _, s := range largeScenes {
		scene := scene{probe: plainPod()}
		switch {
		case s.conditions != nil:
			scene.objects = withConditions(installed, s.conditions)
		case s.name == "drey":
			scene.objects = installed
		}
		err := stage.with(ctx, scene, func() error {
			time.Sleep(propagationDelay)
			for i, o := range objects {
				d, err := cpuOf(ctx, c, stage.api, o)
				if err != nil {
					return fmt.Errorf("create a %s: %w", o.GetKind(), err)
				}
				spent[i] = append(spent[i], d)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	fmt.Print(`
CPU time of the API server per object that is not Flink's (dry run), in ms. Columns: without
webhooks and policies; with drey's, whose conditions are "false"; with drey's conditions; with
drey's, of which those for all Pods and Deployments have the condition "true":

`)
	table := tabwriter.NewWriter(os.Stdout, 0, 4, 3, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "count\tfield\t")
	for _, kind := range []string{"Pod", "Deployment"} {
		for _, s := range largeScenes {
			fmt.Fprintf(table, "%s %s\t", kind, s.name)
		}
	}
	fmt.Fprintln(table)
	for i, row := range rows {
		fmt.Fprintf(table, "%s\t%s\t", row[1], row[0])
		for _, d := range slices.Concat(spent[2*i], spent[2*i+1]) {
			fmt.Fprintf(table, "%s\t", ms(d))
		}
		fmt.Fprintln(table)
	}
	return table.Flush()
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d.Microseconds())/1000) }

func (s shape) pod(n int) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: plainPod()}
	s.add(o.Object["metadata"].(map[string]any), o.Object["spec"].(map[string]any), containerOf(o.Object), n)
	return o
}

func (s shape) deployment(n int) *unstructured.Unstructured {
	o := plainDeployment("large")
	template := o.Object["spec"].(map[string]any)["template"].(map[string]any)
	labels := template["metadata"].(map[string]any)["labels"]
	s.add(o.Object["metadata"].(map[string]any), template["spec"].(map[string]any), containerOf(template), n)
	template["metadata"].(map[string]any)["labels"] = labels
	return o
}

func containerOf(pod map[string]any) map[string]any {
	return pod["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)
}

// cpuSamples is the number of samples per object, of which the least counts: the API server
// also works in the background.
const cpuSamples = 5

// cpuOf returns the API server's CPU time per create.
func cpuOf(ctx context.Context, c *cluster.Cluster, api dynamic.Interface, o *unstructured.Unstructured) (time.Duration, error) {
	resource := pods
	if o.GetKind() == "Deployment" {
		resource = deployments
	}
	var least time.Duration
	for sample := range cpuSamples {
		before, err := cpuTime(c.PID(cluster.APIServer))
		if err != nil {
			return 0, err
		}
		creates := 0
		for began := time.Now(); creates < 3 || time.Since(began) < 200*time.Millisecond; creates++ {
			if _, err := api.Resource(resource).Namespace("bench").Create(ctx, o.DeepCopy(), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
				return 0, err
			}
		}
		after, err := cpuTime(c.PID(cluster.APIServer))
		if err != nil {
			return 0, err
		}
		if spent := (after - before) / time.Duration(creates); sample == 0 || spent < least {
			least = spent
		}
	}
	return least, nil
}

// cpuTime returns the CPU time of a process's threads.
func cpuTime(pid int) (time.Duration, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err == nil && len(threads) == 0 {
		err = errors.New("no thread")
	}
	if err != nil {
		return 0, fmt.Errorf("read CPU time: %w; run the benchmark on Linux, which has /proc", err)
	}
	var sum time.Duration
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		if err != nil {
			continue // the thread has ended
		}
		spent, _, _ := bytes.Cut(text, []byte(" "))
		n, err := strconv.ParseInt(string(spent), 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n)
	}
	return sum, nil
}

// largeMain measures large objects only.
func largeMain(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("large", flag.ContinueOnError)
	program := flags.String("drey", filepath.Join("bin", "drey"), "path of the drey binary")
	if err := flags.Parse(args); err != nil {
		return err
	}
	c, err := cluster.New(ctx, cluster.Options{NoMemoryLimit: true, Progress: os.Stdout})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	d, err := drey.Start(ctx, drey.Options{Program: *program, Cluster: c, DataDir: c.Dir()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Stop()) }()
	if err := d.Register(ctx, "default", "bench", "bench"); err != nil {
		return err
	}
	noop, err := startNoop(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, noop.stop()) }()
	api, err := dynamic.NewForConfig(unthrottled(c))
	if err != nil {
		return err
	}
	stage := &stage{cluster: c, api: api, noop: noop}
	if err := stage.createNamespace(ctx); err != nil {
		return err
	}
	installed, err := stage.takeDown(ctx)
	if err != nil {
		return err
	}
	return largeObjects(ctx, c, stage, installed)
}
