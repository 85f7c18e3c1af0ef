package kubestore

import (
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"drey.dev/drey/listwatch"
	"drey.dev/drey/registry"
)

// LabelPlatform marks a Kubernetes namespace as a platform namespace, with the
// value true.
//
// A Kubernetes namespace is a platform namespace if it has this label, if it
// holds an object of the registry, or if it is default, which always is one. So
// `kubectl apply` of a target is enough, no namespace of other people's is
// listed, and an empty one is there for REST when somebody who may edit the
// Kubernetes namespace says so. Drey makes and deletes no Kubernetes namespace
// unless it is told to ([Options.CreateNamespaces]): what it adds and removes is
// the label.
const LabelPlatform = "drey.dev/platform"

var namespaceResource = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}

// namespace is a Kubernetes namespace.
type namespace struct {
	uid     types.UID
	name    string
	created time.Time
	labeled bool
	shown   bool // as a platform namespace
	hurdle  hurdle
}

// view is a platform namespace as the registry shows it. Nothing of it ever
// changes.
func (n *namespace) view() registry.Object {
	created := n.created.UTC()
	return registry.Object{
		Kind: registry.Namespace,
		Metadata: registry.Metadata{
			ID: string(n.uid), Name: n.name, CreatedAt: created, ModifiedAt: created,
			Labels: map[string]string{}, Annotations: map[string]string{}, ResourceVersion: 1,
		},
		Spec: json.RawMessage("{}"),
	}
}

// publishNamespace tells the watchers if a Kubernetes namespace has become a
// platform namespace, or is none any more.
func (m *mirror) publishNamespace(name string) {
	n := m.namespaces[name]
	if n == nil {
		return // what is inside it was told first
	}
	is := n.labeled || name == registry.DefaultNamespace || m.inside[name] > 0
	switch {
	case is && !n.shown:
		n.shown = true
		m.feed.Publish(registry.Event{Change: registry.Added, Object: n.view()})
	case !is && n.shown:
		n.shown = false
		m.feed.Publish(registry.Event{Change: registry.Deleted, Object: n.view()})
	}
}

func (m *mirror) putNamespace(o metav1.Object) {
	n := &namespace{
		uid: o.GetUID(), name: o.GetName(), created: o.GetCreationTimestamp().Time, labeled: o.GetLabels()[LabelPlatform] == "true", hurdle: m.hurdleOf(o),
	}
	old := m.namespaces[n.name]
	if old == nil || old.hurdle != n.hurdle {
		m.notePointing(n.name)
	}
	if old != nil {
		if old.uid == n.uid {
			n.shown = old.shown
		} else {
			m.removeNamespace(n.name)
		}
	}
	m.namespaces[n.name] = n
	m.publishNamespace(n.name)
}

func (m *mirror) removeNamespace(name string) {
	n := m.namespaces[name]
	delete(m.namespaces, name)
	m.notePointing(name)
	if n != nil && n.shown {
		m.feed.Publish(registry.Event{Change: registry.Deleted, Object: n.view()})
	}
}

// namespaceInbox feeds the mirror with the Kubernetes namespaces.
type namespaceInbox struct{ *mirror }

var _ cache.ReflectorStore = namespaceInbox{}

func (i namespaceInbox) Add(o any) error    { return i.receive(o, false) }
func (i namespaceInbox) Update(o any) error { return i.receive(o, false) }
func (i namespaceInbox) Delete(o any) error { return i.receive(o, true) }
func (i namespaceInbox) Resync() error      { return nil }

func (i namespaceInbox) receive(o any, gone bool) error {
	n, ok := o.(metav1.Object)
	if !ok {
		return fmt.Errorf("received a %T instead of a namespace", o)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if gone {
		i.removeNamespace(n.GetName())
	} else {
		i.putNamespace(n)
	}
	i.sawKind(registry.Namespace, parseVersion(n.GetResourceVersion()))
	return nil
}

func (i namespaceInbox) Replace(list []any, version string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	there := map[string]bool{}
	for _, o := range list {
		n, ok := o.(metav1.Object)
		if !ok {
			return fmt.Errorf("received a %T instead of a namespace", o)
		}
		there[n.GetName()] = true
		i.putNamespace(n)
	}
	for name := range i.namespaces {
		if !there[name] {
			i.removeNamespace(name)
		}
	}
	if i.seen[registry.Namespace] == 0 {
		for uid := range i.records {
			i.noteUID(uid)
		}
	}
	i.listed(registry.Namespace, parseVersion(version))
	return nil
}

func (s *Store) namespaceReflector() *cache.Reflector {
	return cache.NewReflectorWithOptions(listwatch.Metadata(s.metadata, namespaceResource, nil), &metav1.PartialObjectMetadata{}, namespaceInbox{s.mirror}, reflectorOptions("registry/namespaces"))
}

// presume shows a platform namespace that the store cannot ask about: whoever reads
// what is in it finds out.
func (s *Store) presume(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.putNamespace(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{LabelPlatform: "true"}}})
}
