package inventory

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

func filled(n int) *Inventory {
	v := New()
	for i := range n {
		v.Put(Workload{
			Namespace: fmt.Sprintf("ns%d", i%3), PlatformNamespace: []string{"a", "b", ""}[i%3], Target: "t", Owner: Owner{Kind: "Deployment", Name: fmt.Sprintf("w%02d", i)},
			Pods: i, Requests: Resources{MilliCPU: int64(i) * 100, Memory: 1},
		})
	}
	return v
}

// TestListPages: pages have each workload once, in the order that the query states.
func TestListPages(t *testing.T) {
	v := filled(10)
	for _, sort := range Sorts {
		for _, descending := range []bool{false, true} {
			var names []string
			q := Query{Sort: sort, Descending: descending, Limit: 3}
			for {
				page, err := v.List(q)
				if err != nil {
					t.Fatal(err)
				}
				if page.Total != 10 {
					t.Errorf("sort %s: total %d", sort, page.Total)
				}
				for _, w := range page.Items {
					names = append(names, w.Owner.Name)
				}
				if q.Continue = page.Continue; q.Continue == "" {
					break
				}
			}
			if sort == "pods" && slices.IsSorted(names) == descending {
				t.Errorf("sort by pods, descending %v: %v", descending, names)
			}
			slices.Sort(names)
			if len(slices.Compact(names)) != 10 {
				t.Errorf("sort %s: pages have %v", sort, names)
			}
		}
	}
}

// TestListInvalidQuery: an unknown order or token is an ErrInvalidQuery.
func TestListInvalidQuery(t *testing.T) {
	for _, q := range []Query{{Sort: "nothing"}, {Continue: "?"}} {
		if _, err := New().List(q); !errors.Is(err, ErrInvalidQuery) {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

// TestListVisible: workloads of platform namespaces that the reader may not see are neither
// listed nor counted.
func TestListVisible(t *testing.T) {
	calls := 0
	f := Filter{Visible: func(platformNamespace string) (bool, error) { calls++; return platformNamespace == "a", nil }}
	page, err := filled(9).List(Query{Filter: f})
	if err != nil || page.Total != 3 || len(page.Items) != 3 || page.Items[0].PlatformNamespace != "a" || calls != 3 {
		t.Errorf("page %+v, error %v, calls %d", page, err, calls)
	}
	totals, err := filled(9).Usage(ByTarget, f)
	if err != nil || len(totals) != 1 || totals[0].Workloads != 3 || totals[0].Requests.MilliCPU != 900 {
		t.Errorf("totals %+v, error %v", totals, err)
	}
}

// TestListFilter: each field of a filter selects.
func TestListFilter(t *testing.T) {
	v := filled(9)
	v.Put(Workload{Namespace: "x", Owner: Owner{Kind: "Job", Name: "misplaced"}, Misplaced: true})
	for name, test := range map[string]struct {
		filter Filter
		want   int
	}{
		"platform namespace": {Filter{PlatformNamespace: "b"}, 3},
		"namespace":          {Filter{Namespace: "ns0"}, 3},
		"target":             {Filter{Target: "t"}, 9},
		"text":               {Filter{Text: "W0"}, 9},
		"unhealthy":          {Filter{Unhealthy: true}, 1},
		"none":               {Filter{Name: "other"}, 0},
	} {
		if page, err := v.List(Query{Filter: test.filter}); err != nil || len(page.Items) != test.want {
			t.Errorf("%s: %d workloads, error %v, want %d", name, len(page.Items), err, test.want)
		}
	}
}
