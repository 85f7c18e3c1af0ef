package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"

	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/fixtures"
)

// life is that of the same objects on two control planes: drey is on one of them, and
// the other has never heard of it.
type life struct {
	*testing.T
	drey, alone *plane
	objects     []*unstructured.Unstructured // as in their manifest, in its order
	stated      map[string]bool              // key=value, of labels in the manifest
}

type plane struct {
	*world
	namespace string
}

func newLife(t *testing.T, manifest []byte) *life {
	t.Helper()
	w := inWorld(t)
	alone, err := withoutDrey(cluster.Shared(t))
	if err != nil {
		t.Fatal(err)
	}
	l := &life{T: t, objects: documents(t, manifest), stated: map[string]bool{}}
	l.drey, l.alone = &plane{w, w.Namespace(t)}, &plane{alone, alone.Namespace(t)}
	w.register(t, "team-a", l.drey.namespace)
	for _, o := range l.objects {
		template, _, _ := unstructured.NestedStringMap(o.Object, "spec", "template", "metadata", "labels")
		for _, labels := range []map[string]string{o.GetLabels(), template} {
			for key, value := range labels {
				l.stated[key+"="+value] = true
			}
		}
	}
	return l
}

var (
	without     world
	withoutOnce sync.Once
	errWithout  error
)

// withoutDrey makes the shared cluster, which has never heard of drey, like the shared
// world otherwise.
func withoutDrey(c *cluster.Cluster) (*world, error) {
	withoutOnce.Do(func() {
		without.Cluster = c
		without.api, errWithout = dynamic.NewForConfig(c.Config())
		errWithout = errors.Join(errWithout, fixtures.InstallCRDs(context.Background(), c))
	})
	return &without, errWithout
}

func documents(t testing.TB, manifest []byte) (all []*unstructured.Unstructured) {
	t.Helper()
	for d := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifest), 4096); ; {
		o := &unstructured.Unstructured{}
		switch err := d.Decode(&o.Object); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatal(err)
		}
		all = append(all, o)
	}
}

// step does the same on both planes, and waits until they are the same again and at
// rest.
func (l *life) step(name string, act func(*plane) error) {
	l.Helper()
	for _, p := range []*plane{l.alone, l.drey} {
		if err := act(p); err != nil {
			l.Fatalf("%s, with drey %t: %v", name, p == l.drey, err)
		}
	}
	l.settle(name)
}

// settle waits until both planes are the same and at rest.
func (l *life) settle(after string) {
	l.Helper()
	const pause, limit = 200 * time.Millisecond, 60 * time.Second // each look is a dozen requests
	before, since, began := "", time.Now(), time.Now()
	for {
		alone, busy := l.look(l.alone)
		drey, busyToo := l.look(l.drey)
		if now := strings.Join(slices.Concat(alone, drey), "\n"); now != before {
			before, since = now, time.Now()
		}
		d := difference(alone, drey)
		switch {
		case d == "" && !busy && !busyToo && time.Since(since) >= calm:
			l.Logf("%5.1fs %s", time.Since(began).Seconds(), after)
			return
		case time.Since(began) > limit && d == "":
			l.Fatalf("after %s it does not come to rest", after)
		case time.Since(began) > limit:
			l.Fatalf("after %s there is with drey (+), and without (-):\n%s", after, d)
		}
		time.Sleep(pause)
	}
}

// calm is how long nothing may happen before that counts as the end of it. A
// ReplicaSet that has lost its pod makes another within milliseconds.
const calm = 600 * time.Millisecond

