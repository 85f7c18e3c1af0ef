// Package cluster fills the inventory from the cluster: from pods, of which it caches some
// hundred bytes each, from the caches of owners, and from the registry.
package cluster

import (
	"cmp"
	"context"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
	"unique"

	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"drey.dev/drey/inventory"
	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/owners"
	"drey.dev/drey/webhook/runstate"
)

// Owners reads owners from caches.
type Owners interface {
	KnownRoot(namespace string, refs []flink.OwnerReference, podLabels map[string]string) (owners.Known, bool)
	KnownRoots(namespace string) []owners.Known
	KnownNamespaces() []string
	HasUID(uid string) bool
	Synced() bool
}

// Registry reads the registry from memory.
type Registry interface {
	Targets(namespace string) []registry.Target
	ByID(id string) (registry.Registered, bool)
}

// Options configure a [Feeder]. Config, Owners, Registry and Inventory are required.
type Options struct {
	Config    *rest.Config // lists and watches pods
	Owners    Owners
	Registry  Registry
	Inventory *inventory.Inventory
	Namespace string   // the only Kubernetes namespace to read; empty: all
	Exclude   []string // Kubernetes namespaces that are skipped

	// PlatformIsNamespace reports that the readers of a platform namespace may read what is
	// misplaced in the Kubernetes namespace of the same name.
	PlatformIsNamespace bool

	Use Use // nil: no use is shown
}

// Use returns what pods use, by name, of a namespace.
type Use interface {
	Of(namespace string) map[string]inventory.Resources
}

// Feeder keeps an inventory up to date.
type Feeder struct {
	o       Options
	client  coreclient.CoreV1Interface
	sources []*source // in the order of selectors

	mu    sync.Mutex
	dirty map[string]bool // namespaces to read again
	wake  chan struct{}

	shown map[string]map[string]inventory.Workload // by namespace and key; of the goroutine of Run
}

// New returns a Feeder that is not running.
func New(o Options) (*Feeder, error) {
	f := newFeeder(o)
	config := rest.CopyConfig(o.Config)
	config.AcceptContentTypes, config.ContentType = "application/vnd.kubernetes.protobuf,application/json", "application/vnd.kubernetes.protobuf"
	client, err := coreclient.NewForConfig(config)
	f.client = client
	o.Inventory.SetPods(f.pods)
	return f, err
}

func newFeeder(o Options) *Feeder {
	f := &Feeder{o: o, dirty: make(map[string]bool), wake: make(chan struct{}, 1), shown: make(map[string]map[string]inventory.Workload)}
	for range selectors {
		f.sources = append(f.sources, newSource(f.Changed))
	}
	return f
}

// Changed has the workloads of a namespace read again, "" those of all. It never blocks.
func (f *Feeder) Changed(namespace string) {
	f.mu.Lock()
	f.dirty[namespace] = true
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

const (
	minInterval  = 100 * time.Millisecond // between two readings, which collects changes
	restFactor   = 10                     // a reading takes at most a tenth of the time,
	maxRest      = 800 * time.Millisecond // unless changes would wait longer
	syncInterval = 100 * time.Millisecond
	fullInterval = time.Minute // between two readings of all namespaces
)

// Run fills the inventory until ctx ends.
func (f *Feeder) Run(ctx context.Context) {
	var parts sync.WaitGroup
	defer parts.Wait()
	for i, s := range f.sources {
		r := s.reflector(f.client, f.o.Namespace, selectors[i])
		parts.Go(func() { r.RunWithContext(ctx) })
	}
	for !f.hasSynced() {
		select {
		case <-ctx.Done():
			return
		case <-time.After(syncInterval):
		}
	}
	f.Changed("")
	full := time.NewTicker(fullInterval)
	defer full.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-full.C:
			f.Changed("")
			continue
		case <-f.wake:
		}
		start := time.Now()
		f.readDirty()
		f.o.Inventory.SetSynced()
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(max(minInterval, restFactor*time.Since(start)), maxRest)):
		}
	}
}

