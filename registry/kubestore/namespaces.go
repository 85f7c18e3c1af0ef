package kubestore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore/internal/codec"
	v1 "drey.dev/drey/registry/kubestore/v1"
)

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
		uid: o.GetUID(), name: o.GetName(), created: o.GetCreationTimestamp().Time, labeled: o.GetLabels()[v1.LabelPlatform] == "true", hurdle: m.hurdleOf(o),
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

// presume shows a platform namespace that the store cannot ask about: whoever reads
// what is in it finds out.
func (s *Store) presume(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.putNamespace(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1.LabelPlatform: "true"}}})
}

// getNamespace returns a platform namespace. Of one that the mirror does not show the
// API server is asked, as of every object: another process may have made it.
func (s *Store) getNamespace(ctx context.Context, key registry.Key, c registry.Consistency) (registry.Object, error) {
	if key.Kind != registry.Namespace || key.Namespace != "" {
		return registry.Object{}, registry.ErrNotFound
	}
	s.mu.RLock()
	n := s.namespaces[key.Name]
	shown := n != nil && n.shown
	s.mu.RUnlock()
	switch {
	case shown && (c == registry.Cached || s.options.Only != ""):
		return n.view(), nil
	case s.options.Only != "": // it may not ask
		return registry.Object{}, registry.ErrNotFound
	}
	live, err := s.platform(ctx, key.Name)
	if err == nil && !live.shown {
		err = registry.ErrNotFound
	}
	if err != nil {
		return registry.Object{}, err
	}
	return live.view(), nil
}

// livePlatform is a Kubernetes namespace at this moment.
type livePlatform struct {
	namespace
	version string // its resourceVersion
}

// platform asks the API server for a Kubernetes namespace, and whether it is a platform
// namespace. ErrNotFound if there is no such Kubernetes namespace.
func (s *Store) platform(ctx context.Context, name string) (livePlatform, error) {
	if !isPathSegment(name) {
		return livePlatform{}, registry.ErrNotFound
	}
	var found *metav1.PartialObjectMetadata
	err := s.ask(ctx, "get namespace "+name, func(ctx context.Context) (err error) {
		found, err = s.metadata.Resource(namespaceResource).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			found, err = nil, nil
		}
		return err
	})
	if err == nil && found == nil {
		err = registry.ErrNotFound
	}
	if err != nil {
		return livePlatform{}, err
	}
	live := livePlatform{namespace{uid: found.UID, name: name, created: found.CreationTimestamp.Time}, found.ResourceVersion}
	live.shown = found.Labels[v1.LabelPlatform] == "true" || name == registry.DefaultNamespace
	for _, r := range codec.Resources {
		if live.shown {
			break
		}
		if live.shown, err = s.holds(ctx, name, r); err != nil {
			return livePlatform{}, err
		}
	}
	return live, nil
}

// holds asks the API server whether there is an object in a Kubernetes namespace.
func (s *Store) holds(ctx context.Context, name string, r *codec.Resource) (bool, error) {
	found := false
	err := s.ask(ctx, "list "+r.Plural, func(ctx context.Context) error {
		one, err := s.metadata.Resource(v1.GroupVersion.WithResource(r.Plural)).Namespace(name).List(ctx, metav1.ListOptions{Limit: 1})
		found = err == nil && len(one.Items) > 0
		return err
	})
	return found, err
}

// createNamespace makes a Kubernetes namespace a platform namespace.
func (s *Store) createNamespace(ctx context.Context, name string) (registry.Object, error) {
	if name == registry.DefaultNamespace {
		return registry.Object{}, registry.ErrExists // it always is one, seen or not
	}
	err := registry.ErrConflict
	var made metav1.Object
	for try := 0; try < tries && errors.Is(err, registry.ErrConflict); try++ {
		made, err = s.begin(ctx, name)
	}
	switch {
	case errors.Is(err, registry.ErrConflict):
		return registry.Object{}, &registry.Error{Reason: registry.ReasonConflict, Message: fmt.Sprintf(
			"Kubernetes namespace %q changed %d times while it was to become a platform namespace: try again", name, tries)}
	case err != nil:
		return registry.Object{}, err
	}
	s.awaitBrought(ctx, registry.Namespace, func() bool { n := s.namespaces[name]; return n != nil && n.shown }, func() {})
	n := namespace{uid: made.GetUID(), name: name, created: made.GetCreationTimestamp().Time}
	return n.view(), nil
}

