package console

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"drey.dev/drey/console/page"
	"drey.dev/drey/inventory"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/access"
)

// pageSize is the number of rows of a page of a list.
const pageSize = 50

// byTarget sorts targets by a column.
var byTarget = map[string]func(a, b page.Target) int{
	"name":      func(a, b page.Target) int { return strings.Compare(a.Name, b.Name) },
	"platform":  func(a, b page.Target) int { return strings.Compare(a.PlatformNamespace, b.PlatformNamespace) },
	"namespace": func(a, b page.Target) int { return strings.Compare(a.KubernetesNamespace, b.KubernetesNamespace) },
	"workloads": func(a, b page.Target) int { return cmp.Compare(a.Workloads, b.Workloads) },
	"pods":      func(a, b page.Target) int { return cmp.Compare(a.Pods, b.Pods) },
	"cpu":       func(a, b page.Target) int { return cmp.Compare(a.Requests.MilliCPU, b.Requests.MilliCPU) },
	"memory":    func(a, b page.Target) int { return cmp.Compare(a.Requests.Memory, b.Requests.Memory) },
	"created":   func(a, b page.Target) int { return b.Created.Compare(a.Created) }, // by age
}

func (c *Console) targets(r *http.Request, u *user) (response, error) {
	query := r.URL.Query()
	m := page.Targets{Frame: c.frame(r, "Targets", "targets"), Table: page.NewTable(page.Root+"targets", query, "name", "platform", "namespace", "workloads", "pods", "cpu", "memory", "created").Listing("target", "Name or namespace"), Cluster: c.Inventory != nil}
	m.Topics = "targets workloads"
	visible, err := u.visible(r.Context(), registry.DeploymentTarget)
	if err != nil {
		return response{}, err
	}
	text, scope := strings.ToLower(strings.TrimSpace(query.Get(page.ParamText))), query.Get(page.ParamOwner)
	found, err := c.catalog.list(registry.DeploymentTarget, visible, func(e entry) bool {
		return (scope == "" || e.platformNamespace == scope) && (text == "" || e.matches(text))
	})
	if err != nil {
		return response{}, err
	}
	totals, err := c.usageByTarget(r.Context(), u, inventory.Filter{PlatformNamespace: scope})
	if err != nil {
		return response{}, err
	}
	rows := make([]page.Target, 0, len(found))
	for _, e := range found {
		if t := c.toTarget(e, totals); query.Get(page.ParamState) != "notready" || t.NotReady != "" {
			rows = append(rows, t)
		}
	}
	compare := byTarget[m.Sort]
	slices.SortStableFunc(rows, func(a, b page.Target) int {
		if m.Descending {
			return compare(b, a)
		}
		return compare(a, b)
	})
	m.Rows = page.Cut(&m.Table, rows, pageSize)
	if m.Scopes, err = c.scopes(r.Context(), visible); err != nil {
		return response{}, err
	}
	creatable, err := c.creatable(r.Context(), u)
	m.MayCreate = len(creatable) > 0
	if err != nil {
		return response{}, err
	}
	return show("targets", m)
}