// Load fills the inventory once, by lists of pods without a watch. The owners must have synced.
func (f *Feeder) Load(ctx context.Context) error {
	for i, s := range f.sources {
		if err := s.load(ctx, f.client, f.o.Namespace, selectors[i]); err != nil {
			return err
		}
	}
	f.Changed("")
	f.readDirty()
	f.o.Inventory.SetSynced()
	return nil
}

func (f *Feeder) hasSynced() bool {
	return f.o.Owners.Synced() && !slices.ContainsFunc(f.sources, func(s *source) bool { return !s.hasSynced() })
}

// readDirty reads the namespaces that have changed.
func (f *Feeder) readDirty() {
	f.mu.Lock()
	dirty := f.dirty
	f.dirty = make(map[string]bool)
	f.mu.Unlock()
	if dirty[""] {
		for namespace := range f.namespaces() {
			dirty[namespace] = true
		}
		delete(dirty, "")
	}
	for namespace := range dirty {
		if f.o.Namespace == "" || f.o.Namespace == namespace {
			f.show(namespace, f.read(namespace))
		}
	}
}

// namespaces returns the namespaces that have, or had, workloads.
func (f *Feeder) namespaces() map[string]bool {
	all := map[string]bool{}
	for _, s := range f.sources {
		s.mu.RLock()
		for namespace := range s.pods {
			all[namespace] = true
		}
		s.mu.RUnlock()
	}
	for _, namespace := range f.o.Owners.KnownNamespaces() {
		all[namespace] = true
	}
	for namespace := range f.shown {
		all[namespace] = true
	}
	return all
}

// show puts the workloads of a namespace into the inventory.
func (f *Feeder) show(namespace string, now map[string]inventory.Workload) {
	before := f.shown[namespace]
	for key := range before {
		if _, ok := now[key]; !ok {
			f.o.Inventory.Delete(key)
		}
	}
	for key, w := range now {
		if old, ok := before[key]; !ok || !reflect.DeepEqual(old, w) {
			f.o.Inventory.Put(w)
		}
	}
	if f.shown[namespace] = now; len(now) == 0 {
		delete(f.shown, namespace)
	}
}

// read returns the workloads of a namespace by their keys.
func (f *Feeder) read(namespace string) map[string]inventory.Workload {
	if slices.Contains(f.o.Exclude, namespace) {
		return nil
	}
	g := f.group(namespace, nil)
	return g.workloads()
}

// pods returns the pods of a workload. It reads all pods of the namespace.
func (f *Feeder) pods(w inventory.Workload) (all []inventory.Pod) {
	byGroup := map[string][]inventory.Pod{}
	g := f.group(w.Namespace, func(group, name string, p pod) { byGroup[group] = append(byGroup[group], toPod(name, p)) })
	for key, group := range g.groups {
		if g.complete(group).Key() == w.Key() {
			all = append(all, byGroup[key]...)
		}
	}
	for i := range all {
		if used, ok := g.use[all[i].Name]; ok {
			all[i].Use = &used
		}
	}
	return all
}

// group groups the pods and root owners of a namespace. It calls found, unless that is nil, with
// each pod and the key of its group.
func (f *Feeder) group(namespace string, found func(group, name string, p pod)) grouping {
	g := grouping{f: f, namespace: namespace, found: found, groups: make(map[string]*group), roots: make(map[unique.Handle[identity]]root)}
	if f.o.Use != nil {
		g.use = f.o.Use.Of(namespace)
	}
	var seen map[string]bool
	for i, s := range f.sources {
		s.mu.RLock()
		for name, p := range s.pods[namespace] {
			if seen[name] {
				continue
			}
			if i > 0 { // the selectors overlap; labeled pods are many, and in the first alone
				if seen == nil {
					seen = make(map[string]bool)
				}
				seen[name] = true
			}
			g.add(name, p)
		}
		s.mu.RUnlock()
	}
	for _, k := range f.o.Owners.KnownRoots(namespace) {
		g.addRoot(k)
	}
	return g
}

