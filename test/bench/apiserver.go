package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"drey.dev/drey/webhook/config"
)

// scene is a configuration of admission under measurement.
type scene struct {
	name    string
	objects []*unstructured.Unstructured // installed for the measurement
	pod     map[string]any
	labels  bool // whether admission labels the pod
	noop    bool // whether the API server calls the no-op webhook
}

// throughAPIServer creates pods with dry run in each scene, and prints a table.
func throughAPIServer(ctx context.Context, s settings, stage *stage) error {
	deployment, err := stage.api.Resource(schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}).Namespace("bench").Get(ctx, "top-speed", metav1.GetOptions{})
	if err != nil {
		return err
	}
	noop := scene{name: "no-op webhook", objects: []*unstructured.Unstructured{noopConfiguration(stage.noop)}, noop: true}
	policies := scene{name: "admission policies", objects: policies(), labels: true}
	scenes := []scene{{name: "no webhook", pod: flinkPod()}}
	for _, way := range append(append([]scene{noop}, stage.dreys...), policies) {
		scenes = append(scenes, way.with("", flinkPod()))
	}
	for _, way := range stage.dreys {
		scenes = append(scenes, way.with("TaskManager, ", taskManagerPod(string(deployment.GetUID()))))
	}
	scenes = append(scenes, scene{name: "nginx, no webhook", pod: plainPod()})
	for _, way := range append(append([]scene{noop}, stage.dreys...), policies) {
		way.labels = false
		scenes = append(scenes, way.with("nginx, ", plainPod()))
	}
	fmt.Printf("\nPod creates (dry run) through the API server, %d clients, medians of %d alternating rounds of %s:\n\n", s.clients, s.rounds, s.each)
	found := make([][]figures, len(scenes))
	for round := range s.rounds {
		for i, scene := range scenes {
			f, err := stage.measure(ctx, s, scene)
			if err != nil {
				return fmt.Errorf("%s: %w", scene.name, err)
			}
			found[i] = append(found[i], f)
		}
		fmt.Fprintf(os.Stderr, "  round %d of %d\n", round+1, s.rounds)
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 4, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "admission\tcreates/s\tp50\tp99\t")
	for i, scene := range scenes {
		fmt.Fprintf(table, "%s\t%s\t\n", scene.name, middle(found[i]).columns())
	}
	return table.Flush()
}

// stage is the control plane on which scenes are measured.
type stage struct {
	api   dynamic.Interface
	noop  *noopServer
	dreys []scene // with the objects that each drey installs
}

func (s scene) with(prefix string, pod map[string]any) scene {
	s.name, s.pod = prefix+s.name, pod
	return s
}

// measure measures a scene.
func (s *stage) measure(ctx context.Context, settings settings, scene scene) (f figures, err error) {
	err = s.with(ctx, scene, func() error {
		f, err = measure(ctx, settings.clients, settings.each, func() func() error {
			return func() error { return s.create(ctx, scene) }
		})
		return err
	})
	return f, err
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
	for deadline, row := time.Now().Add(20*time.Second), 0; row < 10; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("not in effect: %w", last)
		}
		before, err := s.noop.calls(ctx)
		if err != nil {
			return err
		}
		row++
		if last = s.create(ctx, scene); last != nil {
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
	}
	return nil
}

// create creates a pod with dry run, and checks its labels.
func (s *stage) create(ctx context.Context, scene scene) error {
	pod := &unstructured.Unstructured{Object: scene.pod}
	created, err := s.api.Resource(pods).Namespace("bench").Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return err
	}
	labels := created.GetLabels()
	labeled := labels["system"] == "ververica-platform" && labels["vvpNamespace"] == "default"
	if labeled != scene.labels {
		return fmt.Errorf("got the labels %v, want drey's: %t", labels, scene.labels)
	}
	return nil
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
}

func (s *stage) resource(o *unstructured.Unstructured) dynamic.ResourceInterface {
	return s.api.Resource(schema.GroupVersionResource{Group: group, Version: "v1", Resource: resources[o.GetKind()]})
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
	namespaces := s.api.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"})
	_, err := namespaces.Create(ctx, object("v1", "Namespace", map[string]any{
		"metadata": map[string]any{"name": "bench", "labels": map[string]any{"drey.dev/registered": "true"}},
	}), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	accounts := s.api.Resource(schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}).Namespace("bench")
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
