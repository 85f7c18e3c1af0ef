package flink

import (
	"slices"
	"strings"
)

// Owner is an owner of a workload, or an owner's owner, as somebody found it
// in the cluster.
type Owner struct {
	APIVersion, Kind, Name, UID string
	Labels, Annotations         map[string]string

	// Unresolved says that this is what an owner reference states, and that no object
	// with this uid was found: it is gone, or drey has no right to read it.
	Unresolved bool

	// LookupFailed says likewise that the API server did not answer in time.
	LookupFailed bool

	// TemplateNotFlink says that its own pod template was read, and shows nothing of Flink's.
	TemplateNotFlink bool

	// Of the nearest relative of a pod: the label keys that the selector of the
	// pod's controller wants absent, or without some values. A pod that gets one may
	// fall out of the hands of its controller, which makes another, and so on.
	// SelectorUnknown says that the selector could not be read: it may want anything.
	ExcludedKeys    []string
	SelectorUnknown bool

	// Of a custom resource: how its cluster takes jobs, the job that it has last heard of
	// (FlinkDeployment: status.jobStatus.jobId), and where it states labels of its pods.
	Mode           Mode
	JobID          string
	PodLabelFields []LabelField
}

// CreatesFlinkPods tells whether this may be what drey labels and Kubernetes or an operator
// makes Flink's pods of: it is of such a kind, exists, and its template is not known to
// be of something else.
func (r Owner) CreatesFlinkPods() bool {
	if r.Unresolved || r.TemplateNotFlink {
		return false
	}
	return r.isFlink() || isDeployment(r.APIVersion, r.Kind) || r.Kind == "StatefulSet" && r.group() == "apps" || r.Kind == "Job" && r.group() == "batch"
}

// HasPodTemplate tells whether its own pod template shows if it is Flink's: of a custom
// resource its kind does.
func (r Owner) HasPodTemplate() bool { return !r.isFlink() }

func (r Owner) group() string {
	group, _, _ := strings.Cut(r.APIVersion, "/")
	return group
}

func (r Owner) isFlink() bool {
	return OwnerReference{APIVersion: r.APIVersion, Kind: r.Kind}.isFlink()
}

// With adds what a workload's owners show of it: the nearest of them comes
// first, the root last. What the workload itself states comes before that.
// Unless they are complete, so that the last of them is the root for sure, the
// workload's own identity is not known: an id that turns out wrong could not be
// taken back.
func (w Workload) WithOwners(relatives []Owner, complete bool) Workload {
	if !w.Recognized() {
		return w
	}
	w.Owners = relatives
	if !complete {
		w.Identity.ID, w.Identity.Name = "", ""
	}
	if len(relatives) == 0 {
		return w
	}
	w.MadeByJobManager = w.MadeByJobManager && relatives[0].CreatesFlinkPods()
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
		if w.IsSeparateTaskManager() {
			w.Identity.ID = ""
		}
	}
	w.learn(relatives)
	return w
}

// Denies tells whether a pod may fall out of its controller's selector if it gets a
// label.
func (w Workload) ExcludesLabel(key string) bool {
	if w.Object.Kind != "Pod" || len(w.Owners) == 0 {
		return false
	}
	nearest := w.Owners[0]
	return nearest.SelectorUnknown || slices.Contains(nearest.ExcludedKeys, key)
}

// learn takes over the mode and the job of a cluster from its relatives. The mode of a
// custom resource comes before the process's, for spotify's operator submits the job of
// an application to a JobManager that is started like a session's, and before labels.
// The job's id on the process's own command line comes before both: right after an
// upgrade the status still has the previous job.
func (w *Workload) learn(relatives []Owner) {
	for _, r := range relatives {
		if r.Mode != UnknownMode {
			w.Mode, w.ModeFromSpec = r.Mode, true
		}
		if r.JobID != "" && r.Mode != Session && !w.startedWithJob {
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
func rootOf(relatives []Owner) Owner {
	top := relatives[len(relatives)-1]
	for _, r := range relatives {
		if r.isFlink() {
			top = r
		}
	}
	return top
}

// clusterName is what the flavor calls the cluster, or a custom resource's own
// name.
func (w Workload) clusterName() string {
	if isCustomResource(w.Root.Kind) {
		return w.Root.Name
	}
	for _, f := range flavors {
		if f.flavor == w.Flavor {
			return f.clusterName(w, w.Root)
		}
	}
	return w.Root.Name
}

// PreferredOwner is the owner reference by which a root is found: that to a Flink custom
// resource, which does not control what it owns, over the controller's.
func PreferredOwner(owners []OwnerReference) (OwnerReference, bool) { return owner(owners) }

// DeploymentOf is the name of the Deployment of a pod's ReplicaSet, which is called
// <deployment>-<pod-template-hash>. ok is false for one that no Deployment has made.
func DeploymentOf(replicaSet string, podLabels map[string]string) (name string, ok bool) {
	hash := podLabels[labelPodHash]
	if hash == "" {
		return "", false
	}
	name, ok = strings.CutSuffix(replicaSet, "-"+hash)
	return name, ok && name != ""
}