// grouping collects the workloads of one namespace.
type grouping struct {
	f         *Feeder
	namespace string
	groups    map[string]*group // by the id of the Deployment or SessionCluster, else by root
	roots     map[unique.Handle[identity]]root
	found     func(group, name string, p pod) // nil: not called
	use       map[string]inventory.Resources
}

// root is a possible root owner of a workload.
type root struct {
	inventory.Owner
	known owners.Known // zero if it is not cached
	score int          // the highest is shown
}

// group is a workload that is being collected.
type group struct {
	inventory.Workload
	root      root
	oldest    int64 // Unix time of the oldest pod; 0: it has none
	missing   map[string]bool
	platforms map[string]bool
	names     map[string]bool
}

func (g *grouping) group(key string) *group {
	found, ok := g.groups[key]
	if !ok {
		found = &group{missing: make(map[string]bool), platforms: make(map[string]bool), names: make(map[string]bool)}
		g.groups[key] = found
	}
	return found
}

// groupKey returns the key of the group of a pod or an owner.
func groupKey(deploymentID, sessionClusterID string, r root) string {
	switch {
	case deploymentID != "":
		return "deployment " + deploymentID
	case sessionClusterID != "":
		return "session cluster " + sessionClusterID
	}
	return r.Kind + "/" + r.Name
}

func (g *grouping) add(name string, p pod) {
	id := p.identity.Value()
	r, ok := g.roots[p.identity]
	if !ok {
		r = g.rootOf(id)
		g.roots[p.identity] = r
	}
	if r.Name == "" {
		r.Owner = inventory.Owner{Kind: "Pod", Name: name}
	}
	key := groupKey(id.labels.deploymentID, id.labels.sessionClusterID, r)
	if g.found != nil {
		g.found(key, name, p)
	}
	w := g.group(key)
	w.offer(r)
	w.state(id.labels.platformNamespace, id.labels.deploymentID, id.labels.deploymentName, id.labels.sessionClusterID, id.labels.sessionClusterName)
	w.JobID = cmp.Or(w.JobID, id.labels.jobID)
	w.Flavor = cmp.Or(w.Flavor, string(id.flavor))
	if id.role != flink.TaskManager { // its process often does not show its mode
		w.Mode = cmp.Or(w.Mode, string(id.mode))
	}
	if id.missing != "" {
		for key := range strings.SplitSeq(id.missing, ",") {
			w.missing[key] = true
		}
	}
	w.Pods++
	if p.ready {
		w.PodsReady++
	}
	w.Requests = w.Requests.Plus(p.requests)
	if used, ok := g.use[name]; ok {
		if w.Use != nil {
			used = used.Plus(*w.Use)
		}
		w.Use = &used
	}
	if w.oldest == 0 || p.created < w.oldest {
		w.oldest = p.created
	}
}

// rootOf returns the root owner of the pods with an identity: zero if they have no owner.
func (g *grouping) rootOf(id identity) root {
	if id.owner.Name == "" {
		return root{}
	}
	podLabels := map[string]string{labelPodHash: id.hash}
	if k, ok := g.f.o.Owners.KnownRoot(g.namespace, []flink.OwnerReference{id.owner}, podLabels); ok {
		return newRoot(k, id)
	}
	r := root{Owner: inventory.Owner{Kind: id.owner.Kind, Name: id.owner.Name, UID: id.owner.UID}}
	if deployment, ok := flink.DeploymentOf(id.owner.Name, podLabels); ok && id.owner.Kind == "ReplicaSet" {
		r.Owner = inventory.Owner{Kind: "Deployment", Name: deployment}
	}
	if id.role == flink.JobManager {
		r.score = 1
	}
	return r
}

