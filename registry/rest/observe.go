package rest

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"drey.dev/drey/denials"
	"drey.dev/drey/inventory"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/access"
)

// The API below /drey/v1 is drey's own: targets, workloads, usage and denials. A caller sees the
// platform namespaces whose targets it may list. Objects without a platform namespace require
// list in all.

// perItem is what a path addresses whose handler authorizes each item.
var perItem = resource{perItem: true}

func (s *server) routeObserve(r *mux.Router) {
	s.route(r, "/drey/v1/targets", perItem, methods{http.MethodGet: s.listTargets})
	s.route(r, "/drey/v1/workloads", perItem, methods{http.MethodGet: s.listWorkloads})
	s.route(r, "/drey/v1/usage", perItem, methods{http.MethodGet: s.listUsage})
	s.route(r, "/drey/v1/denials", perItem, methods{http.MethodGet: s.listDenials})
	s.route(r, "/drey/v1/events", perItem, methods{http.MethodGet: s.streamEvents})
}

// observedList is a list of the API below /drey/v1.
type observedList[T any] struct {
	Kind       string           `json:"kind"`
	APIVersion string           `json:"apiVersion"`
	Metadata   observedMetadata `json:"metadata"`
	Items      []T              `json:"items"` // never null
}

type observedMetadata struct {
	Total    int    `json:"total"`              // of all pages
	Continue string `json:"continue,omitempty"` // of the next page
}

func newList[T any](kind string, items []T, total int, next string) response {
	return response{status: http.StatusOK, body: observedList[T]{kind, apiVersion, observedMetadata{total, next}, append([]T{}, items...)}}
}

// visible returns which platform namespaces the caller of a request may see; nil: all.
func visible(r *http.Request) func(string) (bool, error) {
	if infoOf(r).caller == nil {
		return nil
	}
	return func(platformNamespace string) (bool, error) {
		return allowed(r, access.Request{Verb: access.List, Kind: registry.DeploymentTarget, Namespace: cmp.Or(platformNamespace, registry.Everywhere)})
	}
}

// synced returns an error until the inventory has the workloads of the cluster.
func (s *server) synced() error {
	if s.inventory.Synced() {
		return nil
	}
	return &problem{http.StatusServiceUnavailable, ReasonUnavailable, "the workloads of the cluster are not listed yet: try again in a few seconds"}
}

func (s *server) listWorkloads(r *http.Request) (response, error) {
	query, err := readQuery(r)
	if err != nil {
		return response{}, err
	}
	q := inventory.Query{Sort: query.Get("sort"), Descending: query.Get("order") == "desc", Continue: query.Get("continue")}
	if q.Filter, err = workloadFilter(r, query); err != nil {
		return response{}, err
	}
	if err := cmp.Or(oneOf(query, "order", "asc", "desc"), oneOf(query, "sort", inventory.Sorts...)); err != nil {
		return response{}, err
	}
	if q.Limit, err = readLimit(query); err != nil {
		return response{}, err
	}
	workloads, err := s.workloads()
	if err != nil {
		return response{}, err
	}
	page, err := workloads.List(q)
	if err != nil {
		return response{}, queryError(err)
	}
	return newList("WorkloadList", page.Items, page.Total, page.Continue), nil
}

func workloadFilter(r *http.Request, query url.Values) (inventory.Filter, error) {
	return inventory.Filter{
		PlatformNamespace: query.Get("platformNamespace"), Namespace: query.Get("namespace"), Target: query.Get("target"),
		Kind: query.Get("kind"), Name: query.Get("name"), Text: query.Get("q"), Unhealthy: query.Get("unhealthy") == "true", Visible: visible(r),
	}, oneOf(query, "unhealthy", "true", "false")
}

// oneOf returns an error if a query parameter is present with another value.
func oneOf(query url.Values, name string, values ...string) error {
	if text := query.Get(name); query.Has(name) && !slices.Contains(values, text) {
		return badRequest("%s is %q: use one of %s, or omit it", name, text, strings.Join(values, ", "))
	}
	return nil
}

func (s *server) listUsage(r *http.Request) (response, error) {
	query, err := readQuery(r)
	if err != nil {
		return response{}, err
	}
	by := inventory.GroupBy(cmp.Or(query.Get("by"), string(inventory.ByTarget)))
	if err := oneOf(query, "by", string(inventory.ByPlatformNamespace), string(inventory.ByTarget), string(inventory.ByDeployment)); err != nil {
		return response{}, err
	}
	filter, err := workloadFilter(r, query)
	if err != nil {
		return response{}, err
	}
	workloads, err := s.workloads()
	if err != nil {
		return response{}, err
	}
	totals, err := workloads.Usage(by, filter)
	if err != nil {
		return response{}, queryError(err)
	}
	return newList("UsageList", totals, len(totals), ""), nil
}

func (s *server) listDenials(r *http.Request) (response, error) {
	query, err := readQuery(r)
	if err != nil {
		return response{}, err
	}
	q := denials.Query{
		Filter: denials.Filter{
			PlatformNamespace: query.Get("platformNamespace"), Namespace: query.Get("namespace"), Reason: query.Get("reason"), Mode: query.Get("mode"), Text: query.Get("q"), Visible: visible(r),
		},
		Continue: query.Get("continue"),
	}
	if q.Limit, err = readLimit(query); err != nil {
		return response{}, err
	}
	if err := oneOf(query, "mode", "enforce", "warn", "audit"); err != nil {
		return response{}, err
	}
	if q.Since, err = readSince(query.Get("since")); err != nil {
		return response{}, err
	}
	history := s.denials
	if history == nil { // an empty one also validates the query
		history = denials.NewHistory("", func() {})
	}
	page, err := history.List(q)
	if err != nil {
		return response{}, queryError(err)
	}
	return newList("DenialList", page.Items, page.Total, page.Continue), nil
}

// workloads returns the read model; without a cluster an empty one, which also validates queries.
func (s *server) workloads() (*inventory.Inventory, error) {
	if s.inventory == nil {
		return inventory.New(), nil
	}
	return s.inventory, s.synced()
}

// queryError converts the errors of the read models.
func queryError(err error) error {
	if errors.Is(err, inventory.ErrInvalidQuery) || errors.Is(err, denials.ErrInvalidQuery) {
		return badRequest("%v", err)
	}
	return err
}

// readLimit parses ?limit=; 0 if it is absent.
func readLimit(query url.Values) (int, error) {
	text := query.Get("limit")
	if text == "" {
		return 0, nil
	}
	limit, err := strconv.ParseInt(text, 10, 32)
	if err != nil || limit < 1 {
		return 0, badRequest("limit is %q: use an integer from 1 to 2147483647", text)
	}
	return int(limit), nil
}

// sincePattern is the pattern of ?since= in the description: a duration that does not overflow, a
// time of RFC 3339, or nothing.
var sincePattern = regexp.MustCompile(`^([0-9]{1,6}h([0-9]{1,6}m)?([0-9]{1,6}s)?|[0-9]{1,6}m([0-9]{1,6}s)?|[0-9]{1,6}s|` +
	`([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|` +
	`([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)` +
	`T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9]))?$`)

// readSince parses a time, or a duration before now.
func readSince(text string) (t time.Time, err error) {
	if text == "" {
		return t, nil
	}
	if !sincePattern.MatchString(text) {
		return t, badRequest("since is %q: use a duration such as 24h or 1h30m, or a time such as 2026-03-01T12:00:00Z", text)
	}
	if d, err := time.ParseDuration(text); err == nil {
		return time.Now().Add(-d), nil
	}
	return time.Parse(time.RFC3339, text)
}
