package console

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"drey.dev/drey/console/page"
	"drey.dev/drey/denials"
	"drey.dev/drey/inventory"
	"drey.dev/drey/webhook/verdict"
)

// workloadColumns are the columns by which lists of workloads are sorted.
var workloadColumns = append([]string{"name"}, inventory.Sorts...)

// workloads lists the workloads of the cluster.
func (c *Console) workloads(r *http.Request, u *user) (response, error) {
	query := r.URL.Query()
	m := page.WorkloadsPage{Frame: c.frame(r, "Workloads", "workloads"), Table: page.NewTable(page.Root+"workloads", query, workloadColumns...).Listing("workload", "Name, id, state or flavor"), Cluster: c.Inventory != nil}
	m.Topics = "workloads"
	var err error
	if m.Rows, m.Sum, err = c.workloadRows(r.Context(), u, &m.Table, inventory.Filter{
		PlatformNamespace: query.Get(page.ParamOwner), Namespace: strings.TrimSpace(query.Get(page.ParamSpace)), Target: query.Get("target"),
		Text: strings.TrimSpace(query.Get(page.ParamText)), Unhealthy: query.Get(page.ParamState) == "unhealthy",
	}); err != nil {
		return response{}, err
	}
	if c.Inventory != nil {
		m.Synced = c.Inventory.Synced()
	}
	visible, err := u.visible(r.Context(), workloadsKind)
	if err != nil {
		return response{}, err
	}
	m.Scopes, err = c.scopes(r.Context(), visible)
	if err != nil {
		return response{}, err
	}
	return show("workloads", m)
}

// workloadRows returns the rows of a table of workloads, and the sum of all that the filter
// selects. Without a cluster there are none.
func (c *Console) workloadRows(ctx context.Context, u *user, t *page.Table, f inventory.Filter) ([]page.Workload, inventory.Total, error) {
	var sum inventory.Total
	if c.Inventory == nil {
		page.Cut(t, []page.Workload(nil), pageSize)
		return nil, sum, nil
	}
	var err error
	if f.Visible, err = u.visible(ctx, workloadsKind); err != nil {
		return nil, sum, err
	}
	// The age grows as the time of creation falls.
	found, err := c.Inventory.List(inventory.Query{Filter: f, Sort: t.Sort, Descending: t.Descending != (t.Sort == "since")})
	if err != nil {
		return nil, sum, err
	}
	for i := range found.Items {
		sum.Add(&found.Items[i])
	}
	var rows []page.Workload
	for _, w := range page.Cut(t, found.Items, pageSize) {
		rows = append(rows, page.Workload{Workload: w})
	}
	return rows, sum, nil
}

// reasons are the reasons of denials.
var reasons = []string{string(verdict.NoDeploymentTarget), string(verdict.AmbiguousTarget), string(verdict.LabelConflict), string(verdict.LabelImmutable)}

// periods are the values of the filter by time.
var periods = []string{"1h", "24h", "168h"}

// denials lists the denials, the newest first.
func (c *Console) denials(r *http.Request, u *user) (response, error) {
	query := r.URL.Query()
	m := page.DenialsPage{Frame: c.frame(r, "Denials", "denials"), Table: page.NewTable(page.Root+"denials", query, "last").Listing("denial", "User, object or message"), Reasons: reasons, Cluster: c.Denials != nil}
	m.Topics = "denials"
	if c.Denials == nil {
		return show("denials", m)
	}
	f := denials.Filter{
		PlatformNamespace: query.Get(page.ParamOwner), Namespace: strings.TrimSpace(query.Get(page.ParamSpace)), Reason: query.Get("reason"), Text: strings.TrimSpace(query.Get(page.ParamText)),
	}
	if period := query.Get(page.ParamState); slices.Contains(periods, period) {
		d, _ := time.ParseDuration(period) // one of periods
		f.Since = m.Now.Add(-d)
	}
	var err error
	if f.Visible, err = u.visible(r.Context(), workloadsKind); err != nil {
		return response{}, err
	}
	found, err := c.Denials.List(denials.Query{Filter: f})
	if err != nil {
		return response{}, err
	}
	for _, d := range page.Cut(&m.Table, found.Items, pageSize) {
		m.Rows = append(m.Rows, page.Denial{Denial: d})
	}
	return show("denials", m)
}
