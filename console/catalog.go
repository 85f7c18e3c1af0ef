package console

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"drey.dev/drey/feed"
	"drey.dev/drey/registry"
)

// entry is an object of the registry as lists show it: small, so that 100,000 fit in memory.
type entry struct {
	kind                               registry.Kind
	platformNamespace, name, title, id string
	kubernetesNamespace                string // of a target
	target, targetID, sessionCluster   string // references
	state                              string // spec.state
	created, modified                  time.Time
}

func (e entry) key() string {
	return string(e.kind) + "/" + e.platformNamespace + "/" + e.name
}

// matches reports whether a field that people search by contains a text in lower case.
func (e entry) matches(text string) bool {
	for _, field := range []string{e.name, e.platformNamespace, e.kubernetesNamespace, e.title, e.target, e.id} {
		if strings.Contains(strings.ToLower(field), text) {
			return true
		}
	}
	return false
}

// catalog is the read model of the registry for lists. It is empty until [catalog.fill]: while nobody
// uses the console, it takes no memory.
type catalog struct {
	ownNamespace string
	watch        func(registry.Kind, func(registry.Event)) error

	filling  sync.Mutex
	followed int // number of catalogKinds that are watched

	mu      sync.RWMutex
	entries map[registry.Kind]map[string]entry // by kind and key
	changes feed.Feed[string, entry]
}

var catalogKinds = []registry.Kind{registry.DeploymentTarget, registry.Deployment, registry.SessionCluster}

func newCatalog(ownNamespace string, watch func(registry.Kind, func(registry.Event)) error) *catalog {
	return &catalog{ownNamespace: ownNamespace, watch: watch, entries: make(map[registry.Kind]map[string]entry)}
}

// fill fills the catalog on the first call, and keeps it up to date. After an error, the next call
// continues.
func (c *catalog) fill() error {
	c.filling.Lock()
	defer c.filling.Unlock()
	for ; c.followed < len(catalogKinds); c.followed++ {
		if err := c.watch(catalogKinds[c.followed], c.observe); err != nil {
			return fmt.Errorf("read the registry: %w", err)
		}
	}
	return nil
}

// observe is for registry.Store.Watch.
func (c *catalog) observe(event registry.Event) {
	o := event.Object
	e := entry{
		kind: o.Kind, platformNamespace: o.Metadata.Namespace, name: o.Metadata.Name, title: o.Metadata.DisplayName, id: o.Metadata.ID,
		created: o.Metadata.CreatedAt, modified: o.Metadata.ModifiedAt,
	}
	if o.Kind == registry.DeploymentTarget {
		e.kubernetesNamespace = registry.TargetNamespace(o, c.ownNamespace)
	} else {
		var spec struct {
			State          any    `json:"state"`
			TargetName     string `json:"deploymentTargetName"`
			TargetID       string `json:"deploymentTargetId"`
			SessionCluster string `json:"sessionClusterName"`
		}
		_ = jsonv2.Unmarshal(o.Spec, &spec) // validated when it was stored
		e.state, _ = spec.State.(string)
		e.target, e.targetID, e.sessionCluster = spec.TargetName, spec.TargetID, spec.SessionCluster
	}
	c.mu.Lock()
	if c.entries[e.kind] == nil {
		c.entries[e.kind] = make(map[string]entry)
	}
	if event.Change == registry.Deleted {
		delete(c.entries[e.kind], e.key())
	} else {
		c.entries[e.kind][e.key()] = e
	}
	c.mu.Unlock()
	c.changes.Publish(e.key(), feed.Change[entry]{Deleted: event.Change == registry.Deleted, Value: e})
}

// list returns the entries of a kind that the user may see and select accepts, by platform
// namespace and name.
func (c *catalog) list(kind registry.Kind, visible func(string) (bool, error), selects func(entry) bool) ([]entry, error) {
	c.mu.RLock()
	found := make([]entry, 0, len(c.entries[kind]))
	for _, e := range c.entries[kind] {
		if selects == nil || selects(e) {
			found = append(found, e)
		}
	}
	c.mu.RUnlock()
	var failure error
	found = slices.DeleteFunc(found, func(e entry) bool {
		if failure != nil {
			return true
		}
		ok, err := visible(e.platformNamespace)
		failure = err
		return !ok
	})
	if failure != nil {
		return nil, failure
	}
	slices.SortFunc(found, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.platformNamespace, b.platformNamespace), cmp.Compare(a.name, b.name))
	})
	return found, nil
}

// get returns an entry.
func (c *catalog) get(kind registry.Kind, platformNamespace, name string) (entry, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e, ok := c.entries[kind][entry{kind: kind, platformNamespace: platformNamespace, name: name}.key()]
	return e, ok
}

// targetName resolves the reference of an entry to the name of a target; empty: it has none.
func (c *catalog) targetName(e entry) string {
	if e.target != "" || e.targetID == "" {
		return e.target
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, t := range c.entries[registry.DeploymentTarget] {
		if t.id == e.targetID {
			return t.name
		}
	}
	return ""
}