// newRoot returns a cached root. A custom resource identifies a workload, else the object whose
// uid is the id in the labels, else that of the JobManager.
func newRoot(k owners.Known, id identity) root {
	r := root{Owner: inventory.Owner{Kind: k.Kind, Name: k.Name, UID: k.UID}, known: k}
	switch {
	case k.Custom:
		r.score = 4
	case k.UID == cmp.Or(id.labels.deploymentID, id.labels.sessionClusterID):
		r.score = 3
	case id.role == flink.JobManager:
		r.score = 2
	}
	return r
}

// addRoot adds a root owner, which may have no pods: a suspended job, for example.
func (g *grouping) addRoot(k owners.Known) {
	if k.Kind == "CronJob" && !k.Custom { // its Jobs are the workloads
		return
	}
	id := identity{}
	id.labels.deploymentID, id.labels.sessionClusterID = k.Labels[flink.LabelDeploymentID], k.Labels[flink.LabelSessionClusterID]
	r := newRoot(k, id)
	w := g.group(groupKey(id.labels.deploymentID, id.labels.sessionClusterID, r))
	w.offer(r)
	w.state(k.Labels[flink.LabelPlatformNamespace], id.labels.deploymentID, k.Labels[flink.LabelDeploymentName], id.labels.sessionClusterID, k.Labels[flink.LabelSessionClusterName])
	if k.Custom {
		w.Flavor = cmp.Or(w.Flavor, string(flink.Custom))
	}
}

// offer sets the root owner, if it is preferred to that of before.
func (w *group) offer(r root) {
	if w.root.Name == "" || r.score > w.root.score || r.score == w.root.score && (r.Kind+"/"+r.Name < w.root.Kind+"/"+w.root.Name) {
		w.root = r
	}
}

// state sets what labels state.
func (w *group) state(platformNamespace, deploymentID, deploymentName, sessionClusterID, sessionClusterName string) {
	if platformNamespace != "" {
		w.platforms[platformNamespace] = true
	}
	name := deploymentName
	switch {
	case deploymentID != "" || deploymentName != "":
		w.Kind, w.ID = string(registry.Deployment), cmp.Or(w.ID, deploymentID)
	case sessionClusterID != "" || sessionClusterName != "":
		w.Kind, w.ID, name = string(registry.SessionCluster), cmp.Or(w.ID, sessionClusterID), sessionClusterName
	}
	if name != "" {
		w.names[name] = true
	}
}

// workloads completes the groups. Groups with the same root are one workload, whose pods have
// different ids.
func (g *grouping) workloads() map[string]inventory.Workload {
	all := make(map[string]inventory.Workload, len(g.groups))
	for _, key := range slices.Sorted(maps.Keys(g.groups)) {
		w := g.complete(g.groups[key])
		before, ok := all[w.Key()]
		if ok {
			w = merge(before, w)
		}
		all[w.Key()] = w
	}
	return all
}

