// Command bench compares drey with webhooks that do nothing and that answer with a constant
// patch, and with admission policies of Kubernetes. Measurements alternate in several rounds on
// one machine; compare the medians by their ratios. It writes docs/explanation/performance.md.
//
// Subcommands: bench registry compares the registry with etcd and the API server, bench
// cluster measures drey with its registry in the cluster, bench registered compares records of
// registration, bench memory measures an idle drey by number of targets, bench deployments by
// number of Deployments, bench scale the costs in a large cluster, bench peers compares drey with
// Kyverno and Gatekeeper, and bench large prints the table of large objects.
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

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	clients int           // concurrent clients that create pods; of a subcommand
	program string
	before  string // path of an earlier drey binary to compare with; empty: none
	docs    string // directory of the documents; empty: the report is printed only
}

// subcommands are the benchmarks other than the main one.
var subcommands = map[string]func(context.Context, []string) error{"registry": registryMain, "cluster": clusterMain, "large": largeMain, "registered": registeredMain, "memory": footprintMain, "deployments": deploymentsMain, "scale": scaleMain, "peers": peersMain}

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
	flag.IntVar(&s.rounds, "rounds", 5, "number of alternating rounds, of which the medians are printed")
	flag.DurationVar(&s.each, "each", time.Second, "duration of a measurement")
	flag.StringVar(&s.program, "drey", filepath.Join("bin", "drey"), "path of the drey binary")
	flag.StringVar(&s.before, "before", "", "path of an earlier drey binary to compare with")
	flag.StringVar(&s.docs, "docs", "docs", "directory of the documents, in which explanation/performance.md and images/performance.svg are written; empty: none")
	flag.Parse()
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) (err error) {
	fmt.Println("Starting a control plane, drey and a do-nothing webhook")
	began := time.Now()
	c, err := cluster.New(ctx, cluster.Options{Progress: os.Stdout})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	api, err := dynamic.NewForConfig(unthrottled(c))
	if err != nil {
		return err
	}
	noop, err := startNoop(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, noop.stop()) }()
	stage := &stage{cluster: c, api: api, noop: noop}
	servers := []server{{name: sceneNoop, url: noop.url, pid: noop.pid()}, {name: sceneNoop, url: noop.url, pid: noop.pid(), http2: true}}
	r := report{settings: s, review: len(must(podReview()))}
	for _, p := range []struct{ name, program string }{{sceneDrey + " before", s.before}, {sceneDrey, s.program}} {
		if p.program == "" {
			continue
		}
		o := drey.Options{Program: p.program, Cluster: c, DataDir: filepath.Join(c.Dir(), p.name), Args: []string{"--enable-http2"}}
		d, err := drey.Start(ctx, o)
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
		time.Sleep(idle)
		if err := r.idle.read(d); err != nil {
			return err
		}
		stage.dreys = append(stage.dreys, scene{name: p.name, objects: installed, labels: true, metrics: d.Metrics + "/metrics", before: p.program == s.before})
		for _, http2 := range []bool{false, true} {
			servers = append(servers, server{name: p.name, url: url, pid: d.PID(), labels: true, http2: http2})
		}
	}
	if err := stage.createNamespace(ctx); err != nil {
		return err
	}
	if err := populate(ctx, api, "top-speed", 1, func(string) *unstructured.Unstructured { return flinkDeployment("top-speed") }); err != nil {
		return err
	}
	owner, err := api.Resource(deployments).Namespace("bench").Get(ctx, "top-speed", metav1.GetOptions{})
	if err != nil {
		return err
	}
	taskManagers.pod = taskManagerPod(string(owner.GetUID()))
	if r.direct, err = direct(ctx, s, servers); err != nil {
		return err
	}
	if r.apiServer, err = throughAPIServer(ctx, s, stage); err != nil {
		return err
	}
	r.took = time.Since(began)
	return r.write(s.docs)
}

// idle is the time between the start of drey and the measurement of its memory.
const idle = 5 * time.Second

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
