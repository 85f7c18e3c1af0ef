package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/test/framework/fixtures/crds"
)

// comparison runs the same steps on two control planes, with and without drey, and compares
// their objects after each.
type comparison struct {
	*testing.T
	with, without *scope
	objects       []*unstructured.Unstructured // of the manifest, in its order
	stated        map[string]bool              // key=value of the labels in the manifest
}

// scope is a namespace of a control plane.
type scope struct {
	*world
	namespace string
}

func newComparison(t *testing.T, objects []*unstructured.Unstructured) *comparison {
	t.Helper()
	w := sharedWorld(t)
	without, err := startWithoutDrey()
	if err != nil {
		t.Fatal(err)
	}
	c := &comparison{T: t, objects: objects, stated: map[string]bool{}}
	c.with, c.without = &scope{w, w.Namespace(t)}, &scope{without, without.Namespace(t)}
	w.register(t, "team-a", c.with.namespace)
	for _, o := range c.objects {
		template, _, _ := unstructured.NestedStringMap(o.Object, "spec", "template", "metadata", "labels")
		for _, labels := range []map[string]string{o.GetLabels(), template} {
			for key, value := range labels {
				c.stated[key+"="+value] = true
			}
		}
	}
	return c
}

// startWithoutDrey returns the shared cluster without drey, with the custom resources of
// Flink.
var startWithoutDrey = sync.OnceValues(func() (*world, error) {
	c, err := cluster.New(context.Background(), cluster.Options{})
	if err != nil {
		return nil, err
	}
	if err := crds.Install(context.Background(), c); err != nil {
		return nil, err
	}
	api, err := adminClient(c)
	return &world{Cluster: c, api: api}, err
})

// step runs an action on both control planes, and waits until they are equal and stable.
func (c *comparison) step(name string, act func(*scope) error) {
	c.Helper()
	for _, s := range []*scope{c.without, c.with} {
		if err := act(s); err != nil {
			c.Fatalf("%s, with drey %t: %v", name, s == c.with, err)
		}
	}
	c.settle(name)
}

// settle waits until both control planes are equal and stable.
func (c *comparison) settle(after string) {
	c.Helper()
	const interval, timeout = 200 * time.Millisecond, eventually.Timeout // a snapshot is a dozen requests
	before, since, began := "", time.Now(), time.Now()
	for {
		without, withoutBusy := c.snapshot(c.without)
		with, withBusy := c.snapshot(c.with)
		if now := strings.Join(slices.Concat(without, with), "\n"); now != before {
			before, since = now, time.Now()
		}
		d := difference(without, with)
		switch {
		case d == "" && !withoutBusy && !withBusy && time.Since(since) >= stableFor:
			c.Logf("%5.1fs %s", time.Since(began).Seconds(), after)
			return
		case time.Since(began) > timeout && d == "":
			c.Fatalf("after %s: not stable within %s", after, timeout)
		case time.Since(began) > timeout:
			c.Fatalf("after %s: objects with drey only (+), and without drey only (-):\n%s", after, d)
		}
		time.Sleep(interval)
	}
}

// stableFor is the time without a change after which a control plane is stable. A ReplicaSet
// replaces a lost pod within milliseconds.
const stableFor = 600 * time.Millisecond

// difference lists the lines that are in one snapshot only, with their count.
func difference(without, with []string) string {
	count := map[string]int{}
	for _, line := range without {
		count[line]++
	}
	for _, line := range with {
		count[line]--
	}
	var lines []string
	for _, line := range slices.Sorted(maps.Keys(count)) {
		if n := count[line]; n != 0 {
			lines = append(lines, fmt.Sprintf("%+d %s", -n, line))
		}
	}
	return strings.Join(lines, "\n")
}

// snapshot lists the objects of a scope, one line each, without generated names, uids, times,
// and the labels that drey adds. In place of a kubelet it marks pods as running. busy reports
// that a controller has work left.
func (c *comparison) snapshot(s *scope) (lines []string, busy bool) {
	c.Helper()
	for _, kind := range c.kinds() {
		for _, o := range s.list(c, kind, s.namespace) {
			if isRootCA(&o) {
				continue
			}
			if kind == "Pod" {
				s.markRunning(c, &o)
			}
			lines, busy = append(lines, c.summary(&o)), busy || hasWork(&o)
		}
	}
	slices.Sort(lines)
	return lines, busy
}

// hasWork reports whether the controller of a workload has pods to create. On a busy machine
// it may be idle for longer than stableFor before that.
func hasWork(o *unstructured.Unstructured) bool {
	if kind := o.GetKind(); kind != "Deployment" && kind != "StatefulSet" && kind != "ReplicaSet" || o.GetDeletionTimestamp() != nil {
		return false
	}
	number := func(fields ...string) int64 {
		n, _, _ := unstructured.NestedInt64(o.Object, fields...)
		return n
	}
	return number("status", "observedGeneration") != o.GetGeneration() || number("status", "readyReplicas") != number("spec", "replicas")
}

