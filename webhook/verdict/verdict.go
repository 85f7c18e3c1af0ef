// Package verdict decides: from what is known of a workload and of the targets
// of its namespace follows whether it may run, and with which labels. It is
// one pure function that webhooks, repair and the command line all ask.
package verdict

import (
	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/flink"
)

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

	// platformNamespaces that have a target in the workload's namespace, for
	// the message of an AmbiguousTarget.
	candidates []string
	workload   flink.Workload
}

// Label is a label and its value.
type Label struct{ Key, Value string }

// Decide decides on one workload, given the targets of its Kubernetes
// namespace. Each rule has a file of its own.
func Decide(w flink.Workload, targets []registry.Target) Verdict {
	v := Verdict{Allowed: true, workload: w}
	switch {
	case w.Strength == flink.None:
		v.Reason = NotFlink
		return v
	case !w.Recognised():
		v.Reason = WeakSignal
		return v
	}
	platform, candidates := platformNamespace(w, targets)
	switch {
	case len(targets) == 0 && w.MadeByJobManager, platform == "" && w.MadeByJobManager:
		v.Reason = RunningJob
	case len(targets) == 0:
		return v.deny(NoDeploymentTarget)
	case platform == "":
		v.candidates = candidates
		return v.deny(AmbiguousTarget)
	default:
		v.Reason = HasTarget
	}
	v.label(w, platform)
	return v
}

func (v Verdict) deny(reason Reason) Verdict {
	v.Allowed, v.Reason = false, reason
	return v
}
