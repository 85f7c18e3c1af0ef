package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/boltstore"
	"drey.dev/drey/test/drey"
)

// registrySettings are what a run of bench registry may be told.
type registrySettings struct {
	rounds   int
	each     time.Duration
	compared int // targets beside custom resources
	dir      string
	program  string
}

// perNamespace is how many targets a platform namespace has.
const perNamespace = 100

// registryMain measures the registry: at the size that it is made for, beside
// etcd at writing, and beside the API server at reading.
func registryMain(ctx context.Context, args []string) (err error) {
	var s registrySettings
	flags := flag.NewFlagSet("bench registry", flag.ExitOnError)
	flags.IntVar(&s.rounds, "rounds", 5, "times that everything is measured; medians are printed")
	flags.DurationVar(&s.each, "each", 2*time.Second, "length of a measurement")
	flags.IntVar(&s.compared, "compared", 10_000, "objects in the comparison with the API server")
	flags.StringVar(&s.dir, "dir", os.TempDir(), "directory on the disk that is written to, which must be a real one")
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

// scale measures start, memory, GET and LIST with 1,000 platform namespaces,
// and LIST with one beside it.
func scale(ctx context.Context, s registrySettings) error {
	var sides []*side
	for _, namespaces := range []int{1, 1000} {
		fmt.Printf("Making a registry of %d targets in %d platform namespaces.\n", namespaces*perNamespace, namespaces)
		dir := filepath.Join(s.dir, strconv.Itoa(namespaces))
		if err := fill(ctx, dir, namespaces); err != nil {
			return err
		}
		sides = append(sides, &side{dir: dir, namespaces: namespaces})
	}
	for round := range s.rounds {
		for _, side := range sides {
			if err := side.measure(ctx, s); err != nil {
				return err
			}
		}
		fmt.Fprintf(os.Stderr, "  round %d of %d\n", round+1, s.rounds)
	}
	fmt.Printf("\nThe registry by its size, drey started anew in each of %d rounds, reads of %s at 8 connections:\n\n", s.rounds, s.each)
	table := tabwriter.NewWriter(os.Stdout, 0, 4, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "targets\tready\tfirst answer\tRSS at start\tRSS loaded\tanon\tfile\tpeak\t")
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
	for _, x := range sides {
		fmt.Fprintf(table, "%d\tGET a target\t%s\t\n%d\tLIST a namespace's 100\t%s\t\n", x.namespaces*perNamespace, middle(x.gets).columns(), x.namespaces*perNamespace, middle(x.lists).columns())
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Println("\nAims at 100000: ready within 1 s, RSS below 150 MiB, GET p99 below 2 ms, LIST as with 100.")
	return nil
}

// side is a registry of one size, and what was found.
type side struct {
	dir         string
	namespaces  int
	starts      []started
	gets, lists []figures
}

// started is what a start of drey costs.
type started struct {
	ready, answer time.Duration // since exec
	before, after map[string]float64
}

func (x *side) measure(ctx context.Context, s registrySettings) (err error) {
	var m started
	d, err := startTimed(ctx, s.program, x.dir, &m)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	if m.before, err = memoryOf(d.cmd.Process.Pid); err != nil {
		return err
	}
	get, err := measure(ctx, 8, s.each, d.reader(func() string { return targetPath(rand.IntN(x.namespaces), rand.IntN(perNamespace)) }))
	if err != nil {
		return err
	}
	list, err := measure(ctx, 8, s.each, d.reader(func() string { return targetsPath(rand.IntN(x.namespaces)) }))
	if err != nil {
		return err
	}
	if m.after, err = memoryOf(d.cmd.Process.Pid); err != nil {
		return err
	}
	x.starts, x.gets, x.lists = append(x.starts, m), append(x.gets, get), append(x.lists, list)
	return nil
}

func platformNamespace(i int) string { return fmt.Sprintf("team-%04d", i) }
func targetsPath(i int) string {
	return "/api/v1/namespaces/" + platformNamespace(i) + "/deployment-targets"
}
func targetPath(i, j int) string { return fmt.Sprintf("%s/target-%04d", targetsPath(i), j) }

// fill makes a registry's file by the registry's own rules.
func fill(ctx context.Context, dir string, namespaces int) (err error) {
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
	rules, err := registry.New(ctx, store, registry.Options{Home: "drey-system", Namespaces: names})
	if err != nil {
		return err
	}
	var (
		wait sync.WaitGroup
		mu   sync.Mutex
		room = make(chan struct{}, 512)
		errs error
	)
	for i := range namespaces * perNamespace {
		room <- struct{}{}
		wait.Go(func() {
			defer func() { <-room }()
			namespace, name := platformNamespace(i/perNamespace), fmt.Sprintf("target-%04d", i%perNamespace)
			if _, err := rules.Create(ctx, registry.Object{Kind: registry.DeploymentTarget, Spec: targetSpec(namespace, name),
				Metadata: registry.Metadata{Namespace: namespace, Name: name, Labels: map[string]string{"team": namespace}}}); err != nil {
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

// process is a drey or an etcd of the benchmark's.
type process struct {
	cmd *exec.Cmd
	url string
	log *bytes.Buffer
}

// startTimed starts drey and notes when it is ready and when it answers.
func startTimed(ctx context.Context, program, dir string, m *started) (*process, error) {
	rest, err := drey.FreeAddress()
	if err != nil {
		return nil, err
	}
	probes, err := drey.FreeAddress()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	p, err := startProcess(ctx, "http://"+rest, program, "serve", "--data-dir", dir, "--rest-address", rest, "--metrics-address", probes)
	if err != nil {
		return nil, err
	}
	if err := p.await(ctx, "http://"+probes+"/readyz"); err != nil {
		return nil, err
	}
	m.ready = time.Since(began)
	if err := p.await(ctx, p.url+targetPath(0, 0)); err != nil {
		return nil, err
	}
	m.answer = time.Since(began)
	return p, nil
}

func startProcess(ctx context.Context, url, program string, args ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, program, args...), url: url, log: &bytes.Buffer{}}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	return p, p.cmd.Start()
}

// await asks until the answer is 200, and ends the process if it never is.
func (p *process) await(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		if err := get(ctx, http.DefaultClient, url); err == nil {
			return nil
		} else if ctx.Err() != nil {
			return errors.Join(fmt.Errorf("%s is not up: %w", p.cmd.Path, err), p.stop(), errors.New(p.log.String()))
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (p *process) stop() error {
	_ = p.cmd.Process.Signal(os.Interrupt) // it may have ended
	err := p.cmd.Wait()
	if _, ended := errors.AsType[*exec.ExitError](err); ended {
		return nil // etcd ends by the signal itself
	}
	return err
}

// reader makes workers that read what path says, each on a connection of its own.
func (p *process) reader(path func() string) func() func() error {
	return func() func() error {
		client := &http.Client{Transport: &http.Transport{}}
		return func() error { return get(context.Background(), client, p.url+path()) }
	}
}

func get(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	return roundTrip(client, request, http.StatusOK)
}

func roundTrip(client *http.Client, request *http.Request, want int) error {
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != want {
		err = fmt.Errorf("%s %s: %s: %s", request.Method, request.URL, response.Status, body)
	}
	return err
}

// memoryOf is what /proc says of a process, in MiB.
func memoryOf(pid int) (map[string]float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return nil, fmt.Errorf("memory is read from /proc, which this system does not have: %w", err)
	}
	found := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, ":")
		if kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64); err == nil {
			found[name] = kib / 1024
		}
	}
	return found, nil
}
