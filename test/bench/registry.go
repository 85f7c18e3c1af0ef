package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"text/tabwriter"
	"time"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/boltstore"
)

// registrySettings configures bench registry.
type registrySettings struct {
	rounds   int
	each     time.Duration
	compared int // objects in the comparison with custom resources
	dir      string
	program  string
}

// perNamespace is the number of targets per platform namespace.
const perNamespace = 100

// registryMain measures the registry at its intended size, its writes compared with etcd, and
// its reads compared with the API server.
func registryMain(ctx context.Context, args []string) (err error) {
	var s registrySettings
	flags := flag.NewFlagSet("bench registry", flag.ExitOnError)
	flags.IntVar(&s.rounds, "rounds", 5, "number of rounds, of which the medians are printed")
	flags.DurationVar(&s.each, "each", 2*time.Second, "duration of a measurement")
	flags.IntVar(&s.compared, "compared", 10_000, "number of objects in the comparison with the API server")
	flags.StringVar(&s.dir, "dir", os.TempDir(), "directory on the disk to measure; not a tmpfs")
	flags.StringVar(&s.program, "drey", filepath.Join("bin", "drey"), "path of the drey binary")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp(s.dir, "drey-bench-registry-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.dir)) }()
	for _, part := range []func(context.Context, registrySettings) error{scale, durableWrites, besideAPIServer} {
		if err := part(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// scale measures start, memory, GET and LIST with 1 and with 1,000 platform namespaces.
func scale(ctx context.Context, s registrySettings) (err error) {
	var sides []*side
	for _, namespaces := range []int{1, 1000} {
		fmt.Printf("Creating a registry of %d targets in %d platform namespaces\n", namespaces*perNamespace, namespaces)
		dir := filepath.Join(s.dir, strconv.Itoa(namespaces))
		if err := fill(ctx, dir, namespaces, perNamespace); err != nil {
			return err
		}
		sides = append(sides, &side{dir: dir, namespaces: namespaces})
	}
	reference, err := startIdle(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reference.stop()) }()
	var idle, idlePaced []figures
	for round := range s.rounds {
		f, err := measure(ctx, 8, s.each, reference.reader(func() string { return targetPath(0, 0) }))
		if err != nil {
			return err
		}
		paced, err := measureAt(ctx, 8, pace, s.each, reference.reader(func() string { return targetPath(0, 0) }))
		if err != nil {
			return err
		}
		idle, idlePaced = append(idle, f), append(idlePaced, paced)
		for _, side := range sides {
			if err := side.measure(ctx, s); err != nil {
				return err
			}
		}
		fmt.Fprintf(os.Stderr, "  round %d of %d\n", round+1, s.rounds)
	}
	fmt.Printf("\nRegistry by size, a new drey per round, medians of %d rounds, reads for %s at 8 connections:\n\n", s.rounds, s.each)
	table := tabwriter.NewWriter(os.Stdout, 0, 4, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "targets\tready\tfirst response\tRSS at start\tRSS under load\tanonymous\tfile\tpeak\t")
	for _, x := range sides {
		fmt.Fprintf(table, "%d\t%s\t%s\t%.0f MiB\t%.0f MiB\t%.0f MiB\t%.0f MiB\t%.0f MiB\t\n", x.namespaces*perNamespace,
			short(median(x.starts, func(m started) time.Duration { return m.ready })), short(median(x.starts, func(m started) time.Duration { return m.answer })),
			median(x.starts, func(m started) float64 { return m.before["VmRSS"] }), median(x.starts, func(m started) float64 { return m.after["VmRSS"] }),
			median(x.starts, func(m started) float64 { return m.after["RssAnon"] }), median(x.starts, func(m started) float64 { return m.after["RssFile"] }),
			median(x.starts, func(m started) float64 { return m.after["VmHWM"] }))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Println()
	fmt.Fprintln(table, "targets\tcall\tcalls/s\tp50\tp99\t")
	fmt.Fprintf(table, "\tGET, no-op server\t%s\t\n", middle(idle).columns())
	fmt.Fprintf(table, "\tGET, no-op server, %d/s\t%s\t\n", pace, middle(idlePaced).columns())
	for _, x := range sides {
		for _, row := range []struct {
			call  string
			found []figures
		}{{"GET a target", x.gets}, {fmt.Sprintf("GET a target, %d/s", pace), x.paced}, {"LIST 100 targets", x.lists}} {
			fmt.Fprintf(table, "%d\t%s\t%s\t\n", x.namespaces*perNamespace, row.call, middle(row.found).columns())
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Println("\nGoals at 100000 targets: ready within 1 s, RSS at start below 150 MiB, GET p99 below 2 ms, LIST as with 100.")
	fmt.Println("Without a rate limit the clients saturate the CPUs, and p99 includes the wait for a CPU.")
	fmt.Println("File memory is page cache, which the kernel reclaims under pressure.")
	return nil
}

// pace is the rate of GETs of all clients in the rate-limited measurement, per second.
const pace = 2000

// side is a registry of one size, and its measurements.
type side struct {
	dir                string
	namespaces         int
	starts             []started
	gets, paced, lists []figures
}

// started has the durations and the memory of a start of drey.
type started struct {
	ready, answer time.Duration      // since exec
	before, after map[string]float64 // memory before and after the reads
}

func (x *side) measure(ctx context.Context, s registrySettings) (err error) {
	var m started
	d, err := startTimed(ctx, s.program, x.dir, &m)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	if m.before, err = processMemory(d.cmd.Process.Pid); err != nil {
		return err
	}
	target := d.reader(func() string { return targetPath(rand.IntN(x.namespaces), rand.IntN(perNamespace)) })
	get, err := measure(ctx, 8, s.each, target)
	if err != nil {
		return err
	}
	paced, err := measureAt(ctx, 8, pace, s.each, target)
	if err != nil {
		return err
	}
	list, err := measure(ctx, 8, s.each, d.reader(func() string { return targetsPath(rand.IntN(x.namespaces)) }))
	if err != nil {
		return err
	}
	if m.after, err = processMemory(d.cmd.Process.Pid); err != nil {
		return err
	}
	x.starts, x.gets, x.paced, x.lists = append(x.starts, m), append(x.gets, get), append(x.paced, paced), append(x.lists, list)
	return nil
}

func platformNamespace(i int) string { return fmt.Sprintf("team-%04d", i) }
func targetsPath(i int) string {
	return "/api/v1/namespaces/" + platformNamespace(i) + "/deployment-targets"
}
func targetPath(i, j int) string { return fmt.Sprintf("%s/target-%04d", targetsPath(i), j) }

// fill creates a registry's file through package registry, with a number of targets in each platform
// namespace.
func fill(ctx context.Context, dir string, namespaces, each int) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	store, err := boltstore.Open(filepath.Join(dir, "registry.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	names := make([]string, namespaces)
	for i := range names {
		names[i] = platformNamespace(i)
	}
	rules, err := registry.New(ctx, store, registry.Options{OwnNamespace: "drey-system", Namespaces: names})
	if err != nil {
		return err
	}
	var (
		wait  sync.WaitGroup
		mu    sync.Mutex
		slots = make(chan struct{}, 512)
		errs  error
	)
	for i := range namespaces * each {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			namespace, name := platformNamespace(i/each), fmt.Sprintf("target-%04d", i%each)
			if _, err := rules.Create(ctx, registry.Object{Kind: registry.DeploymentTarget, Spec: targetSpec(namespace, name),
				Metadata: registry.Metadata{Namespace: namespace, Name: name, Labels: map[string]string{"team": namespace}}}, nil); err != nil {
				mu.Lock()
				errs = err
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	return errs
}

func targetSpec(namespace, name string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"kubernetes":{"namespace":"%s-%s"}}`, namespace, name))
}
