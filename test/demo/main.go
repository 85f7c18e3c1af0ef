// Command demo demonstrates drey on a real control plane: it registers a DeploymentTarget
// over REST, applies Flink workloads of several kinds, and prints drey's verdicts and
// labels. It checks each result, and exits with 1 if one is unexpected.
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
	"drey.dev/drey/test/framework/transcript"
)

func main() {
	stay := flag.Bool("stay", false, "run the control plane and drey until Ctrl-C, after the demonstration")
	program := flag.String("drey", filepath.Join("bin", "drey"), "path of the drey binary")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C exits at once; the cluster's reaper cleans up
	if err := run(ctx, *program, *stay); err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, program string, stay bool) (err error) {
	began, out := time.Now(), &transcript.Transcript{Out: os.Stdout}
	out.Heading("Start a control plane (etcd, kube-apiserver, kube-controller-manager) and drey on loopback")
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
	out.Detail("started in %s", time.Since(began).Round(100*time.Millisecond))

	if err := (&demo{out, c, d}).run(ctx); err != nil {
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		return err
	}
	if stay {
		printCommands(c, d)
		return wait(ctx, d)
	}
	out.Heading("All results as expected after %s; stopping. make run keeps drey running, with its console", time.Since(began).Round(100*time.Millisecond))
	return nil
}

// printCommands prints commands to try.
func printCommands(c *cluster.Cluster, d *drey.Drey) {
	fmt.Printf(`
The console, with what runs and what was denied: %[4]s/

In another terminal, in this directory:

  export KUBECONFIG=%[1]s KUBECACHEDIR=%[2]s
  alias kubectl=%[3]s

Register another namespace, and run Flink in it:

  kubectl create namespace development
  curl -X POST %[4]s/api/v1/namespaces/default/deployment-targets -H 'Content-Type: application/json' -d '{"metadata":{"name":"development"},"spec":{"kubernetes":{"namespace":"development"}}}'
  kubectl apply -n development -f test/demo/manifests/jobmanager.yaml && sleep 2 && kubectl get pods -n development --show-labels

The same manifest with -n default, which has no target, is denied.
Metrics: %[5]s/metrics
Ctrl-C stops and removes everything.
`, c.Kubeconfig(), filepath.Join(c.Dir(), "kubectl-cache"), c.Kubectl(), d.REST, d.Metrics)
}

// wait waits for Ctrl-C. It returns an error if drey ends before.
func wait(ctx context.Context, d *drey.Drey) error {
	select {
	case <-ctx.Done():
		return nil
	case <-d.Ended():
		return fmt.Errorf("drey has ended, so the demonstration stops; end of its log:\n%s", d.LogTail(10))
	}
}
