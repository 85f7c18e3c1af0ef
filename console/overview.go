package console

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"drey.dev/drey/console/page"
	"drey.dev/drey/denials"
	"drey.dev/drey/inventory"
	"drey.dev/drey/registry"
)

// Sizes of the lists of the overview.
const (
	shownAttention = 6
	shownDenials   = 8
	shownReasons   = 5
	shownUsage     = 8
)

// overview shows what needs attention, with the totals.
func (c *Console) overview(r *http.Request, u *user) (response, error) {
	m := page.Overview{Frame: c.frame(r, "Overview", "overview"), Health: c.Health(r.Context())}
	m.Topics = "targets workloads denials"
	visible, err := u.visible(r.Context(), registry.DeploymentTarget)
	if err != nil {
		return response{}, err
	}
	targets, err := c.catalog.list(registry.DeploymentTarget, visible, nil)
	if err != nil {
		return response{}, err
	}
	m.Targets = len(targets)
	platform, kubernetes := map[string]bool{}, map[string]bool{}
	for _, t := range targets {
		platform[t.platformNamespace], kubernetes[t.kubernetesNamespace] = true, true
		if problem := c.notReady(t); problem != "" {
			if m.NotReadyTotal++; m.NotReadyTotal <= shownAttention {
				m.NotReady = append(m.NotReady, c.toTarget(t, nil))
			}
		}
	}
	m.PlatformNamespaces, m.TargetNamespaces = len(platform), len(kubernetes)
	if c.Inventory == nil || c.Denials == nil {
		return show("overview", m)
	}
	if m.Workloads, m.Usage, err = c.summarizeWorkloads(r.Context(), u); err != nil {
		return response{}, err
	}
	if m.Denials, err = c.summarizeDenials(r.Context(), u, m.Now); err != nil {
		return response{}, err
	}
	return show("overview", m)
}

func (c *Console) summarizeWorkloads(ctx context.Context, u *user) (*page.WorkloadSummary, []page.Usage, error) {
	visible, err := u.visible(ctx, workloadsKind)
	if err != nil {
		return nil, nil, err
	}
	totals, err := c.Inventory.Usage(inventory.ByPlatformNamespace, inventory.Filter{Visible: visible})
	if err != nil {
		return nil, nil, err
	}
	unhealthy, err := c.Inventory.List(inventory.Query{Filter: inventory.Filter{Visible: visible, Unhealthy: true}})
	if err != nil {
		return nil, nil, err
	}
	s := &page.WorkloadSummary{Synced: c.Inventory.Synced()}
	for _, t := range totals {
		s.Total += t.Workloads
		s.Pods, s.PodsReady = s.Pods+t.Pods, s.PodsReady+t.PodsReady
		s.Requests = s.Requests.Plus(t.Requests)
	}
	slices.SortStableFunc(unhealthy.Items, func(a, b inventory.Workload) int { return -cmp.Compare(rank(a), rank(b)) })
	for i, w := range unhealthy.Items {
		if w.Misplaced {
			s.Misplaced++
		} else {
			s.Mislabeled++
		}
		if i < shownAttention {
			s.Attention = append(s.Attention, page.Workload{Workload: w})
		}
	}
	slices.SortStableFunc(totals, func(a, b inventory.Total) int { return cmp.Compare(b.Requests.Memory, a.Requests.Memory) })
	var usage []page.Usage
	for _, t := range totals[:min(len(totals), shownUsage)] {
		usage = append(usage, page.Usage{Total: t, Share: int(t.Requests.Memory / max(totals[0].Requests.Memory/100, 1))})
	}
	return s, usage, nil
}

// rank orders what needs attention: misplaced workloads first.
func rank(w inventory.Workload) int {
	if w.Misplaced {
		return 1
	}
	return 0
}

func (c *Console) summarizeDenials(ctx context.Context, u *user, now time.Time) (*page.DenialSummary, error) {
	visible, err := u.visible(ctx, workloadsKind)
	if err != nil {
		return nil, err
	}
	found, err := c.Denials.List(denials.Query{Filter: denials.Filter{Visible: visible, Since: now.Add(-24 * time.Hour)}})
	if err != nil {
		return nil, err
	}
	s := &page.DenialSummary{}
	users, reasons := map[string]bool{}, map[string]int{}
	for i, d := range found.Items {
		s.Total += d.Count
		users[d.User] = true
		reasons[d.Reason] += d.Count
		if i < shownDenials {
			s.Latest = append(s.Latest, page.Denial{Denial: d})
		}
	}
	s.Users = len(users)
	for reason, n := range reasons {
		s.Reasons = append(s.Reasons, page.Count{Name: reason, Count: n})
	}
	slices.SortFunc(s.Reasons, func(a, b page.Count) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Name, b.Name))
	})
	for i := range s.Reasons {
		s.Reasons[i].Of = s.Reasons[0].Count
	}
	s.Reasons = s.Reasons[:min(len(s.Reasons), shownReasons)]
	return s, nil
}

// workloadsKind is the kind whose list a user must be permitted to see workloads and denials.
const workloadsKind = registry.DeploymentTarget
