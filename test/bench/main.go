// Command bench measures drey beside what it has to stand comparison with: a
// webhook that does nothing, and the policies that are built into Kubernetes.
// All of it runs in one go on one machine, in turn, several times over: what
// counts is the ratios, and of the figures the medians.
//
// bench registry does the same for the registry, and bench cluster for a registry in the
// cluster: see registryMain and clusterMain. bench large prints the table of large objects
// alone.
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

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/webhook/config"
)

// settings are what a run may be told.
type settings struct {
	rounds  int
	each    time.Duration // of a measurement
	clients int           // that create pods at once
	program string
	before  string // path of an earlier drey's binary, measured beside; empty: none is
	others  int    // Deployments that are not Flink's
}

// others are the benchmarks beside the main one.
var others = map[string]func(context.Context, []string) error{"registry": registryMain, "cluster": clusterMain, "large": largeMain}

func main() {
	if len(os.Args) == 3 {
		if serve, ok := references[os.Args[1]]; ok {
			fmt.Fprintln(os.Stderr, serve(os.Args[2]))
			os.Exit(1)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if len(os.Args) > 1 {
		if measure, ok := others[os.Args[1]]; ok {
			if err := measure(ctx, os.Args[2:]); err != nil {
				fmt.Fprintf(os.Stderr, "bench %s: %v\n", os.Args[1], err)
				os.Exit(1)
			}
			return
		}
	}
	var s settings
	flag.IntVar(&s.rounds, "rounds", 5, "times that everything is measured; medians are printed")
	flag.DurationVar(&s.each, "each", 2*time.Second, "length of a measurement")
	flag.IntVar(&s.clients, "clients", 4, "clients that create pods at once")
	flag.StringVar(&s.program, "drey", filepath.Join("bin", "drey"), "path of the drey binary")
	flag.StringVar(&s.before, "before", "", "path of an earlier drey's binary, which is measured beside")
	flag.IntVar(&s.others, "others", 10_000, "Deployments that are not Flink's, among which memory is measured")
	flag.Parse()
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) (err error) {
	fmt.Println("Starting a control plane, drey, and a webhook that does nothing.")
	c, err := cluster.New(ctx, cluster.Options{Progress: os.Stdout})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	api, err := dynamic.NewForConfig(c.Config())
	if err != nil {
		return err
	}
	stage := &stage{api: api}
	var dreys []server
	for _, p := range []struct{ name, program string }{{"drey before", s.before}, {"drey", s.program}} {
		if p.program == "" {
			continue
		}
		d, err := drey.Start(ctx, drey.Options{Program: p.program, Cluster: c, DataDir: filepath.Join(c.Dir(), p.name)})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, d.Stop()) }()
		if err := d.Register(ctx, "default", "bench", "bench"); err != nil {
			return err
		}
		installed, err := stage.takeDown(ctx)
		if err != nil {
			return err
		}
		stage.dreys = append(stage.dreys, scene{name: p.name, objects: installed, labels: true})
		dreys = append(dreys, server{p.name, d.Webhook + config.PathLabelPods, d.PID(), true})
	}
	pid := dreys[len(dreys)-1].pid
	noop, err := startNoop(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, noop.stop()) }()

	stage.noop = noop
	if err := stage.makeNamespace(ctx); err != nil {
		return err
	}
	if err := populate(ctx, api, "top-speed", 1, func(string) *unstructured.Unstructured { return flinkDeployment("top-speed") }); err != nil {
		return err
	}
	ratio, resident, err := direct(ctx, s, append([]server{{"do-nothing webhook", noop.url, noop.pid(), false}}, dreys...))
	if err != nil {
		return err
	}
	if err := throughAPIServer(ctx, s, stage); err != nil {
		return err
	}
	if err := largeObjects(ctx, c, stage, stage.dreys[len(stage.dreys)-1].objects); err != nil {
		return err
	}
	after, err := residentMemory(pid)
	if err != nil {
		return err
	}
	if err := memoryAmong(ctx, s, c, stage); err != nil {
		return err
	}
	fmt.Printf("\nAims: drey/do-nothing at 8 connections %.2f (aim 0.70 or more); resident memory %.0f MiB, after all of this %.0f MiB (aim below 40).\n", ratio, resident, after)
	return nil
}
