package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/webhook/config"
)

// scene is a configuration of admission under measurement.
type scene struct {
	name    string
	objects []*unstructured.Unstructured // installed for the measurement
	labels  bool                         // whether admission labels Flink's pods
	noop    bool                         // whether the API server calls the no-op webhook
	metrics string                       // URL of drey's metrics; empty: it is not drey
	before  bool                         // an earlier drey, to compare with
	pids    []int                        // processes of the webhooks, whose CPU is measured
	probe   map[string]any               // shows that the scene is in effect; nil: a pod of Flink
	denies  bool                         // whether admission denies the probe in the namespace default, also in a dry run
}

// The scenes that others are compared with.
const (
	sceneNone     = "none"
	sceneNoop     = "do-nothing webhook"
	sceneConstant = "constant patch"
	sceneDrey     = "drey"
	scenePolicies = "CEL policies"
	sceneAgain    = "none, again"
)

// load is a kind of requests, from a number of clients.
type load struct {
	name    string // in place of the number of clients
	clients int
	pod     map[string]any
	flink   bool
	scenes  []string // empty: all
}

// The loads of a scene. Those of other pods show what a cluster pays that drey is not for.
var (
	oneClient    = load{clients: 1, pod: flinkPod(), flink: true}
	eightClients = load{clients: 8, pod: flinkPod(), flink: true}
	manyClients  = load{clients: 64, pod: flinkPod(), flink: true, scenes: []string{sceneNone, sceneConstant, sceneDrey}}
	taskManagers = load{name: "1, TaskManager", clients: 1, flink: true, scenes: []string{sceneNone, sceneConstant, sceneDrey}} // the pod is set by a run
	plainPods    = load{name: "nginx", clients: 1, pod: plainPod(), scenes: []string{sceneNone, sceneDrey, sceneAgain}}
	largePods    = load{name: "200 containers", clients: 1, pod: manyContainers(), scenes: []string{sceneNone, sceneDrey, sceneAgain}}
	loads        = []*load{&oneClient, &eightClients, &manyClients, &taskManagers, &plainPods, &largePods}
)

// measured are the figures of a load in a scene, by round.
type measured struct {
	figures []figures
	ledgers []ledger
}

// apiServerResults are the figures of each load, by the name of the scene.
type apiServerResults map[*load]map[string]*measured

// throughAPIServer creates pods with dry run in each scene.
func throughAPIServer(ctx context.Context, s settings, stage *stage) (apiServerResults, error) {
	scenes := slices.Concat([]scene{
		{name: sceneNone},
		{name: sceneNoop, objects: []*unstructured.Unstructured{noopConfiguration(stage.noop, "")}, noop: true},
		{name: sceneConstant, objects: []*unstructured.Unstructured{noopConfiguration(stage.noop, "patch")}, noop: true, labels: true},
	}, stage.dreys, []scene{{name: scenePolicies, objects: policies(), labels: true}, {name: sceneAgain}})
	return stage.interleave(ctx, s, scenes, loads)
}