// scopes returns the platform namespaces that the user may see, by name.
func (c *Console) scopes(ctx context.Context, visible func(string) (bool, error)) ([]string, error) {
	all, err := c.Registry.Namespaces(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, n := range all {
		ok, err := visible(n.Metadata.Name)
		if err != nil {
			return nil, err
		}
		if ok {
			names = append(names, n.Metadata.Name)
		}
	}
	return names, nil
}

// creatable returns the platform namespaces in which the user may create targets, by name.
func (c *Console) creatable(ctx context.Context, u *user) ([]string, error) {
	all, err := u.may(ctx, access.Request{Verb: access.Create, Kind: registry.DeploymentTarget, Namespace: registry.Everywhere})
	if err != nil {
		return nil, err
	}
	return c.scopes(ctx, func(platformNamespace string) (bool, error) {
		if all {
			return true, nil
		}
		return u.may(ctx, access.Request{Verb: access.Create, Kind: registry.DeploymentTarget, Namespace: platformNamespace})
	})
}

// targetKey identifies a target.
type targetKey struct{ platformNamespace, name string }

// usageByTarget returns the sums of the workloads of each target; nil without a cluster.
func (c *Console) usageByTarget(ctx context.Context, u *user, f inventory.Filter) (map[targetKey]inventory.Total, error) {
	if c.Inventory == nil {
		return nil, nil
	}
	var err error
	if f.Visible, err = u.visible(ctx, workloadsKind); err != nil {
		return nil, err
	}
	totals, err := c.Inventory.Usage(inventory.ByTarget, f)
	if err != nil {
		return nil, err
	}
	sums := make(map[targetKey]inventory.Total, len(totals))
	for _, t := range totals {
		sums[targetKey{t.PlatformNamespace, t.Target}] = t
	}
	return sums, nil
}

func (c *Console) toTarget(e entry, totals map[targetKey]inventory.Total) page.Target {
	t := totals[targetKey{e.platformNamespace, e.name}]
	return page.Target{
		PlatformNamespace: e.platformNamespace, Name: e.name, KubernetesNamespace: e.kubernetesNamespace, ID: e.id, Created: e.created,
		Workloads: t.Workloads, Pods: t.Pods, PodsReady: t.PodsReady, Requests: t.Requests, Use: t.Use, NotReady: c.notReady(e),
	}
}

// notReady returns why Flink cannot run in the Kubernetes namespace of a target, with the remedy;
// "" if it can, or that is unknown.
func (c *Console) notReady(target entry) string {
	if c.Readiness == nil {
		return ""
	}
	if ready, ok := c.Readiness(target.platformNamespace, target.name, target.kubernetesNamespace); ok && !ready.Ready {
		return ready.Message
	}
	return ""
}

// newTarget shows the form for a target. The query may prefill it.
func (c *Console) newTarget(r *http.Request, u *user) (response, error) {
	m, err := c.newTargetForm(r, u)
	if err != nil {
		return response{}, err
	}
	query := r.URL.Query()
	m.PlatformNamespace, m.KubernetesNamespace = cmp.Or(query.Get(page.ParamOwner), m.PlatformNamespace), query.Get(page.ParamSpace)
	m.Name = m.KubernetesNamespace
	return show("new", m)
}

func (c *Console) newTargetForm(r *http.Request, u *user) (page.NewTarget, error) {
	m := page.NewTarget{Frame: c.frame(r, "New target", "targets"), PlatformNamespace: registry.DefaultNamespace}
	var err error
	m.Scopes, err = c.creatable(r.Context(), u)
	return m, err
}

// createTarget creates a target, or shows the form again with the refusal.
func (c *Console) createTarget(r *http.Request, u *user) (response, error) {
	if err := readForm(r, 64<<10); err != nil {
		return response{}, err
	}
	field := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	scope, namespace, name := field(page.ParamOwner), field(page.ParamSpace), field("name")
	path, err := objectPath(registry.DeploymentTarget, scope, "")
	if err == nil {
		_, err = c.call(r, u, http.MethodPost, path, http.Header{}, map[string]any{
			"metadata": map[string]string{"name": name}, "spec": registry.TargetSpec{Kubernetes: &registry.TargetKubernetes{Namespace: namespace}},
		}, nil)
	}
	if p, ok := errors.AsType[*problem](err); ok {
		m, err := c.newTargetForm(r, u)
		if err != nil {
			return response{}, err
		}
		m.PlatformNamespace, m.KubernetesNamespace, m.Name = scope, namespace, name
		m.Notice = &page.Notice{Failed: true, Title: "Not created", Text: p.message}
		return response{status: p.status, page: "new", model: m}, nil
	}
	if err != nil {
		return response{}, err
	}
	return redirect(page.Target{PlatformNamespace: scope, Name: name}.URL() + "?" + paramDone + "=created"), nil
}

// paramDone is the query parameter with the action that led to a page.
const paramDone = "done"

// target shows a target with its workloads.
func (c *Console) target(r *http.Request, u *user) (response, error) {
	scope, name := r.PathValue("namespace"), r.PathValue("name")
	path, err := objectPath(registry.DeploymentTarget, scope, name)
	if err != nil {
		return response{}, err
	}
	var o document
	header, err := c.call(r, u, http.MethodGet, path, http.Header{}, nil, &o)
	if err != nil {
		return response{}, err
	}
	e := entry{
		kind: registry.DeploymentTarget, platformNamespace: o.Metadata.Namespace, name: o.Metadata.Name, id: o.Metadata.ID, created: o.Metadata.CreatedAt,
		kubernetesNamespace: registry.TargetNamespace(registry.Object{Kind: registry.DeploymentTarget, Metadata: o.Metadata, Spec: o.Spec}, c.OwnNamespace),
	}
	m := page.TargetPage{Frame: c.frame(r, e.name, "targets"), Labels: o.Metadata.Labels, Annotations: o.Metadata.Annotations, Cluster: c.Inventory != nil}
	m.Topics = "targets workloads"
	for _, warning := range header.Values("Warning") {
		m.Warnings = append(m.Warnings, warningText(warning))
	}
	if r.URL.Query().Get(paramDone) == "created" {
		m.Notice = &page.Notice{Title: "Target created", Text: "Flink is admitted to Kubernetes namespace " + e.kubernetesNamespace + " now."}
	}
	totals, err := c.usageByTarget(r.Context(), u, inventory.Filter{PlatformNamespace: scope, Target: name})
	if err != nil {
		return response{}, err
	}
	m.Target = c.toTarget(e, totals)
	query := r.URL.Query()
	query.Del(paramDone)
	m.Table = page.NewTable(m.URL(), query, workloadColumns...)
	if m.Rows, _, err = c.workloadRows(r.Context(), u, &m.Table, inventory.Filter{PlatformNamespace: scope, Target: name}); err != nil {
		return response{}, err
	}
	for _, kind := range []registry.Kind{registry.Deployment, registry.SessionCluster} {
		registered, err := c.registeredOf(r.Context(), u, kind, e)
		if err != nil {
			return response{}, err
		}
		m.Registered = append(m.Registered, registered...)
	}
	if m.MayDelete, err = u.may(r.Context(), access.Request{Verb: access.Delete, Kind: registry.DeploymentTarget, Namespace: scope, Name: name}); err != nil {
		return response{}, err
	}
	return show("target", m)
}

// warningText returns the text of a Warning header of the REST API: 299 drey "TEXT".
func warningText(warning string) string {
	_, text, _ := strings.Cut(warning, `"`)
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(strings.TrimSuffix(text, `"`))
}

// registeredOf returns the objects of a kind that refer to a target, if the user may list them.
func (c *Console) registeredOf(ctx context.Context, u *user, kind registry.Kind, target entry) ([]page.Registered, error) {
	visible, err := u.visible(ctx, kind)
	if err != nil {
		return nil, err
	}
	found, err := c.catalog.list(kind, visible, func(e entry) bool {
		return e.platformNamespace == target.platformNamespace && (e.target == target.name || e.targetID != "" && e.targetID == target.id)
	})
	all := make([]page.Registered, len(found))
	for i, e := range found {
		all[i] = c.toRegistered(e)
	}
	return all, err
}

// previewDelete shows what a deletion of a target does.
func (c *Console) previewDelete(r *http.Request, u *user) (response, error) {
	m, err := c.deletion(r, u)
	if err != nil {
		return response{}, err
	}
	return show("delete", m)
}

func (c *Console) deletion(r *http.Request, u *user) (page.DeleteTarget, error) {
	scope, name := r.PathValue("namespace"), r.PathValue("name")
	m := page.DeleteTarget{Frame: c.frame(r, "Delete "+name, "targets"), Target: page.Target{PlatformNamespace: scope, Name: name}}
	path, err := objectPath(registry.DeploymentTarget, scope, name)
	if err != nil {
		return m, err
	}
	header, err := c.call(r, u, http.MethodGet, path, http.Header{}, nil, nil)
	if err != nil {
		return m, err
	}
	m.Revision = header.Get("Etag")
	var preview struct {
		Items      []page.Reference `json:"items"`
		Afterwards []string         `json:"refusedAfterwards"`
	}
	_, err = c.call(r, u, http.MethodGet, path+"/references", http.Header{}, nil, &preview)
	m.References, m.Afterwards = preview.Items, preview.Afterwards
	return m, err
}

// deleteTarget deletes the target that was previewed, or shows the preview again with the refusal.
func (c *Console) deleteTarget(r *http.Request, u *user) (response, error) {
	if err := readForm(r, 64<<10); err != nil {
		return response{}, err
	}
	path, err := objectPath(registry.DeploymentTarget, r.PathValue("namespace"), r.PathValue("name"))
	if err != nil {
		return response{}, err
	}
	header := http.Header{}
	if revision := r.PostFormValue("revision"); revision != "" {
		header.Set("If-Match", revision)
	}
	_, err = c.call(r, u, http.MethodDelete, path, header, nil, nil)
	if p, ok := errors.AsType[*problem](err); ok && p.status == http.StatusConflict {
		m, err := c.deletion(r, u)
		if err != nil {
			return response{}, err
		}
		m.Notice = &page.Notice{Failed: true, Title: "Not deleted", Text: p.message}
		return response{status: p.status, page: "delete", model: m}, nil
	}
	if err != nil {
		return response{}, err
	}
	return redirect(page.Root + "targets"), nil
}
