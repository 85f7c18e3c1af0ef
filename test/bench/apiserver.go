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

// scene is what stands between a client and its pod.
type scene struct {
	name    string
	objects []*unstructured.Unstructured // installed for the measurement
	pod     map[string]any
	labels  bool // whether the pod comes back labeled
	noop    bool // whether the do-nothing webhook is asked
}

// throughAPIServer creates pods by dry run in each scene, and prints a table.
func throughAPIServer(ctx context.Context, s settings, stage *stage) error {
	deployment, err := stage.api.Resource(schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}).Namespace("bench").Get(ctx, "top-speed", metav1.GetOptions{})
	if err != nil {
		return err
	}
	noop := scene{name: "do-nothing webhook", objects: []*unstructured.Unstructured{noopConfiguration(stage.noop)}, noop: true}
	policies := scene{name: "built-in policies", objects: policies(), labels: true}
	scenes := []scene{{name: "no webhook", pod: flinkPod()}}
	for _, way := range append(append([]scene{noop}, stage.dreys...), policies) {
		scenes = append(scenes, way.with("", flinkPod()))
	}
	for _, way := range stage.dreys {
		scenes = append(scenes, way.with("a TaskManager, ", taskManagerPod(string(deployment.GetUID()))))
	}
	scenes = append(scenes, scene{name: "a pod of nginx, no webhook", pod: plainPod()})
	for _, way := range append(append([]scene{noop}, stage.dreys...), policies) {
		way.labels = false
		scenes = append(scenes, way.with("a pod of nginx, ", plainPod()))
	}
	fmt.Printf("\nPod creates (dry run) through the API server, %d clients, %d rounds of %s in turn:\n\n", s.clients, s.rounds, s.each)
	found := make([][]figures, len(scenes))
	for round := range s.rounds {
		for i, scene := range scenes {
			f, err := stage.play(ctx, s, scene)
			if err != nil {
				return fmt.Errorf("%s: %w", scene.name, err)
			}
			found[i] = append(found[i], f)
		}
		fmt.Fprintf(os.Stderr, "  round %d of %d\n", round+1, s.rounds)
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 4, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "in the way\tcreates/s\tp50\tp99\t")
	for i, scene := range scenes {
		fmt.Fprintf(table, "%s\t%s\t\n", scene.name, middle(found[i]).columns())
	}
	return table.Flush()
}

// stage is the control plane on which the scenes are played.
type stage struct {
	api   dynamic.Interface
	noop  *noopServer
	dreys []scene // what each drey has installed
}

func (s scene) with(prefix string, pod map[string]any) scene {
	s.name, s.pod = prefix+s.name, pod
	return s
}

// play measures a scene.
func (s *stage) play(ctx context.Context, settings settings, scene scene) (f figures, err error) {
	err = s.set(ctx, scene, func() error {
		f, err = measure(ctx, settings.clients, settings.each, func() func() error {
			return func() error { return s.create(ctx, scene) }
		})
		return err
	})
	return f, err
}

// set sets a scene up, sees that it is in effect, calls do, and clears up.
func (s *stage) set(ctx context.Context, scene scene, do func() error) (err error) {
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

// awaitEffect waits until the API server acts by what is there, ten times in a
// row: it learns of it by a watch.
func (s *stage) awaitEffect(ctx context.Context, scene scene) error {
	var last error
	for deadline, row := time.Now().Add(20*time.Second), 0; row < 10; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("is not in effect: %w", last)
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
		if asked := before != after; asked != scene.noop {
			row, last = 0, fmt.Errorf("that the do-nothing webhook is asked is %t", asked)
		}
	}
	return nil
}

// create makes a pod by dry run, and checks its labels.
func (s *stage) create(ctx context.Context, scene scene) error {
	pod := &unstructured.Unstructured{Object: scene.pod}
	made, err := s.api.Resource(pods).Namespace("bench").Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return err
	}
	labels := made.GetLabels()
	labeled := labels["system"] == "ververica-platform" && labels["vvpNamespace"] == "default"
	if labeled != scene.labels {
		return fmt.Errorf("the pod has the labels %v", labels)
	}
	return nil
}

var pods = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

// resources of the objects in scenes.
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

// takeDown removes what drey has installed, and returns it, to be put up again.
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
		if apierrors.IsNotFound(err) { // an earlier drey did not have it
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

// makeNamespace makes the namespace of the pods. It has the label by which the
// built-in policies know that it is registered.
func (s *stage) makeNamespace(ctx context.Context) error {
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
