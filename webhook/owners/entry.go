package owners

import (
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/runstate"
)

// entry is the cached part of an owner, some hundred bytes.
type entry struct {
	metav1.ObjectMeta // with identity labels and annotations only

	kind           kind
	mode           flink.Mode
	jobID          string
	podLabelFields []flink.LabelField // of a custom resource, mostly none
	run            runstate.Run       // of an entry that was read whole, see [Owners.Runs]
}

// matches reports whether the entry has a UID. An empty uid is unknown, and matches all.
func (e *entry) matches(uid string) bool { return uid == "" || string(e.UID) == uid }

func (e *entry) owner() flink.Owner {
	return flink.Owner{
		APIVersion: e.kind.apiVersion(), Kind: e.kind.Kind, Name: e.Name, UID: string(e.UID),
		Labels: e.Labels, Annotations: e.Annotations, Mode: e.mode, JobID: e.jobID, PodLabelFields: e.podLabelFields,
	}
}

// cluster returns the Flink cluster whose JobManager the entry creates. ok is false if the
// entry has an owner: that identifies the cluster then.
func (e *entry) cluster() (c flink.Cluster, name string, ok bool) {
	if e.kind.custom || len(e.OwnerReferences) > 0 {
		return c, "", false
	}
	return flink.ClusterFromLabels(e.Name, string(e.UID), e.Labels)
}

func (e *entry) ownerReferences() []flink.OwnerReference {
	refs := make([]flink.OwnerReference, len(e.OwnerReferences))
	for i, r := range e.OwnerReferences {
		refs[i] = flink.OwnerReference{APIVersion: r.APIVersion, Kind: r.Kind, Name: r.Name, UID: string(r.UID), Controller: r.Controller != nil && *r.Controller}
	}
	return refs
}

// mayBeStale reports whether the cached status of a custom resource may lack the job id of a
// pod: the operator writes it milliseconds before it creates the Deployment below. A native
// TaskManager, which that Deployment controls itself, comes seconds after its JobManager.
func (e *entry) mayBeStale(pod *flink.Object, below *entry, now time.Time) bool {
	if !e.kind.custom || e.mode != flink.Application || pod.Kind != "Pod" || below == nil || below.kind.custom {
		return false
	}
	for _, ref := range pod.OwnerReferences {
		if ref.UID == string(below.UID) {
			return false
		}
	}
	return now.Sub(below.CreationTimestamp.Time) < maxPropagation
}

// maxPropagation bounds the delay of watch events, clock skew included.
const maxPropagation = time.Minute

func newEntry(k kind, m metav1.Object) *entry {
	return &entry{kind: k, ObjectMeta: metav1.ObjectMeta{
		Namespace: m.GetNamespace(), Name: m.GetName(), UID: m.GetUID(), ResourceVersion: m.GetResourceVersion(),
		CreationTimestamp: m.GetCreationTimestamp(), OwnerReferences: m.GetOwnerReferences(),
		Labels: identityOnly(m.GetLabels()), Annotations: identityOnly(m.GetAnnotations()),
	}}
}

// newWholeEntry returns the entry of an object that was read whole.
func newWholeEntry(k kind, u *unstructured.Unstructured) *entry {
	if k.custom {
		return newCustomEntry(k, u)
	}
	e := newEntry(k, u)
	e.run, _ = runstate.Of(u)
	return e
}

// trimBuiltIn removes from a Deployment, StatefulSet or Job what its entry does not need.
func trimBuiltIn(u *unstructured.Unstructured) {
	trimCustom(u)
	unstructured.RemoveNestedField(u.Object, "spec", "template", "spec")
}

// trimCustom removes from a Flink custom resource what its entry does not need.
func trimCustom(u *unstructured.Unstructured) {
	u.SetManagedFields(nil)
	u.SetAnnotations(identityOnly(u.GetAnnotations()))
}

// newCustomEntry returns the entry of a Flink custom resource, with its mode, its job id and
// the identity labels that it sets on its pods.
func newCustomEntry(k kind, u *unstructured.Unstructured) *entry {
	e := newEntry(k, u)
	e.run, _ = runstate.Of(u)
	job, _, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", "job")
	templateJob, _, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", "template", "spec", "job")
	e.mode = flink.ModeOf(k.Kind, job != nil || templateJob != nil)
	e.podLabelFields = flink.PodLabelFields(k.Kind, u.Object)
	for _, path := range jobIDPaths {
		if id, ok, _ := unstructured.NestedString(u.Object, path...); ok && id != "" {
			e.jobID = id
			break
		}
	}
	return e
}

// jobIDPaths are the status fields with the job id: of Flink's operator, lyft's and spotify's.
var jobIDPaths = [][]string{
	{"status", "jobStatus", "jobId"},
	{"status", "jobStatus", "jobID"},
	{"status", "components", "job", "id"},
}

// identityOnly returns the labels or annotations that identify a workload.
func identityOnly(all map[string]string) map[string]string {
	var identity map[string]string
	for key, value := range all {
		if !strings.HasPrefix(key, "drey.dev/") && !identityKeys[key] {
			continue
		}
		if identity == nil {
			identity = make(map[string]string)
		}
		identity[key] = value
	}
	return identity
}

var identityKeys = map[string]bool{
	flink.LabelApp: true, flink.LabelSystem: true, flink.LabelPlatformNamespace: true, flink.LabelDeploymentID: true, flink.LabelDeploymentName: true,
	flink.LabelSessionClusterID: true, flink.LabelSessionClusterName: true,
}
