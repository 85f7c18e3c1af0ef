package flink

import (
	"slices"
	"strings"
)

// Relative is an owner of a workload, or an owner's owner, as somebody found it
// in the cluster.
type Relative struct {
	APIVersion, Kind, Name, UID string
	Labels, Annotations         map[string]string

	// Denied are the label keys that its selector wants absent: see [Object].
	Denied []string

	// Of a custom resource: how its cluster takes jobs, and the job that it has
	// last heard of (FlinkDeployment: status.jobStatus.jobId).
	Mode  Mode
	JobID string
}

func (r Relative) isFlink() bool { return Owner{APIVersion: r.APIVersion, Kind: r.Kind}.isFlink() }

// With adds what a workload's owners show of it: the nearest of them comes
// first, the root last. What the workload itself states comes before that.
// Unless they are complete, so that the last of them is the root for sure, the
// workload's own identity is not known: an id that turns out wrong could not be
// taken back.
func (w Workload) With(relatives []Relative, complete bool) Workload {
	if !w.Recognised() {
		return w
	}
	w.Relatives = relatives
	if !complete {
		w.Identity.ID, w.Identity.Name = "", ""
	}
	if len(relatives) == 0 {
		return w
	}
	for _, r := range relatives {
		if r.isFlink() {
			w.Signals |= FlinkOwner
		}
	}
	w.Strength = w.Signals.strength()
	if complete {
		top := rootOf(relatives)
		w.Root = Root{Kind: top.Kind, Name: top.Name, UID: top.UID}
		w.Identity.ID, w.Identity.Name = top.UID, w.clusterName()
	}
	w.learn(relatives)
	return w
}

// Denies tells whether a selector among a pod's owners wants the pod to be without a
// label.
func (w Workload) Denies(key string) bool {
	if w.Object.Kind != "Pod" {
		return false
	}
	for _, r := range w.Relatives {
		if slices.Contains(r.Denied, key) {
			return true
		}
	}
	return false
}

// learn takes over what relatives know of a cluster's mode and job. What a custom
// resource says comes before what labels say.
func (w *Workload) learn(relatives []Relative) {
	for _, r := range relatives {
		if w.Mode == UnknownMode {
			w.Mode = r.Mode
		}
		if r.JobID != "" && r.Mode != Session {
			w.Identity.JobID = jobID(r.JobID)
		}
	}
	for _, r := range relatives {
		if w.Mode == UnknownMode {
			w.Mode = statedMode(r.Labels)
		}
	}
}

// rootOf is the topmost custom resource of Flink's, or else the topmost owner: a
// custom resource may be owned in turn by what installed it.
func rootOf(relatives []Relative) Relative {
	top := relatives[len(relatives)-1]
	for _, r := range relatives {
		if r.isFlink() {
			top = r
		}
	}
	return top
}

// clusterName is what the flavour calls the cluster, or a custom resource's own
// name.
func (w Workload) clusterName() string {
	if isCustomResource(w.Root.Kind) {
		return w.Root.Name
	}
	for _, f := range flavours {
		if f.flavour == w.Flavour {
			return f.clusterName(w.Object, w.Root)
		}
	}
	return w.Root.Name
}

// ByOwner is the owner reference by which a root is found: that to a Flink custom
// resource, which does not control what it owns, over the controller's.
func ByOwner(owners []Owner) (Owner, bool) { return owner(owners) }

// DeploymentOf is the name of the Deployment of a pod's ReplicaSet. A
// ReplicaSet is <deployment>-<pod-template-hash>.
func DeploymentOf(replicaSet string, podLabels map[string]string) string {
	return deploymentOf(replicaSet, podLabels[labelPodHash])
}

// AnnotationDenied lists, with commas between, the label keys that the selector of a
// workload wants absent from its pods. Drey writes it when the workload comes: what
// drey keeps of it later is metadata, and has no selector.
const AnnotationDenied = "drey.dev/denied-labels"

// DeniedBy reads [AnnotationDenied].
func DeniedBy(annotations map[string]string) []string {
	if list := annotations[AnnotationDenied]; list != "" {
		return strings.Split(list, ",")
	}
	return nil
}
