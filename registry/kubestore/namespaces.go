package kubestore

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

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
	uid      types.UID
	name     string
	created  time.Time
	labelled bool
	shown    bool // as a platform namespace
	hurdle   hurdle
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
	is := n.labelled || name == registry.DefaultNamespace || m.inside[name] > 0
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
		uid: o.GetUID(), name: o.GetName(), created: o.GetCreationTimestamp().Time, labelled: o.GetLabels()[LabelPlatform] == "true", hurdle: m.hurdleOf(o),
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
	i.sawKind(registry.Namespace, parseVersion(version))
	return nil
}

func (s *Store) namespaceReflector() *cache.Reflector {
	namespaces := s.metadata.Resource(namespaceResource)
	return cache.NewReflectorWithOptions(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return namespaces.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return namespaces.Watch(ctx, o)
		},
	}, &metav1.PartialObjectMetadata{}, namespaceInbox{s.mirror}, reflectorOptions("registry/namespaces"))
}

// presume shows a platform namespace that the store cannot ask about: whoever reads
// what is in it finds out.
func (s *Store) presume(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.putNamespace(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{LabelPlatform: "true"}}})
}

func (s *Store) getNamespace(key registry.Key) (registry.Object, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if n := s.namespaces[key.Name]; key.Kind == registry.Namespace && key.Namespace == "" && n != nil && n.shown {
		return n.view(), nil
	}
	return registry.Object{}, registry.ErrNotFound
}

// createNamespace makes a Kubernetes namespace a platform namespace.
func (s *Store) createNamespace(ctx context.Context, name string) (registry.Object, error) {
	if _, err := s.getNamespace(registry.Key{Kind: registry.Namespace, Name: name}); err == nil {
		return registry.Object{}, registry.ErrExists
	}
	if s.options.Only != "" && name == registry.DefaultNamespace {
		return registry.Object{}, registry.ErrExists // it always is one, seen or not
	}
	made, err := s.label(ctx, name, "true")
	if apierrors.IsNotFound(err) && s.options.CreateNamespaces {
		made, err = s.makeNamespace(ctx, name)
	}
	switch {
	case apierrors.IsNotFound(err):
		return registry.Object{}, &registry.Error{Reason: registry.ReasonNotFound, Message: fmt.Sprintf(
			"Kubernetes namespace %q does not exist, and the cluster keeps a platform namespace in the Kubernetes namespace of its name: kubectl create namespace %s, then try again", name, name)}
	case apierrors.IsForbidden(err):
		return registry.Object{}, &registry.Error{Reason: registry.ReasonNotSupported, Message: fmt.Sprintf(
			"drey has no right to make %q a platform namespace; whoever may edit the Kubernetes namespace can: kubectl label namespace %s %s=true", name, name, LabelPlatform)}
	case err != nil:
		return registry.Object{}, s.options.failure(ctx, "label namespace "+name, err)
	}
	s.awaitBrought(ctx, registry.Namespace, func() bool { n := s.namespaces[name]; return n != nil && n.shown }, func() {})
	n := namespace{uid: made.GetUID(), name: name, created: made.GetCreationTimestamp().Time}
	return n.view(), nil
}

// deleteNamespace makes a Kubernetes namespace one like others. It deletes
// nothing.
func (s *Store) deleteNamespace(ctx context.Context, name string, expected int32) error {
	n, err := s.getNamespace(registry.Key{Kind: registry.Namespace, Name: name})
	if err != nil {
		return err
	}
	if n.Metadata.ResourceVersion != expected {
		return registry.ErrConflict
	}
	switch _, err := s.label(ctx, name, nil); {
	case apierrors.IsNotFound(err):
		return registry.ErrNotFound
	case apierrors.IsForbidden(err):
		return &registry.Error{Reason: registry.ReasonNotSupported, Message: fmt.Sprintf(
			"drey has no right to remove the label of platform namespace %q; whoever may edit the Kubernetes namespace can: kubectl label namespace %s %s-", name, name, LabelPlatform)}
	case err != nil:
		return s.options.failure(ctx, "remove the label of namespace "+name, err)
	}
	s.awaitBrought(ctx, registry.Namespace, func() bool { n := s.namespaces[name]; return n == nil || !n.labelled }, func() {})
	return nil
}

func (s *Store) label(ctx context.Context, name string, value any) (metav1.Object, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": map[string]any{LabelPlatform: value}}})
	if err != nil {
		return nil, err
	}
	return s.metadata.Resource(namespaceResource).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
}

func (s *Store) makeNamespace(ctx context.Context, name string) (metav1.Object, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace"}}
	o.SetName(name)
	o.SetLabels(map[string]string{LabelPlatform: "true"})
	return s.dynamic.Resource(namespaceResource).Create(ctx, o, metav1.CreateOptions{})
}
