package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"text/tabwriter"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
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

// largeObjects prints the API server's CPU time for large objects that are not Flink's,
// without and with drey's webhooks and policies.
func largeObjects(ctx context.Context, c *cluster.Cluster, stage *stage, installed []*unstructured.Unstructured) error {
	var rows [][2]string
	var objects []*unstructured.Unstructured
	for _, s := range shapes {
		for _, n := range s.sizes {
			rows = append(rows, [2]string{s.field, strconv.Itoa(n)})
			objects = append(objects, s.pod(n), s.deployment(n))
		}
	}
	spent := make([][2]time.Duration, len(objects))
	for with := range 2 {
		scene := scene{pod: plainPod()}
		if with == 1 {
			scene.objects = installed
		}
		err := stage.with(ctx, scene, func() error {
			for i, o := range objects {
				d, err := cpuOf(ctx, c, stage.api, o)
				if err != nil {
					return fmt.Errorf("create a %s: %w", o.GetKind(), err)
				}
				spent[i][with] = d
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	fmt.Printf("\nCPU time of the API server per object that is not Flink's (dry run), in ms:\n\n")
	table := tabwriter.NewWriter(os.Stdout, 0, 4, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "count\tfield\tPod\twith drey\tDeployment\twith drey\t")
	for i, row := range rows {
		pod, deployment := spent[2*i], spent[2*i+1]
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t\n", row[1], row[0], ms(pod[0]), ms(pod[1]), ms(deployment[0]), ms(deployment[1]))
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

// cpuOf returns the API server's mean CPU time per create.
func cpuOf(ctx context.Context, c *cluster.Cluster, api dynamic.Interface, o *unstructured.Unstructured) (time.Duration, error) {
	resource := pods
	if o.GetKind() == "Deployment" {
		resource = deployments
	}
	before, err := cpuTime(c.PID(cluster.APIServer))
	if err != nil {
		return 0, err
	}
	creates := 0
	for began := time.Now(); creates == 0 || time.Since(began) < time.Second; creates++ {
		if _, err := api.Resource(resource).Namespace("bench").Create(ctx, o.DeepCopy(), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
			return 0, err
		}
	}
	after, err := cpuTime(c.PID(cluster.APIServer))
	return (after - before) / time.Duration(creates), err
}

// cpuTime returns the CPU time of a process, in steps of 10 ms.
func cpuTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read CPU time: %w; run the benchmark on Linux, which has /proc", err)
	}
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	var ticks time.Duration
	for _, field := range fields[11:13] { // utime and stime
		n, err := strconv.Atoi(string(field))
		if err != nil {
			return 0, err
		}
		ticks += time.Duration(n)
	}
	return ticks * 10 * time.Millisecond, nil
}

// largeMain measures large objects only.
func largeMain(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("large", flag.ContinueOnError)
	program := flags.String("drey", filepath.Join("bin", "drey"), "path of the drey binary")
	if err := flags.Parse(args); err != nil {
		return err
	}
	c, err := cluster.New(ctx, cluster.Options{Progress: os.Stdout})
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
	stage := &stage{api: api, noop: noop}
	if err := stage.createNamespace(ctx); err != nil {
		return err
	}
	installed, err := stage.takeDown(ctx)
	if err != nil {
		return err
	}
	return largeObjects(ctx, c, stage, installed)
}
