package server

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"drey.dev/drey/inventory"
	"drey.dev/drey/registry/kubestore"
)

// targetCountsInterval is the interval in which the status of targets follows the inventory.
const targetCountsInterval = 5 * time.Second

// targetKey identifies a target by its names in REST.
type targetKey struct{ platformNamespace, target string }

// targetCounts are the workloads and pods of targets, as the status shows them.
type targetCounts struct {
	counts atomic.Pointer[map[targetKey]inventory.Total] // nil before the first count
}

// of implements CountWorkloads of [kubestore.Options].
func (c *targetCounts) of(platformNamespace, target string) (workloads, pods int32, ok bool) {
	counts := c.counts.Load()
	if counts == nil {
		return 0, 0, false
	}
	total := (*counts)[targetKey{platformNamespace, target}]
	return toInt32(total.Workloads), toInt32(total.Pods), true
}

func toInt32(n int) int32 { return int32(min(n, math.MaxInt32)) } //nolint:gosec // bounded

// report counts the workloads of targets until ctx ends, and has the store write what changes.
func (c *targetCounts) report(ctx context.Context, v *inventory.Inventory, store *kubestore.Store) {
	tick := time.NewTicker(targetCountsInterval)
	defer tick.Stop()
	for {
		if v.Synced() {
			c.count(v, store.WorkloadsChanged)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// count counts once, and calls changed for each target whose counts differ from before.
func (c *targetCounts) count(v *inventory.Inventory, changed func(platformNamespace, target string)) {
	totals, err := v.Usage(inventory.ByTarget, inventory.Filter{})
	if err != nil {
		return // cannot happen: nothing is filtered
	}
	now := make(map[targetKey]inventory.Total, len(totals))
	for _, t := range totals {
		if t.Target != "" {
			now[targetKey{t.PlatformNamespace, t.Target}] = t
		}
	}
	before := map[targetKey]inventory.Total{}
	if p := c.counts.Load(); p != nil {
		before = *p
	}
	c.counts.Store(&now)
	for key, t := range now {
		if b := before[key]; b.Workloads != t.Workloads || b.Pods != t.Pods {
			changed(key.platformNamespace, key.target)
		}
	}
	for key := range before {
		if _, ok := now[key]; !ok {
			changed(key.platformNamespace, key.target)
		}
	}
}
