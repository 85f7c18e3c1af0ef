// Package flink recognizes Flink workloads among Kubernetes objects, and names
// their flavor, mode and identity. It does so from the objects it is given:
// it asks nobody.
package flink

import (
	"cmp"
	"encoding/hex"
	"strings"
)

// Workload is what recognition makes of an object. Strength None or Weak means
// that it is not to be treated as Flink's; then only Signals is of interest.
type Workload struct {
	Object   *Object
	Flavor   Flavor
	Mode     Mode
	Role     Role
	Strength Strength
	Signals  Signals
	Root     Root
	Identity Identity

	// Owners are its owners as far as they are known, nearest first.
	Owners []Owner

	// ModeFromSpec says that the process or a custom resource shows the mode, and not labels
	// alone, which an earlier version may have got wrong.
	ModeFromSpec bool

	clusterID string // kubernetes.cluster-id, where a process states it

	// MadeByJobManager marks the TaskManager pod that a running JobManager made for itself:
	// as far as its owner is known, that is a Deployment of Flink's. Refusing it would put
	// its job into a restart loop.
	MadeByJobManager bool

	startedWithJob bool // Identity.JobID is of the process's own command line
}

// Identity is who a workload is. What the objects do not show is empty.
type Identity struct {
	ID    string // the root's uid
	Name  string // the root custom resource's name, the cluster id, or the root's name; any text
	JobID string // a UUID with hyphens, or what stands there if it is no hex
}

// Recognized says that the signals are enough to act on.
func (w Workload) Recognized() bool { return w.Strength >= Medium }

// Recognize looks at one object.
func Recognize(o *Object) Workload {
	if _, mirror := o.Annotations[annotationMirror]; mirror && o.Kind == "Pod" { // the kubelet's: nothing could change it
		return Workload{Object: o}
	}
	e := gather(o)
	if o.Pod.Labels[labelName] == nameOperator && !e.signals.some(processSignals) { // it carries "flink" everywhere
		return Workload{Object: o}
	}
	w := Workload{Object: o, Signals: e.signals, Strength: e.signals.strength()}
	if !w.Recognized() {
		return w
	}
	w.Mode, w.Role, w.Root = e.mode, e.role, root(o)
	w.Identity = Identity{ID: w.Root.UID, JobID: jobID(cmp.Or(e.jobID, e.jobLabel))}
	w.clusterID, w.ModeFromSpec = e.clusterID, e.shown
	w.startedWithJob = e.jobID != ""
	for _, f := range flavors {
		if f.is(o, e) {
			w.Flavor = f.flavor
			break
		}
	}
	w.Identity.Name = w.clusterName()
	if w.IsSeparateTaskManager() {
		w.Identity.ID = ""
	}
	w.MadeByJobManager = madeByJobManager(&w)
	return w
}

// flavors in the order in which they are asked: the surest first. Each is a
// file of its own.
var flavors = []struct {
	flavor      Flavor
	is          func(*Object, evidence) bool
	clusterName func(Workload, Root) string
}{
	{Native, isNative, nativeName},
	{Standalone, isStandalone, standaloneName},
	{Lyft, isLyft, lyftName},
	{Statefun, isStatefun, statefunName},
	{Docs, isDocs, docsName},
	{Ververica, isVerverica, rootName},
	{Other, func(*Object, evidence) bool { return true }, rootName},
}

func rootName(_ Workload, root Root) string { return root.Name }

func isCustomResource(kind string) bool {
	_, ok := customResources[kind]
	return ok
}

// jobID writes a Flink job id the way Ververica Platform does: 32 hex digits
// become a UUID with hyphens.
func jobID(s string) string {
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != 16 {
		return s
	}
	s = strings.ToLower(s)
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
