// Package verdict decides: from what is known of a workload and of the targets
// of its namespace follows whether it may run, and with which labels. It is
// one pure function that webhooks, repair and the command line all ask.
package verdict

import (
	"fmt"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/flink"
)

// Known is what is known beside the workload itself: the registry, and what
// runs in the cluster. All methods answer from memory.
type Known interface {
	// Targets are those of a Kubernetes namespace. The list is not changed.
	Targets(namespace string) []registry.Target

	// ByID returns the registered Deployment or SessionCluster with an id.
	ByID(id string) (registry.Registered, bool)

	// Linked returns the registered object of which a workload in a Kubernetes
	// namespace is a run: the one whose id or name is stated or, if nothing is,
	// the one with its name.
	Linked(kind registry.Kind, platformNamespace, kubernetesNamespace, stated, name string) (registry.Registered, bool)

	// HadTarget tells whether drey has recorded that a Kubernetes namespace has, or had, a
	// target.
	HadTarget(namespace string) bool

	// Live tells whether an id is the uid of a Flink workload in the cluster.
	Live(id string) bool

	// Cluster returns the cluster with a name, as a label has it, that runs in a
	// namespace: the workload of its JobManager shows it.
	Cluster(namespace, name string) (flink.Cluster, bool)
}

// Verdict is the answer on one workload.
type Verdict struct {
	Allowed bool
	Reason  Reason

	// Add are the labels that the workload lacks, in the order of the
	// vocabulary. Those that it has are never among them.
	Add []Label

	// Kept are the labels that the workload has with another value than drey
	// would have given. They may be selectors: they stay.
	Kept []Label

	// Wrong are labels of the other mode on a pod whose process shows its own: those of a
	// session cluster on a pod of an application, and the reverse. Nothing selects on
	// them; an earlier version may have set them.
	Wrong []Label

	workload    flink.Workload
	platform    platform
	owner       map[string]string    // the labels of an owner that was admitted
	unlinked    string               // a link that it states and that leads nowhere
	conflict    Label                // with which it claims what is another's
	stray       []flink.LabelField   // where it states that, or the like
	ownersStray [][]flink.LabelField // likewise its relatives, each
	was         []Label              // that an update would change or remove
	isUpdate    bool                 // by which the conflict would come
	registered  registry.Registered
}

// Label is a label and its value.
type Label struct {
	Key, Value string
	Source     Source // where the value comes from
}

// Decide decides on a workload that is about to be. Each rule has a file of its
// own.
func Decide(w flink.Workload, known Known) Verdict {
	v := Verdict{Allowed: true, workload: w}
	switch {
	case w.Strength == flink.None:
		v.Reason = NotFlink
		return v.decideStated(nil, known)
	case !w.Recognized():
		v.Reason = InsufficientSignal
		return v.decideStated(nil, known)
	}
	targets := known.Targets(w.Object.Namespace)
	owner := admittedOwner(w, known)
	v.owner = owner
	v.platform = platformNamespace(w, owner, targets, known)
	switch {
	case v.platform.hasTarget:
		v.Reason = HasTarget
	case owner != nil && v.platform.stated == "", w.MadeByJobManager:
		v.Reason = RunningJob
	case len(targets) == 0:
		return v.deny(NoDeploymentTarget)
	case v.platform.stated != "":
		return v.denyConflict(Label{Key: LabelPlatformNamespace, Value: v.platform.stated}, owner, known)
	default:
		return v.deny(AmbiguousTarget)
	}
	v.join(known)
	w = v.workload
	v.link(known)
	if v.Reason == HasTarget {
		if l, stray := strayPlatform(w, v.platform, owner); stray {
			return v.denyConflict(l, owner, known)
		}
	}
	if v.Reason == HasTarget || w.MadeByJobManager && owner == nil {
		if l, claimed := claim(w, v.registered.ID, known); claimed {
			return v.denyConflict(l, owner, known)
		}
	}
	if isAnothers(w, w.Identity.ID, v.registered.ID, known) { // its owner was not found with this uid
		v.workload.Identity.ID = ""
	}
	v.label(owner)
	return v
}

func (v Verdict) deny(reason Reason) Verdict {
	v.Allowed, v.Reason = false, reason
	return v
}

// Object is what was decided on.
func (v Verdict) Object() *flink.Object { return v.workload.Object }

// Workload is what was recognized.
func (v Verdict) Workload() flink.Workload { return v.workload }

// Root is the topmost owner of it that is known.
func (v Verdict) Root() flink.Root { return v.workload.Root }

// Warning tells the person who made the workload what is not as they may think,
// though nothing is refused. Empty if there is nothing.
func (v Verdict) Warning() string {
	if !v.Allowed || v.unlinked == "" {
		return ""
	}
	return fmt.Sprintf("%s says %q, and no such object is registered in platform namespace %q for namespace %q: it is labeled by its own name and id",
		linkKey(v.workload.Mode), v.unlinked, v.platform.name, v.workload.Object.Namespace)
}
