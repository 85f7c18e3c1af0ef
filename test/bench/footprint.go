package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"drey.dev/drey/manifests/rollout"
	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
)

// footprintMain prints the memory of an idle drey by number of targets, in etcd and in the file.
func footprintMain(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("bench memory", flag.ExitOnError)
	program := flags.String("drey", filepath.Join("bin", "drey"), "path of the drey binary")
	before := flags.String("before", "", "path of an earlier drey binary to compare with")
	sizes := flags.String("targets", "10,10000,100000", "numbers of targets, ascending, with commas")
	settle := flags.Duration("settle", 5*time.Second, "time between readiness and the measurement")
	if err := flags.Parse(args); err != nil {
		return err
	}
	programs := []string{*program}
	if *before != "" {
		programs = []string{*before, *program}
	}
	c, err := cluster.New(ctx, cluster.Options{NoMemoryLimit: true, Progress: os.Stdout})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	if err := rollout.InstallCRDs(ctx, unthrottled(c)); err != nil {
		return err
	}
	seed, err := newSeeder(ctx, c, *program)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 4, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "targets\tstore\tdrey\tstart\tCPU\tlive heap\tanonymous\tprivate dirty\tRSS\tpeak RSS\t")
	var targetsNow, namespacesNow int
	for text := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("-targets: %w", err)
		}
		spread := max(n/perNamespace, 1)
		fmt.Fprintf(os.Stderr, "  writing %d targets in %d namespaces\n", n, spread)
		if err := seed.createNamespaces(ctx, namespacesNow, spread); err != nil {
			return err
		}
		if err := seed.createTargets(ctx, targetsNow, n, spread); err != nil {
			return err
		}
		targetsNow, namespacesNow = n, max(spread, namespacesNow)
		dir := filepath.Join(c.Dir(), "file", text)
		if err := fill(ctx, dir, spread, n/spread); err != nil {
			return err
		}
		for _, program := range programs {
			for _, store := range []string{"kubernetes", "embedded"} {
				o := drey.Options{Program: program, Cluster: c, DataDir: dir, Args: []string{"--store", store}, Timeout: largeStart}
				f, err := measureFootprint(ctx, o, *settle)
				if err != nil {
					return fmt.Errorf("%d targets, store %s: %w", n, store, err)
				}
				fmt.Fprintf(table, "%d\t%s\t%s\t%s\n", n, store, filepath.Base(program), f.columns())
				fmt.Fprintf(os.Stderr, "  %s, store %s: ready after %s, anonymous memory %.1f MiB\n", filepath.Base(program), store, f.start.Round(10*time.Millisecond), f.anonymous)
			}
		}
	}
	fmt.Printf("\nMemory of an idle drey with its webhooks, in MiB:\n\n")
	return table.Flush()
}

// largeStart bounds the start of a drey with 100,000 targets on a busy machine.
const largeStart = 5 * time.Minute

// footprint is the memory of a process.
type footprint struct {
	start, cpu              time.Duration // until it is ready
	heap                    float64       // MiB, after a garbage collection
	anonymous, privateDirty float64       // MiB
	rss, peak               float64       // MiB
}

func (f footprint) columns() string {
	return fmt.Sprintf("%s\t%s\t%.1f\t%.1f\t%.1f\t%.0f\t%.0f\t", f.start.Round(10*time.Millisecond), f.cpu.Round(10*time.Millisecond), f.heap, f.anonymous, f.privateDirty, f.rss, f.peak)
}

// measureFootprint starts a drey, lets it settle, and stops it.
func measureFootprint(ctx context.Context, o drey.Options, settle time.Duration) (f footprint, err error) {
	began := time.Now()
	d, err := drey.Start(ctx, o)
	if err != nil {
		return f, err
	}
	f.start = time.Since(began)
	defer func() { err = errors.Join(err, d.Stop()) }()
	if f.cpu, err = cpuTime(d.PID()); err != nil {
		return f, err
	}
	time.Sleep(settle)
	return f, f.read(d)
}

// read reads the memory of a running drey.
func (f *footprint) read(d *drey.Drey) error {
	rollup, err := procMemory(d.PID(), "smaps_rollup")
	if err != nil {
		return err
	}
	status, err := processMemory(d.PID())
	if err != nil {
		return err
	}
	metrics, err := scrape(d.Metrics + "/metrics")
	if err != nil {
		return err
	}
	f.anonymous, f.privateDirty, f.rss, f.peak = rollup["Anonymous"], rollup["Private_Dirty"], status["VmRSS"], status["VmHWM"]
	f.heap = metrics["go_memstats_next_gc_bytes"] / (1 + metrics["go_gc_gogc_percent"]/100) / (1 << 20)
	return nil
}

// scrape returns the samples of a metrics endpoint, by name with labels.
func scrape(url string) (map[string]float64, error) {
	response, err := http.Get(url) //nolint:noctx // of a local process
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	return samples(text), nil
}

// samples parses the text format of metrics.
func samples(text []byte) map[string]float64 {
	found := map[string]float64{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Buffer(nil, 1<<20); lines.Scan(); {
		line := lines.Text()
		if at := strings.LastIndexByte(line, ' '); at > 0 && line[0] != '#' {
			if value, err := strconv.ParseFloat(line[at+1:], 64); err == nil {
				found[line[:at]] = value
			}
		}
	}
	return found
}
