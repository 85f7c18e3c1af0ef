package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"text/tabwriter"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"drey.dev/drey/manifests/rollout"
	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
	webhookconfig "drey.dev/drey/webhook/config"
)

// clusterMain measures drey with the registry in the cluster: its start, its memory and
// what admission costs, with few targets and with many.
func clusterMain(ctx context.Context, args []string) (err error) {
	var s settings
	var many int
	flags := flag.NewFlagSet("bench cluster", flag.ExitOnError)
	flags.IntVar(&s.rounds, "rounds", 5, "times that everything is measured; medians are printed")
	flags.DurationVar(&s.each, "each", 2*time.Second, "length of a measurement")
	flags.IntVar(&many, "targets", 10_000, "targets in the cluster, beside 10")
	flags.StringVar(&s.program, "drey", filepath.Join("bin", "drey"), "path of the drey binary")
	if err := flags.Parse(args); err != nil {
		return err
	}
	fmt.Println("Starting a control plane.")
	c, err := cluster.New(ctx, cluster.Options{Progress: os.Stdout})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	config := rest.CopyConfig(c.Config())
	config.QPS, config.Burst = -1, -1
	if err := rollout.InstallCRDs(ctx, config); err != nil {
		return err
	}
	noop, err := startNoop(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, noop.stop()) }()

	table := tabwriter.NewWriter(os.Stdout, 0, 4, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "targets\tup after\tRSS\tanon\twebhook\tcalls/s\tp50\tp99\t")
	made := 0
	for _, n := range []int{10, many} {
		fmt.Fprintf(os.Stderr, "  making %d targets\n", n-made)
		if err := makeTargets(ctx, config, made, n); err != nil {
			return err
		}
		made = n
		if err := underTargets(ctx, s, c, noop, n, table); err != nil {
			return err
		}
	}
	fmt.Printf("\nDrey with its registry in the cluster; reviews of 10 KB over TLS at 8 connections, %d rounds of %s in turn:\n\n", s.rounds, s.each)
	return table.Flush()
}

// underTargets starts a drey where there are n targets, and measures.
func underTargets(ctx context.Context, s settings, c *cluster.Cluster, noop *noopServer, n int, to *tabwriter.Writer) (err error) {
	began := time.Now()
	d, err := drey.Start(ctx, drey.Options{Program: s.program, Cluster: c, DataDir: c.Dir() + "/data", Args: []string{"--store", "kubernetes"}})
	if err != nil {
		return err
	}
	up := time.Since(began)
	defer func() { err = errors.Join(err, d.Stop()) }()
	time.Sleep(time.Second) // what was read is cleared away
	memory, err := memoryOf(d.PID())
	if err != nil {
		return err
	}
	review, err := json.Marshal(map[string]any{
		"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
		"request": map[string]any{"uid": "1", "operation": "CREATE", "namespace": "bench", "kind": map[string]any{"version": "v1", "kind": "Pod"}, "object": flinkPod()},
	})
	if err != nil {
		return err
	}
	servers := []server{{"do-nothing", noop.url, noop.pid(), false}, {"drey", d.Webhook + webhookconfig.PathLabelPods, d.PID(), true}}
	found := make([][]figures, len(servers))
	for range s.rounds {
		for i, server := range servers {
			f, err := measure(ctx, 8, s.each, server.caller(review))
			if err != nil {
				return fmt.Errorf("%s: %w", server.name, err)
			}
			found[i] = append(found[i], f)
		}
	}
	for i, server := range servers {
		fmt.Fprintf(to, "%d\t%s\t%.0f MiB\t%.0f MiB\t%s\t%s\t\n", n, up.Round(10*time.Millisecond), memory["VmRSS"], memory["RssAnon"], server.name, middle(found[i]).columns())
	}
	return nil
}

// makeTargets makes those from one number up to another, in 10 platform namespaces. The
// first is for the namespace bench.
func makeTargets(ctx context.Context, config *rest.Config, from, to int) error {
	const platforms, atOnce = 10, 16
	if from == 0 {
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return err
		}
		names := []string{"drey-system", "bench"}
		for i := range platforms {
			names = append(names, platformNamespace(i))
		}
		for _, name := range names {
			if _, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
				return err
			}
		}
	}
	api, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	resource := api.Resource(schema.GroupVersionResource{Group: "drey.dev", Version: "v1", Resource: "deploymenttargets"})
	numbers, failed := make(chan int), make(chan error, atOnce)
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for i := range numbers {
				namespace := fmt.Sprintf("flink-%d", i)
				if i == 0 {
					namespace = "bench"
				}
				o := &unstructured.Unstructured{Object: map[string]any{
					"apiVersion": "drey.dev/v1", "kind": "DeploymentTarget", "metadata": map[string]any{"name": fmt.Sprintf("target-%d", i)},
					"spec": map[string]any{"kubernetes": map[string]any{"namespace": namespace}},
				}}
				if _, err := resource.Namespace(platformNamespace(i%platforms)).Create(ctx, o, metav1.CreateOptions{}); err != nil {
					select {
					case failed <- err:
					default:
					}
				}
			}
		})
	}
	for i := from; i < to; i++ {
		numbers <- i
	}
	close(numbers)
	workers.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}
