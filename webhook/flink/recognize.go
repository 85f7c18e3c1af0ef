// Package flink recognizes Flink workloads among Kubernetes objects, and derives their
// flavor, mode and identity. It is pure: it reads only the objects that it is given.
package flink

import (
	"cmp"
	"encoding/hex"
	"strings"
)

// Workload is the result of recognition. With the strength None or Weak it is not a Flink
// workload, and only Object and Signals are set.
type Workload struct {
	Object   *Object
	Flavor   Flavor
	Mode     Mode
	Role     Role
	Strength Strength
	Signals  Signals
	Root     Root
	Identity Identity

	// Owners are the resolved owners, nearest first: see [Workload.WithOwners].
	Owners []Owner

	// ModeFromSpec reports that the mode is that of the process or of a custom resource, and
	// not of labels alone, which may be wrong.
	ModeFromSpec bool

	// MadeByJobManager reports a TaskManager pod that a native JobManager has created for
	// itself; its owner is a Deployment. Denying it would restart its job in a loop.
	MadeByJobManager bool

	clusterID     string // kubernetes.cluster-id of the command line
	jobIDFromArgs bool   // Identity.JobID is that of the command line
}

// Identity identifies the cluster and the job of a workload. Unknown fields are empty.
type Identity struct {
	ID    string // the UID of the root
	Name  string // the name of the root custom resource, the cluster id, or the name of the root; any text
	JobID string // a UUID with hyphens, or the text as it is if it is not 32 hex digits
}

// Recognized reports whether the signals are strong enough to treat the workload as Flink.
func (w Workload) Recognized() bool { return w.Strength >= Medium }

// Recognize returns the workload of an object.
func Recognize(o *Object) Workload {
	if _, mirror := o.Annotations[annotationMirror]; mirror && o.Kind == "Pod" { // a static pod of the kubelet is immutable
		return Workload{Object: o}
	}
	e := gather(o)
	if o.Pod.Labels[LabelName] == NameOperator && !e.signals.hasAny(processSignals) { // the operator has "flink" in all its names
		return Workload{Object: o}
	}
	w := Workload{Object: o, Signals: e.signals, Strength: e.signals.strength()}
	if !w.Recognized() {
		return w
	}
	w.Mode, w.Role, w.Root = e.mode, e.role, rootOf(o)
	w.Identity = Identity{ID: w.Root.UID, JobID: JobID(cmp.Or(e.jobID, e.jobIDLabel))}
	w.clusterID, w.ModeFromSpec = e.clusterID, e.modeFromSpec
	w.jobIDFromArgs = e.jobID != ""
	for _, f := range flavors {
		if f.matches(o, e) {
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

// flavors are tried in order, the most specific first. Each has its own file.
var flavors = []struct {
	flavor      Flavor
	matches     func(*Object, evidence) bool
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

// JobID returns a Flink job id in the form of Ververica Platform: 32 hex digits become a UUID
// with hyphens, other text stays.
func JobID(s string) string {
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != 16 {
		return s
	}
	s = strings.ToLower(s)
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
