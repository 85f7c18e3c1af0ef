package main

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestChurnCheck: a churn whose labels or calls of webhooks contradict its pods fails.
func TestChurnCheck(t *testing.T) {
	calls := func(n float64) []bucket { return []bucket{{0.1, n}, {math.Inf(1), n}} }
	for rule, c := range map[string]struct {
		f         churnFigures
		unlabeled int
		want      string // part of the error; "": none
	}{
		"with drey":                {churnFigures{replicas: 3, pods: 100, admission: calls(100)}, 0, ""},
		"with a repeated call":     {churnFigures{replicas: 3, pods: 100, admission: calls(101)}, 0, ""},
		"without drey":             {churnFigures{pods: 100}, 100, ""},
		"a pod without labels":     {churnFigures{replicas: 1, pods: 100, admission: calls(100)}, 1, "1 of 100 pods without drey's labels"},
		"too few calls":            {churnFigures{replicas: 1, pods: 100, admission: calls(99)}, 0, "99 calls of webhooks for 100 pods"},
		"labels without drey":      {churnFigures{pods: 100}, 99, "99 of 100 pods have no labels"},
		"calls without drey":       {churnFigures{pods: 100, admission: calls(1)}, 100, "after 1 calls of webhooks"},
		"no histogram of the call": {churnFigures{replicas: 1, pods: 1}, 0, "0 calls of webhooks for 1 pods"},
	} {
		t.Run(rule, func(t *testing.T) {
			switch err := c.f.check(c.unlabeled); {
			case err == nil && c.want != "", err != nil && (c.want == "" || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

// TestAPIServerMetrics: requests, events and calls are summed by the labels of the API server.
func TestAPIServerMetrics(t *testing.T) {
	all := samples([]byte(`# HELP apiserver_request_total a
apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="pods",scope="resource",subresource="",verb="GET",version="v1"} 2
apiserver_request_total{code="404",component="apiserver",dry_run="",group="",resource="pods",scope="resource",subresource="",verb="GET",version="v1"} 3
apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="pods",scope="resource",subresource="status",verb="PATCH",version="v1"} 4
apiserver_watch_events_total{group="",resource="pods",version="v1"} 12
apiserver_admission_webhook_admission_duration_seconds_count{name="pod-labels.drey.dev",operation="UPDATE",rejected="false",type="validating"} 5
apiserver_admission_webhook_admission_duration_seconds_bucket{name="label-pods.drey.dev",operation="CREATE",rejected="false",type="admit",le="0.1"} 6
apiserver_admission_webhook_admission_duration_seconds_bucket{name="label-pods.drey.dev",operation="CREATE",rejected="false",type="admit",le="+Inf"} 7
`))
	if got := []float64{requests("pods", "", "GET")(all), requests("pods", "", "PATCH")(all), requests("pods", "status", "PATCH")(all), watchEvents(all), webhookCalls(all)}; !slices.Equal(got, []float64{5, 0, 4, 12, 5}) {
		t.Errorf("got %v reads, patches, patches of status, events and calls, want 5, 0, 4, 12, 5", got)
	}
	if got := admissionBuckets(all); len(got) != 2 || got[1].count != 7 {
		t.Errorf("got buckets %v, want two of 6 and 7", got)
	}
}

// TestScaleReport: each row of a table has a cell for each column.
func TestScaleReport(t *testing.T) {
	f := churnFigures{pods: 10, each: time.Second, create: figures{perSecond: 10, calls: 10}}
	r := scaleReport{
		settings: scaleSettings{unlabeled: 10}, sizes: []sizeFigures{{targets: 1}, {targets: 2, pods: 1}}, churns: []churnFigures{f, f}, limits: limitFigures{churn: f},
		replicas: make([]footprint, 2), repair: repairFigures{took: time.Second}, killed: leaderFigures{took: time.Second}, stopped: leaderFigures{took: time.Second},
	}
	var b bytes.Buffer
	r.print(&b)
	columns, tables := 0, 0
	for line := range strings.Lines(b.String()) {
		n := strings.Count(line, "|")
		switch {
		case n == 0:
			columns = 0
		case columns == 0:
			columns = n
			tables++
		case n != columns:
			t.Errorf("got %d separators, want %d: %s", n, columns, line)
		}
	}
	if tables != 6 {
		t.Errorf("got %d tables, want 6", tables)
	}
}
