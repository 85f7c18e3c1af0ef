package console

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"drey.dev/drey/console/page"
	"drey.dev/drey/inventory"
	"drey.dev/drey/registry"
)

// sections are the entries of the navigation, and the last segment of the paths, by kind.
var sections = map[registry.Kind]string{registry.Deployment: "deployments", registry.SessionCluster: "sessionclusters"}

// titles are the kinds in words.
var titles = map[registry.Kind]string{registry.Deployment: "Deployment", registry.SessionCluster: "Session cluster"}

// byRegistered sorts Deployments and SessionClusters by a column.
var byRegistered = map[string]func(a, b entry) int{
	"name":     func(a, b entry) int { return strings.Compare(a.name, b.name) },
	"platform": func(a, b entry) int { return strings.Compare(a.platformNamespace, b.platformNamespace) },
	"target":   func(a, b entry) int { return strings.Compare(a.target, b.target) },
	"modified": func(a, b entry) int { return b.modified.Compare(a.modified) }, // by age
	"created":  func(a, b entry) int { return b.created.Compare(a.created) },
}

// objects lists the Deployments or SessionClusters of the registry.
func (c *Console) objects(kind registry.Kind) handler {
	return func(r *http.Request, u *user) (response, error) {
		query := r.URL.Query()
		m := page.Objects{Frame: c.frame(r, titles[kind]+"s", sections[kind]), Kind: string(kind), Table: page.NewTable(page.Root+sections[kind], query, "name", "platform", "target", "modified", "created").Listing(titles[kind], "Name or target")}
		m.Topics = "targets workloads"
		visible, err := u.visible(r.Context(), kind)
		if err != nil {
			return response{}, err
		}
		text, scope := strings.ToLower(strings.TrimSpace(query.Get(page.ParamText))), query.Get(page.ParamOwner)
		found, err := c.catalog.list(kind, visible, func(e entry) bool {
			return (scope == "" || e.platformNamespace == scope) && (text == "" || e.matches(text))
		})
		if err != nil {
			return response{}, err
		}
		compare := byRegistered[m.Sort]
		slices.SortStableFunc(found, func(a, b entry) int {
			if m.Descending {
				return compare(b, a)
			}
			return compare(a, b)
		})
		for _, e := range page.Cut(&m.Table, found, pageSize) {
			m.Rows = append(m.Rows, c.toRegistered(e))
		}
		m.Scopes, err = c.scopes(r.Context(), visible)
		if err != nil {
			return response{}, err
		}
		return show("objects", m)
	}
}

// toRegistered returns an object for a page, with its state.
func (c *Console) toRegistered(e entry) page.Registered {
	o := page.Registered{
		Kind: string(e.kind), PlatformNamespace: e.platformNamespace, Name: e.name, DisplayName: e.title, ID: e.id,
		Target: c.catalog.targetName(e), SessionCluster: e.sessionCluster, Desired: e.state, Created: e.created, Modified: e.modified,
	}
	spec, _ := json.Marshal(map[string]string{"state": e.state}) // strings marshal
	if e.state == "" {
		spec = []byte("{}")
	}
	status := c.Registry.Status(registry.Object{Kind: e.kind, Metadata: registry.Metadata{ID: e.id}, Spec: spec})
	o.State = string(status.State)
	if status.Running != nil {
		o.JobID = status.Running.JobID
	}
	return o
}

// object shows a Deployment or SessionCluster of the registry.
func (c *Console) object(kind registry.Kind) handler {
	return func(r *http.Request, u *user) (response, error) {
		path, err := objectPath(kind, r.PathValue("namespace"), r.PathValue("name"))
		if err != nil {
			return response{}, err
		}
		var o document
		if _, err := c.call(r, u, http.MethodGet, path, http.Header{}, nil, &o); err != nil {
			return response{}, err
		}
		m := page.ObjectPage{Frame: c.frame(r, cmp.Or(o.Metadata.DisplayName, o.Metadata.Name), sections[kind]), Labels: o.Metadata.Labels, Annotations: o.Metadata.Annotations, Cluster: c.Inventory != nil}
		m.Topics = "targets workloads"
		e, ok := c.catalog.get(kind, o.Metadata.Namespace, o.Metadata.Name)
		if !ok { // deleted since
			return response{}, &problem{status: http.StatusNotFound, reason: string(registry.ReasonNotFound), message: "the object was deleted: see the list"}
		}
		m.Registered = c.toRegistered(e)
		var indented bytes.Buffer
		if err := json.Indent(&indented, o.Spec, "", "  "); err != nil {
			return response{}, err
		}
		m.Spec = indented.String()
		if c.Inventory == nil {
			return show("object", m)
		}
		visible, err := u.visible(r.Context(), workloadsKind)
		if err != nil {
			return response{}, err
		}
		found, err := c.Inventory.List(inventory.Query{Filter: inventory.Filter{PlatformNamespace: e.platformNamespace, Kind: string(kind), Name: e.name, Visible: visible}})
		if err != nil {
			return response{}, err
		}
		for _, w := range found.Items {
			if w.ID == e.id { // another of the same name is not it
				m.Workloads = append(m.Workloads, page.Workload{Workload: w})
			}
		}
		return show("object", m)
	}
}
