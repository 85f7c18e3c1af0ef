package console

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"drey.dev/drey/console/page"
	"drey.dev/drey/denials"
	"drey.dev/drey/inventory"
	"drey.dev/drey/registry"
)

// shownWorkloadDenials is the number of denials on the page of a workload.
const shownWorkloadDenials = 10

// byPod sorts pods by a column.
var byPod = map[string]func(a, b inventory.Pod) int{
	"name":   func(a, b inventory.Pod) int { return strings.Compare(a.Name, b.Name) },
	"role":   func(a, b inventory.Pod) int { return strings.Compare(a.Role, b.Role) },
	"ready":  func(a, b inventory.Pod) int { return cmp.Compare(rankReady(a), rankReady(b)) },
	"cpu":    func(a, b inventory.Pod) int { return cmp.Compare(a.Requests.MilliCPU, b.Requests.MilliCPU) },
	"memory": func(a, b inventory.Pod) int { return cmp.Compare(a.Requests.Memory, b.Requests.Memory) },
	"since":  func(a, b inventory.Pod) int { return b.Since.Compare(a.Since) }, // by age
}

func rankReady(p inventory.Pod) int {
	if p.Ready {
		return 1
	}
	return 0
}

// workload shows a workload with its pods, labels and denials.
func (c *Console) workload(r *http.Request, u *user) (response, error) {
	namespace, kind, name := r.PathValue("namespace"), r.PathValue("kind"), r.PathValue("name")
	gone := &problem{status: http.StatusNotFound, reason: string(registry.ReasonNotFound), message: fmt.Sprintf(
		"%s %s in namespace %s is not a Flink workload that runs, or you may not see it: search the list of workloads", kind, name, namespace)}
	if c.Inventory == nil {
		return response{}, gone
	}
	w, ok := c.Inventory.Get(inventory.Workload{Namespace: namespace, Owner: inventory.Owner{Kind: kind, Name: name}}.Key())
	if !ok {
		return response{}, gone
	}
	visible, err := u.visible(r.Context(), workloadsKind)
	if err != nil {
		return response{}, err
	}
	if may, err := visible(w.Readers()); err != nil || !may {
		return response{}, cmp.Or[error](err, gone)
	}
	shown := page.Workload{Workload: w}
	m := page.WorkloadPage{Frame: c.frame(r, shown.DisplayName(), "workloads"), Workload: shown, Commands: shown.KubectlCommands(), Table: page.NewTable(shown.URL(), r.URL.Query(), "name", "role", "ready", "cpu", "memory", "since")}
	m.Topics = "workloads denials"
	pods := c.Inventory.Pods(w)
	m.Labels = page.WorkloadLabels(shown, pods)
	slices.SortFunc(pods, func(a, b inventory.Pod) int {
		order := byPod[m.Sort](a, b)
		if m.Descending {
			order = -order
		}
		return cmp.Or(order, strings.Compare(a.Name, b.Name))
	})
	m.HasUse = slices.ContainsFunc(pods, func(p inventory.Pod) bool { return p.Use != nil })
	m.Rows = page.Cut(&m.Table, pods, pageSize)
	if c.Denials == nil {
		return show("workload", m)
	}
	m.DenialsOfSpace = page.Root + "denials?" + url.Values{page.ParamSpace: {namespace}}.Encode()
	found, err := c.Denials.List(denials.Query{Filter: denials.Filter{Namespace: namespace, Visible: visible}})
	if err != nil {
		return response{}, err
	}
	for _, d := range found.Items {
		if !concerns(d, w, pods) {
			continue
		}
		if m.DenialsTotal++; m.DenialsTotal <= shownWorkloadDenials {
			m.Denials = append(m.Denials, page.Denial{Denial: d})
		}
	}
	return show("workload", m)
}

// concerns reports whether a denial is of the root owner of a workload, of an object that it owns,
// or of one of its pods.
func concerns(d denials.Denial, w inventory.Workload, pods []inventory.Pod) bool {
	return d.Kind == w.Owner.Kind && d.Name == w.Owner.Name || d.Owner.Kind == w.Owner.Kind && d.Owner.Name == w.Owner.Name ||
		d.Kind == "Pod" && slices.ContainsFunc(pods, func(p inventory.Pod) bool { return p.Name == d.Name })
}