func (g *grouping) complete(c *group) inventory.Workload {
	w, k := c.Workload, c.root.known
	w.Namespace, w.Owner = g.namespace, c.root.Owner
	w.PlatformNamespace, w.Name = first(c.platforms), first(c.names)
	if k.Mode != flink.UnknownMode {
		w.Mode = string(k.Mode)
	}
	if w.Mode == "" {
		w.Mode = map[string]string{string(registry.Deployment): string(flink.Application), string(registry.SessionCluster): string(flink.Session)}[w.Kind]
	}
	w.JobID = cmp.Or(w.JobID, flink.JobID(k.JobID), k.Run.JobID)
	if w.Mode == string(flink.Session) && w.Kind == string(registry.SessionCluster) {
		w.JobID = ""
	}
	switch {
	case k.Run.State != "":
		w.State = string(k.Run.State)
	case w.Pods > 0 && w.Pods == w.PodsReady:
		w.State = string(runstate.Running)
	case w.Pods > 0:
		w.State = string(runstate.Transitioning)
	}
	if !k.Created.IsZero() {
		w.Since = k.Created.UTC()
	} else {
		w.Since = time.Unix(c.oldest, 0).UTC()
	}
	g.place(&w)
	w.MissingLabels = slices.Sorted(maps.Keys(c.missing))
	if len(c.platforms) > 1 {
		w.ConflictingLabels = append(w.ConflictingLabels, flink.LabelPlatformNamespace)
	}
	if len(c.names) > 1 {
		w.ConflictingLabels = append(w.ConflictingLabels, nameLabel(w.Kind))
	}
	if isForeign := w.ID != "" && !w.Registered && w.Owner.UID != "" && w.ID != w.Owner.UID && g.f.o.Owners.HasUID(w.ID); isForeign {
		w.ConflictingLabels = append(w.ConflictingLabels, idLabel(w.Kind))
	}
	return w
}

// place sets the target, and whether the workload is misplaced.
func (g *grouping) place(w *inventory.Workload) {
	registered, ok := g.f.o.Registry.ByID(w.ID)
	w.Registered = ok && w.ID != ""
	var here []registry.Target
	targets := g.f.o.Registry.Targets(g.namespace)
	for _, t := range targets {
		if t.PlatformNamespace == w.PlatformNamespace {
			here = append(here, t)
		}
	}
	switch {
	case len(here) == 1:
		w.Target = here[0].Name
	case len(here) > 1 && w.Registered:
		for _, t := range here {
			if registered.RefersTo(t) {
				w.Target = t.Name
			}
		}
	}
	w.Misplaced = len(here) == 0 && (w.PlatformNamespace != "" || len(targets) == 0)
	if g.f.o.PlatformIsNamespace {
		w.ReadersNamespace = g.namespace
	}
}

// merge returns two workloads with the same root as one.
func merge(a, b inventory.Workload) inventory.Workload {
	if b.Pods > a.Pods {
		a, b = b, a
	}
	a.Pods, a.PodsReady, a.Requests = a.Pods+b.Pods, a.PodsReady+b.PodsReady, a.Requests.Plus(b.Requests)
	switch {
	case a.Use == nil:
		a.Use = b.Use
	case b.Use != nil:
		sum := a.Use.Plus(*b.Use)
		a.Use = &sum
	}
	if a.ID != "" && b.ID != "" && a.ID != b.ID && a.Kind == b.Kind {
		b.ConflictingLabels = append(b.ConflictingLabels, idLabel(a.Kind))
	}
	union := func(x, y []string) []string { return slices.Compact(slices.Sorted(slices.Values(slices.Concat(x, y)))) }
	a.MissingLabels, a.ConflictingLabels = union(a.MissingLabels, b.MissingLabels), union(a.ConflictingLabels, b.ConflictingLabels)
	a.Kind, a.ID, a.Name, a.JobID = cmp.Or(a.Kind, b.Kind), cmp.Or(a.ID, b.ID), cmp.Or(a.Name, b.Name), cmp.Or(a.JobID, b.JobID)
	a.PlatformNamespace, a.Target, a.Mode = cmp.Or(a.PlatformNamespace, b.PlatformNamespace), cmp.Or(a.Target, b.Target), cmp.Or(a.Mode, b.Mode)
	return a
}

func first(set map[string]bool) string {
	if len(set) == 0 {
		return ""
	}
	return slices.Min(slices.Collect(maps.Keys(set)))
}

func nameLabel(kind string) string {
	if kind == string(registry.SessionCluster) {
		return flink.LabelSessionClusterName
	}
	return flink.LabelDeploymentName
}

func idLabel(kind string) string {
	if kind == string(registry.SessionCluster) {
		return flink.LabelSessionClusterID
	}
	return flink.LabelDeploymentID
}
