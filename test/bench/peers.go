package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/fixtures/crds"
	"drey.dev/drey/test/peers"
	"drey.dev/drey/webhook/config"
)

// The scenes of peers.
const (
	sceneKyverno          = "Kyverno, `ClusterPolicy` with an API call"
	sceneKyvernoConstants = "Kyverno, `ClusterPolicy` with constants"
	sceneKyvernoCEL       = "Kyverno, `MutatingPolicy` with an API call"
	sceneGatekeeper       = "Gatekeeper, constants"
)

// peerScenes are the scenes in the order of a round.
var peerScenes = []string{sceneNone, sceneConstant, sceneDrey, sceneKyvernoConstants, sceneKyverno, sceneKyvernoCEL, sceneGatekeeper, sceneAgain}

// peerLoads are the loads of each scene.
var peerLoads = []*load{
	{clients: 1, pod: flinkPod(), flink: true, scenes: peerScenes},
	{clients: 8, pod: flinkPod(), flink: true, scenes: peerScenes},
	{clients: 1, pod: plainPod(), name: "nginx", scenes: slices.DeleteFunc(slices.Clone(peerScenes), func(name string) bool { return name == sceneConstant })},
}

// peersMain compares drey with the admission controllers of Kyverno and Gatekeeper, which do as much of
// drey's work as their policies allow.
func peersMain(ctx context.Context, args []string) (err error) {
	var s settings
	var write string
	flags := flag.NewFlagSet("bench peers", flag.ExitOnError)
	flags.IntVar(&s.rounds, "rounds", 5, "number of alternating rounds, of which the medians are printed")
	flags.DurationVar(&s.each, "each", time.Second, "duration of a measurement")
	flags.StringVar(&s.program, "drey", filepath.Join("bin", "drey"), "path of the drey binary")
	flags.StringVar(&write, "write", "", "path of a page, in which the result replaces the text between the markers; empty: none")
	if err := flags.Parse(args); err != nil {
		return err
	}
	began := time.Now()
	c, err := cluster.New(ctx, cluster.Options{Progress: os.Stderr})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	quiet := unthrottled(c)
	quiet.WarningHandler = rest.NoWarnings{} // Kyverno warns of its deprecated kinds, and of permissions of controllers that do not run
	api, err := dynamic.NewForConfig(quiet)
	if err != nil {
		return err
	}
	if err := crds.Install(ctx, c); err != nil {
		return err
	}
	noop, err := startNoop(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, noop.stop()) }()
	stage := &stage{cluster: c, api: api, noop: noop}
	if err := stage.openNamespace(ctx); err != nil {
		return err
	}
	kyverno, err := peers.StartKyverno(ctx, c, os.Stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kyverno.Kill()) }()
	gatekeeper, err := peers.StartGatekeeper(ctx, c, os.Stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, gatekeeper.Kill()) }()
	for _, name := range []string{"gatekeeper-template", "gatekeeper"} {
		if err := peers.Apply(ctx, c, name); err != nil {
			return err
		}
	}
	d, err := drey.Start(ctx, drey.Options{Program: s.program, Cluster: c, DataDir: filepath.Join(c.Dir(), "drey")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Stop()) }()
	if err := d.Register(ctx, "default", "bench", "bench"); err != nil {
		return err
	}
	if _, err := drey.WebhookURL(ctx, c, config.NameLabelPods); err != nil {
		return err
	}
	installed, err := stage.takeDown(ctx)
	if err != nil {
		return err
	}
	scenes, err := newPeerScenes(stage, installed, gatekeeper.Configurations)
	if err != nil {
		return err
	}
	for i := range scenes {
		switch scenes[i].name {
		case sceneConstant:
			scenes[i].pids = []int{noop.pid()}
		case sceneDrey:
			scenes[i].pids = []int{d.PID()}
		case sceneKyverno, sceneKyvernoConstants, sceneKyvernoCEL:
			scenes[i].pids = []int{kyverno.PID()}
		case sceneGatekeeper:
			scenes[i].pids = []int{gatekeeper.Webhook.PID()}
		}
	}
	r := peerReport{settings: s, processes: []peerProcess{
		{name: "drey", pid: d.PID()},
		{name: "Kyverno's admission controller", version: kyverno.Version, pid: kyverno.PID()},
		{name: "Gatekeeper's controller manager", version: gatekeeper.Webhook.Version, pid: gatekeeper.Webhook.PID()},
		{name: "Gatekeeper's audit", pid: gatekeeper.Audit.PID()},
	}}
	if err := r.readMemory(func(p *peerProcess) *map[string]float64 { return &p.idle }); err != nil {
		return err
	}
	if r.found, err = stage.interleave(ctx, s, scenes, peerLoads); err != nil {
		return err
	}
	if err := r.readMemory(func(p *peerProcess) *map[string]float64 { return &p.loaded }); err != nil {
		return err
	}
	r.took = time.Since(began)
	return r.write(write)
}

