package flink

import "slices"

// Owner is an owner of a workload, or of an owner, as read from the cluster.
type Owner struct {
	APIVersion, Kind, Name, UID string
	Labels, Annotations         map[string]string

	// Unresolved reports that no object with this UID was found: it does not exist, or drey
	// may not read it. The fields are those of the owner reference.
	Unresolved bool

	// LookupFailed reports that the API server did not answer in time. The fields are those
	// of the owner reference.
	LookupFailed bool

	// TemplateNotFlink reports that its pod template was read and is not Flink's.
	TemplateNotFlink bool

	// ExcludedKeys are the label keys that the selector of a pod's controller requires to be
	// absent, or not to have some values; only on the nearest owner of a pod. A pod that gets
	// one is released by its controller, which then creates another pod. SelectorUnknown
	// reports that the selector could not be read.
	ExcludedKeys    []string
	SelectorUnknown bool

	// Of a custom resource: the mode of its cluster, the job id in its status
	// (FlinkDeployment: status.jobStatus.jobId), and the identity labels that it sets on its
	// pods.
	Mode           Mode
	JobID          string
	PodLabelFields []LabelField
}

// CreatesFlinkPods reports whether the owner may create Flink pods: it exists, is a Flink
// custom resource or a controller that drey labels, and its template is not known to be
// another workload's.
func (o Owner) CreatesFlinkPods() bool {
	if o.Unresolved || o.TemplateNotFlink {
		return false
	}
	ref := o.reference()
	return ref.isFlinkResource() || ref.makesPods() && o.Kind != "CronJob"
}

// HasPodTemplate reports whether its pod template decides if the owner is Flink's; of a Flink
// custom resource, the kind does.
func (o Owner) HasPodTemplate() bool { return !o.isFlinkResource() }

func (o Owner) isFlinkResource() bool { return o.reference().isFlinkResource() }

func (o Owner) reference() OwnerReference {
	return OwnerReference{APIVersion: o.APIVersion, Kind: o.Kind}
}

// WithOwners returns the workload completed by its owners, nearest first. Fields that the
// workload itself shows stay. complete reports that the last owner is the root; without it the
// identity is left out, because a wrong id would be immutable.
func (w Workload) WithOwners(owners []Owner, complete bool) Workload {
	if !w.Recognized() {
		return w
	}
	w.Owners = owners
	if !complete {
		w.Identity.ID, w.Identity.Name = "", ""
	}
	if len(owners) == 0 {
		return w
	}
	w.MadeByJobManager = w.MadeByJobManager && owners[0].CreatesFlinkPods()
	for _, o := range owners {
		if o.isFlinkResource() {
			w.Signals |= FlinkOwner
		}
	}
	w.Strength = w.Signals.strength()
	if complete {
		top := rootOwner(owners)
		w.Root = Root{Kind: top.Kind, Name: top.Name, UID: top.UID}
		w.Identity.ID, w.Identity.Name = top.UID, w.clusterName()
		if w.IsSeparateTaskManager() {
			w.Identity.ID = ""
		}
	}
	w.setModeAndJob(owners)
	return w
}

// ExcludesLabel reports whether the controller of a pod may release it once it gets a label.
func (w Workload) ExcludesLabel(key string) bool {
	if w.Object.Kind != "Pod" || len(w.Owners) == 0 {
		return false
	}
	nearest := w.Owners[0]
	return nearest.SelectorUnknown || slices.Contains(nearest.ExcludedKeys, key)
}

// setModeAndJob sets the mode and the job id from the owners. The mode of a custom resource
// overrides that of the process: spotify's operator submits the job of an application to a
// session JobManager. The job id of the command line stays: right after an upgrade the status
// has the previous job.
func (w *Workload) setModeAndJob(owners []Owner) {
	for _, o := range owners {
		if o.Mode != UnknownMode {
			w.Mode, w.ModeFromSpec = o.Mode, true
		}
		if o.JobID != "" && o.Mode != Session && !w.jobIDFromArgs {
			w.Identity.JobID = JobID(o.JobID)
		}
	}
	for _, o := range owners {
		if w.Mode == UnknownMode {
			w.Mode = modeFromLabels(o.Labels)
		}
	}
}
