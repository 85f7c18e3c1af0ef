package main

import (
	"context"
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

// clusterMain measures the start, the memory and the admission latency of drey with its
// registry in the cluster, with few and with many targets.
func clusterMain(ctx context.Context, args []string) (err error) {
	var s settings
	var many int
	flags := flag.NewFlagSet("bench cluster", flag.ExitOnError)
	flags.IntVar(&s.rounds, "rounds", 5, "number of rounds, of which the medians are printed")
	flags.DurationVar(&s.each, "each", 2*time.Second, "duration of a measurement")
	flags.IntVar(&many, "targets", 10_000, "number of targets in the second measurement; the first has 10")
	flags.StringVar(&s.program, "drey", filepath.Join("bin", "drey"), "path of the drey binary")
	if err := flags.Parse(args); err != nil {
		return err
	}
	fmt.Println("Starting a control plane")
	c, err := cluster.New(ctx, cluster.Options{Progress: os.Stdout})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	config := unthrottled(c)
	if err := rollout.InstallCRDs(ctx, config); err != nil {
		return err
	}
	noop, err := startNoop(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, noop.stop()) }()

	table := tabwriter.NewWriter(os.Stdout, 0, 4, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "targets\tstart\tRSS\tanonymous\twebhook\tcalls/s\tp50\tp99\t")
	created := 0
	for _, n := range []int{10, many} {
		fmt.Fprintf(os.Stderr, "  creating %d targets\n", n-created)
		if err := createTargets(ctx, config, created, n); err != nil {
			return err
		}
		created = n
		if err := underTargets(ctx, s, c, noop, n, table); err != nil {
			return err
		}
	}
	fmt.Printf("\nRegistry in the cluster; reviews of 10 KB over TLS at 8 connections, medians of %d alternating rounds of %s:\n\n", s.rounds, s.each)
	return table.Flush()
}

// unthrottled returns the cluster's client configuration without client-side rate limits.
func unthrottled(c *cluster.Cluster) *rest.Config {
	config := rest.CopyConfig(c.Config())
	config.QPS, config.Burst = -1, -1
	return config
}

// underTargets starts drey in a cluster with n targets, and measures it.
func underTargets(ctx context.Context, s settings, c *cluster.Cluster, noop *noopServer, n int, to *tabwriter.Writer) (err error) {
	began := time.Now()
	d, err := drey.Start(ctx, drey.Options{Program: s.program, Cluster: c, DataDir: c.Dir() + "/data", Args: []string{"--store", "kubernetes"}})
	if err != nil {
		return err
	}
	up := time.Since(began)
	defer func() { err = errors.Join(err, d.Stop()) }()
	time.Sleep(time.Second) // until the garbage of the initial list is collected
	memory, err := processMemory(d.PID())
	if err != nil {
		return err
	}
	review, err := podReview()
	if err != nil {
		return err
	}
	url, err := drey.WebhookURL(ctx, c, webhookconfig.NameLabelPods)
	if err != nil {
		return err
	}
	servers := []server{{name: "no-op", url: noop.url, pid: noop.pid()}, {name: "drey", url: url, pid: d.PID(), labels: true}}
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

// createTargets creates the targets number from to to-1, in 10 platform namespaces. Target 0
// is for the namespace bench.
func createTargets(ctx context.Context, config *rest.Config, from, to int) error {
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