// interleave measures the loads in each scene, once a round.
func (s *stage) interleave(ctx context.Context, settings settings, scenes []scene, loads []*load) (apiServerResults, error) {
	found := apiServerResults{}
	for _, l := range loads {
		found[l] = map[string]*measured{}
		for _, scene := range scenes {
			found[l][scene.name] = &measured{}
		}
	}
	for round := range settings.rounds {
		for _, scene := range scenes {
			err := s.with(ctx, scene, func() error {
				time.Sleep(settled)
				for _, l := range loads {
					if !l.includes(scene) {
						continue
					}
					if err := s.measure(ctx, settings, scene, l, found[l][scene.name]); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return nil, fmt.Errorf("%s: %w", scene.name, err)
			}
		}
		fmt.Fprintf(os.Stderr, "  round %d of %d through the API server\n", round+1, settings.rounds)
	}
	return found, nil
}

// settled is the time that the API server compiles the conditions of a scene in, after the scene
// is in effect.
const settled = 1500 * time.Millisecond

// cpuTimes returns the sum of the CPU times of processes.
func cpuTimes(pids []int) (sum time.Duration, err error) {
	for _, pid := range pids {
		used, err := cpuTime(pid)
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

func (l *load) includes(s scene) bool {
	return len(l.scenes) == 0 && s.name != sceneAgain || slices.Contains(l.scenes, s.name) || s.before
}

// stage is the control plane on which scenes are measured.
type stage struct {
	cluster *cluster.Cluster
	api     dynamic.Interface
	noop    *noopServer
	dreys   []scene // with the objects that each drey installs
}

// measure measures a load in a scene that is in effect.
func (s *stage) measure(ctx context.Context, settings settings, scene scene, l *load, into *measured) error {
	before, err := readLedger(ctx, s.cluster, scene.metrics)
	if err != nil {
		return err
	}
	webhook, err := cpuTimes(scene.pids)
	if err != nil {
		return err
	}
	f, err := measureCPU(ctx, s.cluster.PID(cluster.APIServer), l.clients, settings.each, func() func() error {
		return func() error { return s.create(ctx, l.pod, scene.labels && l.flink) }
	})
	if err != nil {
		return err
	}
	used, err := cpuTimes(scene.pids)
	if err != nil {
		return err
	}
	f.webhook = (used - webhook) / time.Duration(f.calls)
	after, err := readLedger(ctx, s.cluster, scene.metrics)
	if err != nil {
		return err
	}
	into.figures, into.ledgers = append(into.figures, f), append(into.ledgers, after.perRequest(before, f.calls))
	return nil
}

// with installs a scene's objects, waits until they are in effect, calls do, and deletes
// them.
func (s *stage) with(ctx context.Context, scene scene, do func() error) (err error) {
	for _, o := range scene.objects {
		o = o.DeepCopy()
		if _, err := s.resource(o).Create(ctx, o, metav1.CreateOptions{}); err != nil {
			return err
		}
		defer func() {
			err = errors.Join(err, s.resource(o).Delete(context.WithoutCancel(ctx), o.GetName(), metav1.DeleteOptions{}))
		}()
	}
	if err := s.awaitEffect(ctx, scene); err != nil {
		return err
	}
	return do()
}

// awaitEffect waits until ten consecutive requests show that the API server has the scene's
// configuration, which takes effect after a delay.
func (s *stage) awaitEffect(ctx context.Context, scene scene) error {
	var last error
	probe := scene.probe
	if probe == nil {
		probe = flinkPod()
	}
	for deadline, row := time.Now().Add(20*time.Second), 0; row < 10; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("not in effect: %w", last)
		}
		before, err := s.noop.calls(ctx)
		if err != nil {
			return err
		}
		row++
		if last = s.create(ctx, probe, scene.labels); last != nil {
			row = 0
			continue
		}
		after, err := s.noop.calls(ctx)
		if err != nil {
			return err
		}
		if called := before != after; called != scene.noop {
			row, last = 0, fmt.Errorf("no-op webhook called: got %t, want %t", called, scene.noop)
		}
		if !scene.denies {
			continue
		}
		if _, err := s.dryRun(ctx, metav1.NamespaceDefault, probe); err == nil {
			row, last = 0, errors.New("namespace default: got admitted, want denied")
		}
	}
	return nil
}

// create creates a pod with dry run, and checks whether it has drey's labels.
func (s *stage) create(ctx context.Context, pod map[string]any, want bool) error {
	created, err := s.dryRun(ctx, "bench", pod)
	if err != nil {
		return err
	}
	labels := created.GetLabels()
	if labeled := labels["system"] == "ververica-platform" && labels["vvpNamespace"] == "default"; labeled != want {
		return fmt.Errorf("got the labels %v, want drey's: %t", labels, want)
	}
	return nil
}

func (s *stage) dryRun(ctx context.Context, namespace string, pod map[string]any) (*unstructured.Unstructured, error) {
	return s.api.Resource(pods).Namespace(namespace).Create(ctx, &unstructured.Unstructured{Object: pod}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
}

var pods = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

// resources are the resource names of the kinds in scenes.
var resources = map[string]string{
	"MutatingWebhookConfiguration":     "mutatingwebhookconfigurations",
	"ValidatingWebhookConfiguration":   "validatingwebhookconfigurations",
	"MutatingAdmissionPolicy":          "mutatingadmissionpolicies",
	"MutatingAdmissionPolicyBinding":   "mutatingadmissionpolicybindings",
	"ValidatingAdmissionPolicy":        "validatingadmissionpolicies",
	"ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
	"ClusterPolicy":                    "clusterpolicies",
	"MutatingPolicy":                   "mutatingpolicies",
	"ValidatingPolicy":                 "validatingpolicies",
}

func (s *stage) resource(o *unstructured.Unstructured) dynamic.ResourceInterface {
	return s.api.Resource(o.GroupVersionKind().GroupVersion().WithResource(resources[o.GetKind()]))
}

const group = "admissionregistration.k8s.io"

// takeDown deletes the objects that drey has installed, and returns them for scenes.
func (s *stage) takeDown(ctx context.Context) ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	for _, o := range []struct{ kind, name string }{
		{"MutatingWebhookConfiguration", "drey"}, {"ValidatingWebhookConfiguration", "drey"},
		{"ValidatingAdmissionPolicy", config.PodPolicy}, {"ValidatingAdmissionPolicyBinding", config.PodPolicy},
		{"ValidatingAdmissionPolicy", config.ClaimPolicy}, {"ValidatingAdmissionPolicyBinding", config.ClaimPolicy},
		{"ValidatingAdmissionPolicy", config.RegisteredLabelPolicy}, {"ValidatingAdmissionPolicyBinding", config.RegisteredLabelPolicy},
	} {
		r := s.api.Resource(schema.GroupVersionResource{Group: group, Version: "v1", Resource: resources[o.kind]})
		found, err := r.Get(ctx, o.name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) { // not in an earlier drey
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := r.Delete(ctx, o.name, metav1.DeleteOptions{}); err != nil {
			return nil, err
		}
		found.SetResourceVersion("")
		found.SetUID("")
		found.SetManagedFields(nil)
		all = append(all, found)
	}
	return all, nil
}

// createNamespace creates the namespace of the pods, labeled as registered, which the
// admission policies read.
func (s *stage) createNamespace(ctx context.Context) error {
	_, err := s.api.Resource(namespaces).Create(ctx, object("v1", "Namespace", map[string]any{
		"metadata": map[string]any{"name": "bench", "labels": map[string]any{"drey.dev/registered": "true"}},
	}), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	accounts := s.api.Resource(serviceAccounts).Namespace("bench")
	for range 500 {
		if _, err = accounts.Get(ctx, "default", metav1.GetOptions{}); err == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

func object(apiVersion, kind string, fields map[string]any) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: fields}
	o.SetAPIVersion(apiVersion)
	o.SetKind(kind)
	return o
}