// isRootCA reports whether an object is the ConfigMap that Kubernetes adds to each namespace.
func isRootCA(o *unstructured.Unstructured) bool {
	return o.GetKind() == "ConfigMap" && o.GetName() == "kube-root-ca.crt"
}

// kinds returns the kinds of the manifest, and of the objects that its controllers create.
func (c *comparison) kinds() []string {
	kinds := []string{"Pod"}
	for _, o := range c.objects {
		kinds = append(kinds, o.GetKind())
		switch o.GetKind() {
		case "Deployment":
			kinds = append(kinds, "ReplicaSet")
		case "StatefulSet":
			kinds = append(kinds, "ControllerRevision")
		}
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

var uids = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// summary returns the line of an object in a snapshot.
func (c *comparison) summary(o *unstructured.Unstructured) string {
	e := map[string]any{
		"kind": o.GetKind(), "name": o.GetName(), "labels": c.labels(o), "finalizers": o.GetFinalizers(), "owners": ownerNames(o),
		"terminating": o.GetDeletionTimestamp() != nil, "generation": o.GetGeneration(), "annotations": o.GetAnnotations(),
	}
	if prefix := o.GetGenerateName(); prefix != "" {
		e["name"] = prefix + "*"
	}
	if o.GetKind() != "Pod" { // the names of its volumes are generated
		e["spec"], e["data"] = o.Object["spec"], o.Object["data"]
	}
	if o.GetKind() == "Service" {
		delete(o.Object["spec"].(map[string]any), "clusterIP")
		delete(o.Object["spec"].(map[string]any), "clusterIPs")
	}
	for _, field := range []string{"observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "unavailableReplicas", "currentReplicas", "active", "ready", "phase"} {
		// The status of a terminating object may lag behind its pods.
		if value, ok, _ := unstructured.NestedFieldNoCopy(o.Object, "status", field); ok && o.GetDeletionTimestamp() == nil {
			e["status."+field] = value
		}
	}
	text, err := json.Marshal(e)
	if err != nil {
		c.Fatal(err)
	}
	return uids.ReplaceAllString(string(text), "UID")
}

// labels returns the labels of an object without those that drey may add, unless the manifest
// states the same.
func (c *comparison) labels(o *unstructured.Unstructured) map[string]string {
	labels := o.GetLabels()
	maps.DeleteFunc(labels, func(key, value string) bool {
		switch key {
		case "app", "drey.dev/app", "system", "vvpNamespace", "deploymentId", "deploymentName", "jobId", "sessionClusterId", "sessionClusterName":
			return !c.stated[key+"="+value]
		case "controller-uid", "batch.kubernetes.io/controller-uid", "job-name", "batch.kubernetes.io/job-name":
			// The API server shares the label map of a Job's template with the metadata of the
			// Job until a webhook patches it, so some Jobs have these labels.
			return o.GetKind() == "Job"
		}
		return false
	})
	if len(labels) == 0 {
		return nil
	}
	return labels
}

// ownerNames lists the owner references of an object without their uids.
func ownerNames(o *unstructured.Unstructured) (all []string) {
	for _, r := range o.GetOwnerReferences() {
		all = append(all, fmt.Sprintf("%s %s %t", r.Kind, r.Name, r.Controller != nil && *r.Controller))
	}
	return all
}

// markRunning sets the status of a pending pod to running and ready.
func (s *scope) markRunning(t testing.TB, pod *unstructured.Unstructured) {
	t.Helper()
	if phase, _, _ := unstructured.NestedString(pod.Object, "status", "phase"); phase != "Pending" || pod.GetDeletionTimestamp() != nil {
		return
	}
	const status = `{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}`
	_, err := s.api.Resource(resources["Pod"]).Namespace(s.namespace).Patch(t.Context(), pod.GetName(), types.StrategicMergePatchType, []byte(status), metav1.PatchOptions{}, "status")
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
}

// apply applies an object server-side as an operator does. Its owner references get the
// current uids.
func (s *scope) apply(t testing.TB, manifest *unstructured.Unstructured) error {
	t.Helper()
	o := manifest.DeepCopy()
	refs := o.GetOwnerReferences()
	for i, r := range refs {
		owner, err := s.api.Resource(resources[r.Kind]).Namespace(s.namespace).Get(t.Context(), r.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		refs[i].UID = owner.GetUID()
	}
	o.SetOwnerReferences(refs)
	_, err := s.api.Resource(resources[o.GetKind()]).Namespace(s.namespace).Apply(t.Context(), o.GetName(), o, metav1.ApplyOptions{FieldManager: "operator", Force: true})
	return err
}

func (s *scope) patch(t testing.TB, kind, name, patch string) error {
	t.Helper()
	_, err := s.api.Resource(resources[kind]).Namespace(s.namespace).Patch(t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	return err
}

func (s *scope) delete(t testing.TB, kind, name string, policy metav1.DeletionPropagation) error {
	t.Helper()
	return s.api.Resource(resources[kind]).Namespace(s.namespace).Delete(t.Context(), name, metav1.DeleteOptions{PropagationPolicy: &policy})
}