func difference(alone, drey []string) string {
	count := map[string]int{}
	for _, line := range alone {
		count[line]++
	}
	for _, line := range drey {
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

// look lists what there is, a line for an object, without what must differ: names
// that are drawn by lot, uids, times, and the labels that drey adds. On the way it
// does the kubelet's work: pods run. busy says that a controller has work left.
func (l *life) look(p *plane) (lines []string, busy bool) {
	l.Helper()
	for _, kind := range l.kinds() {
		for _, o := range p.list(l, kind, p.namespace) {
			if isRootCA(&o) {
				continue
			}
			if kind == "Pod" {
				p.run(l, &o)
			}
			lines, busy = append(lines, l.essence(&o)), busy || hasWork(&o)
		}
	}
	slices.Sort(lines)
	return lines, busy
}

// hasWork tells of what makes pods whether its controller still has some to make: on a
// busy machine that may take it longer than calm.
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

// isRootCA tells what Kubernetes itself puts into every namespace.
func isRootCA(o *unstructured.Unstructured) bool {
	return o.GetKind() == "ConfigMap" && o.GetName() == "kube-root-ca.crt"
}

// kinds are those of the manifest, and those that follow from them.
func (l *life) kinds() []string {
	kinds := []string{"Pod"}
	for _, o := range l.objects {
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

func (l *life) essence(o *unstructured.Unstructured) string {
	e := map[string]any{
		"kind": o.GetKind(), "name": o.GetName(), "labels": l.labels(o), "finalizers": o.GetFinalizers(), "owners": ownersOf(o),
		"ending": o.GetDeletionTimestamp() != nil, "generation": o.GetGeneration(), "annotations": o.GetAnnotations(),
	}
	if made := o.GetGenerateName(); made != "" {
		e["name"] = made + "*"
	}
	if o.GetKind() != "Pod" { // its volumes have names that are drawn by lot
		e["spec"], e["data"] = o.Object["spec"], o.Object["data"]
	}
	if o.GetKind() == "Service" {
		delete(o.Object["spec"].(map[string]any), "clusterIP")
		delete(o.Object["spec"].(map[string]any), "clusterIPs")
	}
	for _, field := range []string{"observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "unavailableReplicas", "currentReplicas", "active", "ready", "phase"} {
		// What is being deleted loses its pods while its controller still counts them, or not.
		if value, ok, _ := unstructured.NestedFieldNoCopy(o.Object, "status", field); ok && o.GetDeletionTimestamp() == nil {
			e["status."+field] = value
		}
	}
	text, err := json.Marshal(e)
	if err != nil {
		l.Fatal(err)
	}
	return uids.ReplaceAllString(string(text), "UID")
}

// labels leaves away what drey may add, unless the manifest states the same.
func (l *life) labels(o *unstructured.Unstructured) map[string]string {
	labels := o.GetLabels()
	maps.DeleteFunc(labels, func(key, value string) bool {
		switch key {
		case "app", "drey.dev/app", "system", "vvpNamespace", "deploymentId", "deploymentName", "jobId", "sessionClusterId", "sessionClusterName":
			return !l.stated[key+"="+value]
		case "controller-uid", "batch.kubernetes.io/controller-uid", "job-name", "batch.kubernetes.io/job-name":
			// The API server shares the map of a Job's template with its metadata until
			// a webhook has patched it, so these are on the metadata of some Jobs.
			return o.GetKind() == "Job"
		}
		return false
	})
	if len(labels) == 0 {
		return nil
	}
	return labels
}

func ownersOf(o *unstructured.Unstructured) (all []string) {
	for _, r := range o.GetOwnerReferences() {
		all = append(all, fmt.Sprintf("%s %s %t", r.Kind, r.Name, r.Controller != nil && *r.Controller))
	}
	return all
}

// run says of a pod that it runs and is ready.
func (p *plane) run(t testing.TB, pod *unstructured.Unstructured) {
	t.Helper()
	if phase, _, _ := unstructured.NestedString(pod.Object, "status", "phase"); phase != "Pending" || pod.GetDeletionTimestamp() != nil {
		return
	}
	const status = `{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}`
	_, err := p.api.Resource(resources["Pod"]).Namespace(p.namespace).Patch(t.Context(), pod.GetName(), types.StrategicMergePatchType, []byte(status), metav1.PatchOptions{}, "status")
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
}

// apply brings an object to what its manifest says, as an operator does: its owner is
// the one that there is now.
func (p *plane) apply(t testing.TB, manifest *unstructured.Unstructured) error {
	t.Helper()
	o := manifest.DeepCopy()
	refs := o.GetOwnerReferences()
	for i, r := range refs {
		owner, err := p.api.Resource(resources[r.Kind]).Namespace(p.namespace).Get(t.Context(), r.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		refs[i].UID = owner.GetUID()
	}
	o.SetOwnerReferences(refs)
	_, err := p.api.Resource(resources[o.GetKind()]).Namespace(p.namespace).Apply(t.Context(), o.GetName(), o, metav1.ApplyOptions{FieldManager: "operator", Force: true})
	return err
}

func (p *plane) patch(t testing.TB, kind, name, patch string) error {
	t.Helper()
	_, err := p.api.Resource(resources[kind]).Namespace(p.namespace).Patch(t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	return err
}

func (p *plane) delete(t testing.TB, kind, name string, how metav1.DeletionPropagation) error {
	t.Helper()
	return p.api.Resource(resources[kind]).Namespace(p.namespace).Delete(t.Context(), name, metav1.DeleteOptions{PropagationPolicy: &how})
}
