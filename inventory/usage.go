package inventory

import (
	"cmp"
	"fmt"
	"slices"
)

// GroupBy is what [Inventory.Usage] sums up.
type GroupBy string

// The groups. Targets and Deployments are grouped within their platform namespace.
const (
	ByPlatformNamespace GroupBy = "platformNamespace"
	ByTarget            GroupBy = "target"
	ByDeployment        GroupBy = "deployment" // and by SessionCluster
)

// Total is the sum of a group of workloads.
type Total struct {
	PlatformNamespace string `json:"platformNamespace"`
	Target            string `json:"target,omitempty"` // of ByTarget and ByDeployment
	Kind              string `json:"kind,omitempty"`   // of ByDeployment
	Name              string `json:"name,omitempty"`   // of ByDeployment

	Workloads int        `json:"workloads"`
	Pods      int        `json:"pods"`
	PodsReady int        `json:"podsReady"`
	Requests  Resources  `json:"requests"`
	Use       *Resources `json:"use,omitempty"` // nil without metrics.k8s.io
}

// Add adds a workload to the sum.
func (t *Total) Add(w *Workload) {
	t.Workloads++
	t.Pods += w.Pods
	t.PodsReady += w.PodsReady
	t.Requests = t.Requests.Plus(w.Requests)
	switch {
	case w.Use == nil:
	case t.Use == nil:
		use := *w.Use
		t.Use = &use
	default:
		*t.Use = t.Use.Plus(*w.Use)
	}
}

// Usage returns the sums of the selected workloads by group, ordered by platform namespace,
// target, kind and name. Workloads without a platform namespace or target are a group with
// empty fields.
func (v *Inventory) Usage(by GroupBy, f Filter) ([]Total, error) {
	if !slices.Contains([]GroupBy{ByPlatformNamespace, ByTarget, ByDeployment}, by) {
		return nil, fmt.Errorf("%w: by is %q: use platformNamespace, target or deployment", ErrInvalidQuery, by)
	}
	selected, err := v.selected(f)
	if err != nil {
		return nil, err
	}
	type group struct{ platformNamespace, target, kind, name string }
	sums := map[group]*Total{}
	for _, e := range selected {
		w := &e.Workload
		g := group{platformNamespace: w.PlatformNamespace}
		if by != ByPlatformNamespace {
			g.target = w.Target
		}
		if by == ByDeployment {
			g.kind, g.name = cmp.Or(w.Kind, w.Owner.Kind), cmp.Or(w.Name, w.Owner.Name)
		}
		sum, ok := sums[g]
		if !ok {
			sum = &Total{PlatformNamespace: g.platformNamespace, Target: g.target, Kind: g.kind, Name: g.name}
			sums[g] = sum
		}
		sum.Add(w)
	}
	totals := make([]Total, 0, len(sums))
	for _, sum := range sums {
		totals = append(totals, *sum)
	}
	slices.SortFunc(totals, func(a, b Total) int {
		return cmp.Or(cmp.Compare(a.PlatformNamespace, b.PlatformNamespace), cmp.Compare(a.Target, b.Target), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return totals, nil
}
