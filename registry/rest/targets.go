package rest

import (
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"drey.dev/drey/inventory"
)

// observedTarget is a DeploymentTarget with its status. A target below /api/v1 has none, as in
// Ververica Platform: clients that are generated from its description reject unknown fields.
type observedTarget struct {
	PlatformNamespace string    `json:"platformNamespace"`
	Name              string    `json:"name"`
	ID                string    `json:"id"`
	Namespace         string    `json:"namespace"` // Kubernetes namespace
	CreatedAt         time.Time `json:"createdAt"`

	Ready   *bool  `json:"ready,omitempty"` // nil without a cluster
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`

	Workloads int                  `json:"workloads"`
	Pods      int                  `json:"pods"`
	PodsReady int                  `json:"podsReady"`
	Requests  inventory.Resources  `json:"requests"`
	Use       *inventory.Resources `json:"use,omitempty"` // nil without metrics.k8s.io
}

// position orders targets, as the token of a page.
func (t observedTarget) position() string { return t.PlatformNamespace + "/" + t.Name }

// listTargets lists the targets of all platform namespaces that the caller may read.
func (s *server) listTargets(r *http.Request) (response, error) {
	query, err := readQuery(r)
	if err != nil {
		return response{}, err
	}
	limit, err := readLimit(query)
	if err != nil {
		return response{}, err
	}
	if err := oneOf(query, "ready", "true", "false"); err != nil {
		return response{}, err
	}
	last, err := hex.DecodeString(query.Get("continue"))
	if err != nil {
		return response{}, badRequest("continue is %q, which is not a token: use that of the previous page, or omit it", query.Get("continue"))
	}
	all, err := s.observedTargets(r, query)
	if err != nil {
		return response{}, err
	}
	total := len(all)
	if query.Get("continue") != "" {
		all = slices.DeleteFunc(all, func(t observedTarget) bool { return t.position() <= string(last) })
	}
	next := ""
	if limit > 0 && len(all) > limit {
		all = all[:limit]
		next = hex.EncodeToString([]byte(all[limit-1].position()))
	}
	return newList("TargetList", all, total, next), nil
}

// observedTargets returns the targets that a query selects, in the order of their positions.
func (s *server) observedTargets(r *http.Request, query url.Values) ([]observedTarget, error) {
	workloads, err := s.workloads()
	if err != nil {
		return nil, err
	}
	platform, namespace, name, text := query.Get("platformNamespace"), query.Get("namespace"), query.Get("name"), strings.ToLower(query.Get("q"))
	totals, err := workloads.Usage(inventory.ByTarget, inventory.Filter{PlatformNamespace: platform})
	if err != nil {
		return nil, err
	}
	type key struct{ platformNamespace, name string }
	sums := make(map[key]inventory.Total, len(totals))
	for _, t := range totals {
		sums[key{t.PlatformNamespace, t.Target}] = t
	}
	targets, err := s.registry.Targets(r.Context())
	if err != nil {
		return nil, err
	}
	see := visible(r)
	known := map[string]bool{}
	var all []observedTarget
	for _, o := range targets {
		m := o.Metadata
		t := observedTarget{PlatformNamespace: m.Namespace, Name: m.Name, ID: m.ID, Namespace: s.registry.TargetNamespace(o), CreatedAt: m.CreatedAt}
		if platform != "" && t.PlatformNamespace != platform || namespace != "" && t.Namespace != namespace || name != "" && t.Name != name ||
			text != "" && !strings.Contains(strings.ToLower(t.position()+"\x00"+t.Namespace+"\x00"+t.ID), text) {
			continue
		}
		may, ok := known[t.PlatformNamespace]
		if !ok {
			if may = see == nil; see != nil {
				if may, err = see(t.PlatformNamespace); err != nil {
					return nil, err
				}
			}
			known[t.PlatformNamespace] = may
		}
		if !may {
			continue
		}
		if s.readiness != nil {
			if ready, ok := s.readiness(m.Namespace, m.Name, t.Namespace); ok {
				t.Ready, t.Reason, t.Message = &ready.Ready, ready.Reason, ready.Message
			}
		}
		if want := query.Get("ready"); want != "" && (t.Ready == nil || *t.Ready != (want == "true")) {
			continue
		}
		sum := sums[key{m.Namespace, m.Name}]
		t.Workloads, t.Pods, t.PodsReady, t.Requests, t.Use = sum.Workloads, sum.Pods, sum.PodsReady, sum.Requests, sum.Use
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b observedTarget) int { return strings.Compare(a.position(), b.position()) })
	return all, nil
}