// begin tries once to make a platform namespace of what is none. ErrExists if it is
// one, ErrConflict if somebody else wrote meanwhile.
func (s *Store) begin(ctx context.Context, name string) (metav1.Object, error) {
	live, err := s.platform(ctx, name)
	var made metav1.Object
	var first string // what somebody has to do who may, before there is something to label
	switch {
	case errors.Is(err, registry.ErrNotFound) && s.options.CreateNamespaces:
		first = "kubectl create namespace " + name + " && "
		if made, err = s.makeNamespace(ctx, name); apierrors.IsAlreadyExists(err) {
			return nil, registry.ErrConflict
		}
	case errors.Is(err, registry.ErrNotFound):
		return nil, &registry.Error{Reason: registry.ReasonNotFound, Message: fmt.Sprintf(
			"Kubernetes namespace %q does not exist, and the cluster keeps a platform namespace in the Kubernetes namespace of its name: kubectl create namespace %s, then try again", name, name)}
	case err != nil:
		return nil, err
	case live.shown:
		return nil, registry.ErrExists
	default:
		made, err = s.label(ctx, name, "true", live.version)
	}
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return nil, registry.ErrConflict
	case apierrors.IsForbidden(err):
		return nil, &registry.Error{Reason: registry.ReasonNotSupported, Message: fmt.Sprintf(
			"drey has no right to make %q a platform namespace; whoever may edit the Kubernetes namespace can: %skubectl label namespace %s %s=true", name, first, name, v1.LabelPlatform)}
	}
	return made, s.options.failure(ctx, "label namespace "+name, err)
}

// deleteNamespace makes a Kubernetes namespace one like others. It deletes nothing.
func (s *Store) deleteNamespace(ctx context.Context, name string, expected int32) error {
	n, err := s.getNamespace(ctx, registry.Key{Kind: registry.Namespace, Name: name}, registry.Consistent)
	if err != nil {
		return err
	}
	if n.Metadata.ResourceVersion != expected {
		return registry.ErrConflict
	}
	switch _, err := s.label(ctx, name, nil, ""); {
	case apierrors.IsNotFound(err):
		return registry.ErrNotFound
	case apierrors.IsForbidden(err):
		return &registry.Error{Reason: registry.ReasonNotSupported, Message: fmt.Sprintf(
			"drey has no right to remove the label of platform namespace %q; whoever may edit the Kubernetes namespace can: kubectl label namespace %s %s-", name, name, v1.LabelPlatform)}
	case err != nil:
		return s.options.failure(ctx, "remove the label of namespace "+name, err)
	}
	s.awaitBrought(ctx, registry.Namespace, func() bool { n := s.namespaces[name]; return n == nil || !n.labeled }, func() {})
	return nil
}

// label sets the label of platform namespaces, or takes it away (nil), if the namespace
// is still at a version; empty: at any.
func (s *Store) label(ctx context.Context, name string, value any, version string) (metav1.Object, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	metadata := map[string]any{"labels": map[string]any{v1.LabelPlatform: value}}
	if version != "" {
		metadata["resourceVersion"] = version
	}
	patch, err := json.Marshal(map[string]any{"metadata": metadata})
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
	o.SetLabels(map[string]string{v1.LabelPlatform: "true"})
	return s.dynamic.Resource(namespaceResource).Create(ctx, o, metav1.CreateOptions{})
}