// openNamespace creates the namespace of the pods, with the label that the policies of peers require, and
// the Deployment top-speed that their API calls read.
func (s *stage) openNamespace(ctx context.Context) error {
	if err := s.createNamespace(ctx); err != nil {
		return err
	}
	if _, err := s.api.Resource(namespaces).Patch(ctx, "bench", types.MergePatchType, []byte(`{"metadata":{"labels":{"flink":"allowed"}}}`), metav1.PatchOptions{}); err != nil {
		return err
	}
	return populate(ctx, s.api, "top-speed", 1, func(string) *unstructured.Unstructured { return flinkDeployment("top-speed") })
}

// newPeerScenes returns the scenes of peerScenes.
func newPeerScenes(s *stage, drey, gatekeeper []*unstructured.Unstructured) ([]scene, error) {
	objects := map[string][]*unstructured.Unstructured{
		sceneConstant: {noopConfiguration(s.noop, "patch")}, sceneDrey: drey, sceneGatekeeper: gatekeeper,
	}
	for name, files := range map[string][]string{sceneKyverno: {"kyverno"}, sceneKyvernoConstants: {"kyverno", "kyverno-constants"}, sceneKyvernoCEL: {"kyverno-cel"}} {
		for _, file := range files {
			all, err := peers.Policies(file)
			if err != nil {
				return nil, err
			}
			// A later policy replaces an earlier one with its name.
			for _, o := range all {
				objects[name] = slices.DeleteFunc(objects[name], func(earlier *unstructured.Unstructured) bool {
					return earlier.GetKind() == o.GetKind() && earlier.GetName() == o.GetName()
				})
				objects[name] = append(objects[name], o)
			}
		}
	}
	var scenes []scene
	for _, name := range peerScenes {
		scenes = append(scenes, scene{
			name: name, objects: objects[name], labels: name != sceneNone && name != sceneAgain, noop: name == sceneConstant,
			denies: slices.Contains([]string{sceneKyverno, sceneKyvernoConstants, sceneKyvernoCEL, sceneGatekeeper}, name),
		})
	}
	return scenes, nil
}

// peerProcess is a process whose memory is measured.
type peerProcess struct {
	name, version string
	pid           int
	idle, loaded  map[string]float64 // by field, in MiB: before and after the rounds
}

// peerReport has the results of a run.
type peerReport struct {
	settings  settings
	took      time.Duration
	found     apiServerResults
	processes []peerProcess
}

// readMemory reads the memory of each process into a field.
func (r *peerReport) readMemory(into func(*peerProcess) *map[string]float64) (err error) {
	time.Sleep(idle)
	for i := range r.processes {
		p := &r.processes[i]
		if *into(p), err = processMemory(p.pid); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

func (r *peerReport) markdown() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Medians of %d interleaved rounds of %s, in %s. Kyverno %s, Gatekeeper %s.\n\n", r.settings.rounds, r.settings.each, r.took.Round(time.Second), r.processes[1].version, r.processes[2].version)
	var rows [][]string
	one, eight, nginx := r.found[peerLoads[0]], r.found[peerLoads[1]], r.found[peerLoads[2]]
	for _, name := range peerScenes {
		plain := "-" // the constant patch applies to all pods
		if len(nginx[name].figures) > 0 {
			plain = short(added(nginx, name))
		}
		webhook := "-"
		if used := middle(eight[name].figures).webhook; used > 0 {
			webhook = short(used)
		}
		rows = append(rows, []string{
			name, fmt.Sprintf("%.0f", middle(eight[name].figures).perSecond), short(added(one, name)), short(middle(eight[name].figures).cpu), webhook, plain,
		})
	}
	table(&b, []string{"admission", "Flink pods/s, 8 clients", "added p50, 1 client", "API server's CPU", "webhook's CPU", "added p50, nginx"}, rows)
	b.WriteString("\n")
	rows = nil
	for _, p := range r.processes {
		rows = append(rows, []string{p.name, fmt.Sprintf("%.0f MiB", p.idle["VmRSS"]), fmt.Sprintf("%.0f MiB", p.loaded["VmRSS"]), fmt.Sprintf("%.0f MiB", p.loaded["VmHWM"])})
	}
	table(&b, []string{"process", "RSS before the rounds", "after", "peak"}, rows)
	return b.Bytes()
}

// Markers of the text that a run replaces in a page.
const peersBegin, peersEnd = "<!-- begin: make bench-peers -->\n", "<!-- end: make bench-peers -->\n"

// write prints the report, and writes it between the markers of a page.
func (r *peerReport) write(path string) error {
	text := r.markdown()
	fmt.Printf("\n%s", text)
	if path == "" {
		return nil
	}
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, begins := bytes.Cut(page, []byte(peersBegin))
	_, after, ends := bytes.Cut(rest, []byte(peersEnd))
	if !begins || !ends {
		return fmt.Errorf("write the result: %s lacks the line %q or %q", path, peersBegin, peersEnd)
	}
	return os.WriteFile(path, slices.Concat(before, []byte(peersBegin+"\n"), text, []byte("\n"+peersEnd), after), 0o644)
}
