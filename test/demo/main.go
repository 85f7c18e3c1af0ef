// Command demo shows drey's main job on a real control plane: it registers a
// DeploymentTarget over REST, applies Flink workloads of several kinds, and
// prints what drey made of them. Every expectation is checked; it exits with an
// error if one does not hold.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
)

func main() {
	stay := flag.Bool("stay", false, "keep control plane and drey running until Ctrl-C, in place of the show")
	program := flag.String("drey", filepath.Join("bin", "drey"), "path of the drey binary")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once; the cluster's reaper cleans up
	if err := run(ctx, *program, *stay); err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, program string, stay bool) (err error) {
	began := time.Now()
	say("Starting a control plane (etcd, kube-apiserver, kube-controller-manager) and drey on loopback.")
	options := cluster.Options{Progress: os.Stdout}
	if stay {
		options.Kubeconfig = filepath.Join(".drey", "kubeconfig")
	}
	c, err := cluster.New(ctx, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	d, err := drey.Start(ctx, drey.Options{Program: program, Cluster: c, DataDir: c.Dir()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Stop()) }()
	note("Both are up after %s.", time.Since(began).Round(100*time.Millisecond))

	if stay {
		return wait(ctx, c, d)
	}
	if err := newShow(c, d).play(ctx); err != nil {
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		return err
	}
	say("All of it is as expected, after %s. Stopping and cleaning up.", time.Since(began).Round(100*time.Millisecond))
	return nil
}

// wait prints what one can do, and leaves the rest to the person.
func wait(ctx context.Context, c *cluster.Cluster, d *drey.Drey) error {
	fmt.Printf(`
In another terminal, from this directory:

  export KUBECONFIG=%s KUBECACHEDIR=%s
  alias kubectl=%s

Three things to try:

  kubectl create namespace staging
  curl -X POST %s/api/v1/namespaces/default/deployment-targets -H 'Content-Type: application/json' -d '{"metadata":{"name":"myDeploymentTarget"},"spec":{"kubernetes":{"namespace":"staging"}}}'
  kubectl apply -n staging -f test/demo/manifests/jobmanager.yaml && sleep 2 && kubectl get pods -n staging --show-labels

and the same manifest with -n default, which has no target. Metrics are at %s/metrics.
Ctrl-C stops everything and removes it.
`, c.Kubeconfig(), filepath.Join(c.Dir(), "kubectl-cache"), c.Kubectl(), d.REST, d.Metrics)
	<-ctx.Done()
	return nil
}

// say prints a headline, note a line below it.
func say(format string, args ...any)  { fmt.Printf("\n== "+format+"\n", args...) }
func note(format string, args ...any) { fmt.Printf("   "+format+"\n", args...) }
