package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"text/tabwriter"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
)

var deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}

// deploymentsMain prints the memory of a new drey without Deployments, with many that are not
// Flink's, and with Flink's in addition.
func deploymentsMain(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("bench deployments", flag.ExitOnError)
	program := flags.String("drey", filepath.Join("bin", "drey"), "path of the drey binary")
	most := flags.Int("others", 10_000, "number of Deployments that are not Flink's")
	if err := flags.Parse(args); err != nil {
		return err
	}
	c, err := cluster.New(ctx, cluster.Options{NoMemoryLimit: true, Progress: os.Stdout})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	api, err := dynamic.NewForConfig(unthrottled(c))
	if err != nil {
		return err
	}
	stage := &stage{cluster: c, api: api}
	if err := stage.createNamespace(ctx); err != nil {
		return err
	}
	fmt.Printf("\nMemory of drey after its start, by number of Deployments (without pods):\n\n")
	table := tabwriter.NewWriter(os.Stdout, 0, 4, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "other\tFlink\tRSS MiB\tanonymous MiB\tstart\t")
	for _, add := range []struct{ others, flinks int }{{0, 0}, {*most, 0}, {0, *most / 10}} {
		if err := populate(ctx, api, "other", add.others, plainDeployment); err != nil {
			return err
		}
		if err := populate(ctx, api, "flink", add.flinks, flinkDeployment); err != nil {
			return err
		}
		began := time.Now()
		d, err := drey.Start(ctx, drey.Options{Program: *program, Cluster: c, DataDir: c.Dir() + "/memory"})
		if err != nil {
			return err
		}
		up := time.Since(began)
		time.Sleep(time.Second) // until the garbage of the initial lists is collected
		memory, err := processMemory(d.PID())
		if err := errors.Join(err, d.Stop()); err != nil {
			return err
		}
		if _, err := stage.takeDown(ctx); err != nil { // they would deny the next Deployments
			return err
		}
		others, flinks := add.others, add.flinks
		if flinks > 0 {
			others = *most
		}
		fmt.Fprintf(table, "%d\t%d\t%.0f\t%.1f\t%s\t\n", others, flinks, memory["VmRSS"], memory["RssAnon"], up.Round(time.Millisecond))
	}
	return table.Flush()
}

// populate creates n Deployments.
func populate(ctx context.Context, api dynamic.Interface, prefix string, n int, object func(name string) *unstructured.Unstructured) error {
	const atOnce = 16
	names := make(chan string)
	var wait sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for range atOnce {
		wait.Go(func() {
			for name := range names {
				if _, err := api.Resource(deployments).Namespace("bench").Create(ctx, object(name), metav1.CreateOptions{}); err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
				}
			}
		})
	}
	for i := range n {
		names <- fmt.Sprintf("%s-%d", prefix, i)
		if (i+1)%2000 == 0 {
			fmt.Fprintf(os.Stderr, "  %d of %d Deployments created\n", i+1, n)
		}
	}
	close(names)
	wait.Wait()
	return failed
}

// flinkDeployment returns a JobManager's Deployment of native mode, without pods and with
// drey's labels, which no webhook adds here.
func flinkDeployment(name string) *unstructured.Unstructured {
	labels := map[string]any{"app": name, "component": "jobmanager", "type": "flink-native-kubernetes"}
	labeled := map[string]any{"system": "ververica-platform", "vvpNamespace": "default", "deploymentName": name}
	maps.Copy(labeled, labels)
	pod := flinkPod()
	pod["metadata"] = map[string]any{"labels": labels}
	return deployment(name, labeled, labels, pod)
}

func plainDeployment(name string) *unstructured.Unstructured {
	labels := map[string]any{"app": name}
	pod := plainPod()
	pod["metadata"] = map[string]any{"labels": labels}
	return deployment(name, labels, labels, pod)
}

// deployment wraps a pod in a Deployment without replicas.
func deployment(name string, labels, selector map[string]any, pod map[string]any) *unstructured.Unstructured {
	delete(pod, "kind")
	delete(pod, "apiVersion")
	return object("apps/v1", "Deployment", map[string]any{
		"metadata": map[string]any{"name": name, "labels": labels},
		"spec":     map[string]any{"replicas": int64(0), "selector": map[string]any{"matchLabels": selector}, "template": pod},
	})
}
