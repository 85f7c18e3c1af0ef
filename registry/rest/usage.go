package rest

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/access"
)

// resourceUsage returns the requests of running workloads as Ververica Platform's CSV, with an
// additional column for memory. Drey keeps no history: each platform namespace has one row, for the
// current minute, if the period includes it.
func (s *server) resourceUsage(r *http.Request) (response, error) {
	query, err := readQuery(r)
	if err != nil {
		return response{}, err
	}
	minute := s.now().UTC().Truncate(time.Minute)
	included := true
	for _, bound := range []string{"from", "to"} {
		text := query.Get(bound)
		if text == "" {
			continue
		}
		day, err := time.Parse(time.DateOnly, text)
		if err != nil {
			return response{}, badRequest("%s is %s: use a date such as 2026-03-01", bound, excerpt(text))
		}
		included = included && day.After(minute) == (bound == "to")
	}
	rows := "begin,end,namespace,used,memory\n"
	if !included {
		return response{status: http.StatusOK, body: csv(rows)}, nil
	}
	used, err := s.registry.Usage(r.Context())
	if err != nil {
		return response{}, err
	}
	namespaces, err := s.registry.Namespaces(r.Context())
	if err != nil {
		return response{}, err
	}
	slices.SortFunc(namespaces, func(a, b registry.Object) int { return strings.Compare(a.Metadata.Name, b.Metadata.Name) })
	for _, n := range namespaces {
		name := n.Metadata.Name
		ok, err := allowed(r, access.Request{Verb: access.Get, Kind: registry.Namespace, Namespace: name})
		if err != nil {
			return response{}, err
		}
		if ok {
			rows += fmt.Sprintf("%s,%s,%s,%s,%d\n", minute.Format(time.RFC3339), minute.Add(time.Minute).Format(time.RFC3339), name,
				strconv.FormatFloat(float64(used[name].MilliCPU)/1000, 'f', -1, 64), used[name].Memory)
		}
	}
	return response{status: http.StatusOK, body: csv(rows)}, nil
}
