package owners

import (
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"drey.dev/drey/webhook/flink"
)

// kept is what stays in memory of an owner: some hundred bytes.
type kept struct {
	metav1.ObjectMeta // as far as it matters

	kind   kind
	mode   flink.Mode
	jobID  string
	stated []flink.LabelField // labels of its pods, by which they would be others'; mostly none
}

// is tells whether it has a uid, where one is known.
func (k *kept) is(uid string) bool { return uid == "" || string(k.UID) == uid }

func (k *kept) relative() flink.Owner {
	return flink.Owner{
		APIVersion: k.kind.apiVersion(), Kind: k.kind.Kind, Name: k.Name, UID: string(k.UID),
		Labels: k.Labels, Annotations: k.Annotations, Mode: k.mode, JobID: k.jobID, PodLabelFields: k.stated,
	}
}

// cluster is that whose JobManager this makes. Where something else is the root, the
// root identifies all of the cluster.
func (k *kept) cluster() (c flink.Cluster, name string, ok bool) {
	if k.kind.custom || len(k.OwnerReferences) > 0 {
		return c, "", false
	}
	return flink.ClusterFromLabels(k.Name, string(k.UID), k.Labels)
}

func (k *kept) owners() []flink.OwnerReference {
	owners := make([]flink.OwnerReference, len(k.OwnerReferences))
	for i, r := range k.OwnerReferences {
		owners[i] = flink.OwnerReference{APIVersion: r.APIVersion, Kind: r.Kind, Name: r.Name, UID: string(r.UID), Controller: r.Controller != nil && *r.Controller}
	}
	return owners
}

// mayLag tells whether what is kept of a custom resource may be older than the pod
// whose owner it is. The operator writes the id of a new job into the status
// milliseconds before it makes the Deployment below; an hour later everybody has
// heard of it. A native TaskManager, which that Deployment itself controls, comes
// seconds after its JobManager.
func (k *kept) mayLag(pod *flink.Object, below *kept, now time.Time) bool {
	if !k.kind.custom || k.mode != flink.Application || pod.Kind != "Pod" || below == nil || below.kind.custom {
		return false
	}
	for _, ref := range pod.OwnerReferences {
		if ref.UID == string(below.UID) {
			return false
		}
	}
	return now.Sub(below.CreationTimestamp.Time) < heard
}

// heard is how long news may take to be everywhere, clocks that differ included.
const heard = time.Minute

// keepMetadata keeps what admission reads of an owner's metadata.
func keepMetadata(k kind, m metav1.Object) *kept {
	return &kept{kind: k, ObjectMeta: metav1.ObjectMeta{
		Namespace: m.GetNamespace(), Name: m.GetName(), UID: m.GetUID(), ResourceVersion: m.GetResourceVersion(),
		CreationTimestamp: m.GetCreationTimestamp(), OwnerReferences: m.GetOwnerReferences(),
		Labels: ours(m.GetLabels()), Annotations: ours(m.GetAnnotations()),
	}}
}

// keepCustom keeps, beside that, the mode and the job of a custom resource, and where it
// states whose its pods are.
func keepCustom(k kind, u *unstructured.Unstructured) *kept {
	c := keepMetadata(k, u)
	job, _, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", "job")
	inTemplate, _, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", "template", "spec", "job")
	c.mode = flink.ModeOf(k.Kind, job != nil || inTemplate != nil)
	c.stated = flink.PodLabelFields(k.Kind, u.Object)
	for _, path := range jobIDs {
		if id, ok, _ := unstructured.NestedString(u.Object, path...); ok && id != "" {
			c.jobID = id
			break
		}
	}
	return c
}

// jobIDs are where custom resources tell their job: Flink's, lyft's and spotify's.
var jobIDs = [][]string{
	{"status", "jobStatus", "jobId"},
	{"status", "jobStatus", "jobID"},
	{"status", "components", "job", "id"},
}

// ours are the labels and annotations that say who a workload is.
func ours(all map[string]string) map[string]string {
	var few map[string]string
	for key, value := range all {
		if !strings.HasPrefix(key, "drey.dev/") && !identity[key] {
			continue
		}
		if few == nil {
			few = make(map[string]string)
		}
		few[key] = value
	}
	return few
}

var identity = map[string]bool{
	"app": true, "system": true, "vvpNamespace": true, "deploymentId": true, "deploymentName": true,
	"sessionClusterId": true, "sessionClusterName": true,
}
