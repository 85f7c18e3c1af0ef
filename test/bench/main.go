// Command bench compares drey with a no-op webhook and with admission policies of
// Kubernetes. Measurements alternate in several rounds on one machine; compare the medians
// by their ratios.
//
// Subcommands: bench registry compares the registry with etcd and the API server, bench
// cluster measures drey with its registry in the cluster, bench memory the memory of an idle drey by
// number of targets, bench registered compares records of registration, and bench large prints the
// table of large objects.
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

// settings configures a run.
type settings struct {
	rounds  int
	each    time.Duration // of a measurement
	clients int           // concurrent clients that create pods
	program string
	before  string // path of an earlier drey binary to compare with; empty: none
	others  int    // Deployments that are not Flink's
}

// subcommands are the benchmarks other than the main one.
var subcommands = map[string]func(context.Context, []string) error{"registry": registryMain, "cluster": clusterMain, "large": largeMain, "registered": registeredMain, "memory": footprintMain}

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
		if measure, ok := subcommands[os.Args[1]]; ok {
			if err := measure(ctx, os.Args[2:]); err != nil {
				fmt.Fprintf(os.Stderr, "bench %s: %v\n", os.Args[1], err)
				os.Exit(1)
			}
			return
		}
	}
	var s settings
	flag.IntVar(&s.rounds, "rounds", 5, "number of rounds, of which the medians are printed")
	flag.DurationVar(&s.each, "each", 2*time.Second, "duration of a measurement")
	flag.IntVar(&s.clients, "clients", 4, "number of concurrent clients that create pods")
	flag.StringVar(&s.program, "drey", filepath.Join("bin", "drey"), "path of the drey binary")
	flag.StringVar(&s.before, "before", "", "path of an earlier drey binary to compare with")
	flag.IntVar(&s.others, "others", 10_000, "number of Deployments that are not Flink's in the memory measurement")
	flag.Parse()
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) (err error) {
	fmt.Println("Starting a control plane, drey and a no-op webhook")
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
		url, err := drey.WebhookURL(ctx, c, config.NameLabelPods)
		if err != nil {
			return err
		}
		installed, err := stage.takeDown(ctx)
		if err != nil {
			return err
		}
		stage.dreys = append(stage.dreys, scene{name: p.name, objects: installed, labels: true})
		dreys = append(dreys, server{p.name, url, d.PID(), true})
	}
	pid := dreys[len(dreys)-1].pid
	noop, err := startNoop(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, noop.stop()) }()

	stage.noop = noop
	if err := stage.createNamespace(ctx); err != nil {
		return err
	}
	if err := populate(ctx, api, "top-speed", 1, func(string) *unstructured.Unstructured { return flinkDeployment("top-speed") }); err != nil {
		return err
	}
	ratio, resident, err := direct(ctx, s, append([]server{{"no-op webhook", noop.url, noop.pid(), false}}, dreys...))
	if err != nil {
		return err
	}
	if err := throughAPIServer(ctx, s, stage); err != nil {
		return err
	}
	if err := largeObjects(ctx, c, stage, stage.dreys[len(stage.dreys)-1].objects); err != nil {
		return err
	}
	after, err := processMemory(pid)
	if err != nil {
		return err
	}
	if err := memoryAmong(ctx, s, c, stage); err != nil {
		return err
	}
	fmt.Printf("\nGoals: throughput at 8 connections relative to no-op %.2f (goal: at least 0.70); RSS %.0f MiB, at the end %.0f MiB (goal: below 40 MiB)\n", ratio, resident, after["VmRSS"])
	return nil
}
