package rest_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"drey.dev/drey/registry"
)

// usage is a cluster with the usage of team-a; nil is one that does not answer.
type usage map[string]registry.Usage

func (usage) Running(context.Context, string, string) ([]registry.Reference, error) { return nil, nil }
func (usage) Jobs(context.Context, []string, string) ([]registry.RunningJob, error) { return nil, nil }
func (u usage) Usage(context.Context) (map[string]registry.Usage, error) {
	if u == nil {
		return nil, errors.New("connection refused")
	}
	return u, nil
}

// TestResourceUsage reads what runs in the present minute.
func TestResourceUsage(t *testing.T) {
	day := func(offset int) string { return time.Now().UTC().AddDate(0, 0, offset).Format(time.DateOnly) }
	yesterday, later := day(-1), day(2) // also if the day ends during the test
	for rule, c := range map[string]struct {
		workloads registry.Workloads
		query     string
		rows      []string // after begin and end
	}{
		"without a cluster":     {nil, "", []string{"default,0,0", "team-a,0,0"}},
		"with a cluster":        {usage{"team-a": {MilliCPU: 1500, Memory: 3 << 30}, "unknown": {MilliCPU: 1}}, "", []string{"default,0,0", "team-a,1.5,3221225472"}},
		"a period with now":     {usage{}, "?from=2020-01-01&to=" + later, []string{"default,0,0", "team-a,0,0"}},
		"a period that ended":   {usage{}, "?to=" + yesterday, nil},
		"a period that follows": {usage{}, "?from=" + later, nil},
	} {
		t.Run(rule, func(t *testing.T) {
			server := newServerWith(t, registry.Options{Namespaces: []string{"team-a"}, Workloads: c.workloads})
			status, text := getText(t, server.URL+"/api/v1/status/resourceusage"+c.query)
			lines := strings.Split(strings.TrimSpace(text), "\n")
			if status != http.StatusOK || lines[0] != "begin,end,namespace,used,memory" || len(lines) != 1+len(c.rows) {
				t.Fatalf("got %d %s", status, text)
			}
			for i, want := range c.rows {
				fields := strings.SplitN(lines[i+1], ",", 3)
				begin, errBegin := time.Parse(time.RFC3339, fields[0])
				end, errEnd := time.Parse(time.RFC3339, fields[1])
				if errors.Join(errBegin, errEnd) != nil || end.Sub(begin) != time.Minute || time.Since(begin) > 2*time.Minute || fields[2] != want {
					t.Errorf("got %s, want %s in the present minute", lines[i+1], want)
				}
			}
		})
	}
	t.Run("a cluster that does not answer", func(t *testing.T) {
		server := newServerWith(t, registry.Options{Workloads: usage(nil)})
		if status, text := getText(t, server.URL+"/api/v1/status/resourceusage"); status != http.StatusServiceUnavailable || !strings.Contains(text, "ClusterUnavailable") {
			t.Errorf("got %d %s", status, text)
		}
	})
}
