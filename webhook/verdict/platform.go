package verdict

import (
	"slices"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/flink"
)

// platformNamespace says to which platform namespace a workload belongs: the
// one that it states, if that has a target here; else the only one that has.
// Empty if there is none, or if nothing says which; then candidates are those
// that have a target here.
func platformNamespace(w flink.Workload, targets []registry.Target) (name string, candidates []string) {
	stated := w.Object.Pod.Labels[LabelPlatformNamespace]
	for _, t := range targets {
		if t.PlatformNamespace == stated {
			return stated, nil
		}
		if !slices.Contains(candidates, t.PlatformNamespace) {
			candidates = append(candidates, t.PlatformNamespace)
		}
	}
	if len(candidates) == 1 {
		return candidates[0], nil
	}
	return "", candidates
}
