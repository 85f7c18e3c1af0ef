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

// namespace is a Kubernetes namespace. [v1.LabelPlatform] defines which are platform
// namespaces.
type namespace struct {
	uid      types.UID
	name     string
	created  time.Time
	bindings string // the annotation
	labeled  bool
	shown    bool // as a platform namespace
	notReady notReady
}

// view returns a platform namespace as the registry shows it. It is immutable.
func (n *namespace) view() registry.Object {
	created := n.created.UTC()
	return registry.Object{
		Kind: registry.Namespace,
		Metadata: registry.Metadata{
			ID: string(n.uid), Name: n.name, CreatedAt: created, ModifiedAt: created,
			Labels: map[string]string{}, Annotations: map[string]string{}, ResourceVersion: 1,
		},
		Spec: specOfBindings(n.bindings),
	}
}

// specOfBindings returns the spec of a platform namespace from the annotation, which any editor of the
// Kubernetes namespace may write.
func specOfBindings(annotation string) json.RawMessage {
	var bindings []registry.RoleBinding
	if json.Unmarshal([]byte(annotation), &bindings) != nil {
		bindings = nil
	}
	return registry.NamespaceSpec(bindings)
}

// annotationOf returns the annotation with the role bindings of a platform namespace; "": none.
func annotationOf(o registry.Object) string {
	bindings := registry.RoleBindings(o)
	if len(bindings) == 0 {
		return ""
	}
	text, _ := json.Marshal(bindings) // strings marshal
	return string(text)
}

// publishNamespace publishes when a Kubernetes namespace becomes a platform namespace, or
// ceases to be one.
func (c *objectCache) publishNamespace(name string) {
	n := c.namespaces[name]
	if n == nil {
		return // the watch delivered an object in it first
	}
	isPlatform := n.labeled || name == registry.DefaultNamespace || c.counts[name] > 0
	switch {
	case isPlatform && !n.shown:
		n.shown = true
		c.feed.Publish(registry.Event{Change: registry.Added, Object: n.view()})
	case !isPlatform && n.shown:
		n.shown = false
		c.feed.Publish(registry.Event{Change: registry.Deleted, Object: n.view()})
	}
}

func (c *objectCache) upsertNamespace(o metav1.Object) {
	n := &namespace{
		uid: o.GetUID(), name: o.GetName(), created: o.GetCreationTimestamp().Time, bindings: o.GetAnnotations()[v1.AnnotationRoleBindings], labeled: o.GetLabels()[v1.LabelPlatform] == "true", notReady: c.namespaceNotReady(o),
	}
	old := c.namespaces[n.name]
	if old == nil || old.notReady != n.notReady {
		c.enqueueTargetsOf(n.name)
	}
	if old != nil {
		if old.uid == n.uid {
			n.shown = old.shown
		} else {
			c.removeNamespace(n.name)
		}
	}
	c.namespaces[n.name] = n
	if old != nil && n.shown && old.bindings != n.bindings {
		c.feed.Publish(registry.Event{Change: registry.Modified, Object: n.view()})
	}
	c.publishNamespace(n.name)
}

func (c *objectCache) removeNamespace(name string) {
	n := c.namespaces[name]
	delete(c.namespaces, name)
	c.enqueueTargetsOf(name)
	if n != nil && n.shown {
		c.feed.Publish(registry.Event{Change: registry.Deleted, Object: n.view()})
	}
}

// assumeNamespace shows a platform namespace that the store has no permission to get.
func (s *Store) assumeNamespace(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.upsertNamespace(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1.LabelPlatform: "true"}}})
}

// getNamespace returns a platform namespace. A cache miss is verified by a consistent read, as
// for every object: another process may have created it.
func (s *Store) getNamespace(ctx context.Context, key registry.Key, c registry.Consistency) (registry.Object, error) {
	if key.Kind != registry.Namespace || key.Namespace != "" {
		return registry.Object{}, registry.ErrNotFound
	}
	s.mu.RLock()
	n := s.namespaces[key.Name]
	shown := n != nil && n.shown
	s.mu.RUnlock()
	switch {
	case shown && (c == registry.Cached || s.options.PlatformNamespace != ""):
		return n.view(), nil
	case s.options.PlatformNamespace != "": // no permission to get namespaces
		return registry.Object{}, registry.ErrNotFound
	}
	live, err := s.getKubernetesNamespace(ctx, key.Name)
	if err == nil && !live.shown {
		err = registry.ErrNotFound
	}
	if err != nil {
		return registry.Object{}, err
	}
	return live.view(), nil
}

// liveNamespace is a Kubernetes namespace from a consistent read.
type liveNamespace struct {
	namespace
	resourceVersion string
}

// getKubernetesNamespace reads a Kubernetes namespace consistently, and whether it is a
// platform namespace. ErrNotFound if there is none.
func (s *Store) getKubernetesNamespace(ctx context.Context, name string) (liveNamespace, error) {
	if !isPathSegment(name) {
		return liveNamespace{}, registry.ErrNotFound
	}
	var found *metav1.PartialObjectMetadata
	err := s.call(ctx, "get namespace "+name, func(ctx context.Context) (err error) {
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
		return liveNamespace{}, err
	}
	live := liveNamespace{namespace{uid: found.UID, name: name, created: found.CreationTimestamp.Time, bindings: found.Annotations[v1.AnnotationRoleBindings]}, found.ResourceVersion}
	live.shown = found.Labels[v1.LabelPlatform] == "true" || name == registry.DefaultNamespace
	for _, r := range codec.Resources {
		if live.shown {
			break
		}
		if live.shown, err = s.hasObjects(ctx, name, r); err != nil {
			return liveNamespace{}, err
		}
	}
	return live, nil
}

// hasObjects reports whether a Kubernetes namespace has objects of a kind.
func (s *Store) hasObjects(ctx context.Context, name string, r *codec.Resource) (bool, error) {
	found := false
	err := s.call(ctx, "list "+r.Plural, func(ctx context.Context) error {
		list, err := s.metadata.Resource(v1.GroupVersion.WithResource(r.Plural)).Namespace(name).List(ctx, metav1.ListOptions{Limit: 1})
		found = err == nil && len(list.Items) > 0
		return err
	})
	return found, err
}

// createNamespace makes a Kubernetes namespace a platform namespace.
func (s *Store) createNamespace(ctx context.Context, o registry.Object) (registry.Object, error) {
	name, bindings := o.Metadata.Name, annotationOf(o)
	if name == registry.DefaultNamespace {
		return registry.Object{}, registry.ErrExists
	}
	err := registry.ErrConflict
	var created metav1.Object
	for try := 0; try < maxAttempts && errors.Is(err, registry.ErrConflict); try++ {
		created, err = s.tryCreateNamespace(ctx, name, bindings)
	}
	switch {
	case errors.Is(err, registry.ErrConflict):
		return registry.Object{}, &registry.Error{Reason: registry.ReasonConflict, Message: fmt.Sprintf(
			"cannot label Kubernetes namespace %q: it changed %d times meanwhile: try again", name, maxAttempts)}
	case err != nil:
		return registry.Object{}, err
	}
	s.waitForCache(ctx, registry.Namespace, func() bool { n := s.namespaces[name]; return n != nil && n.shown }, func() {})
	n := namespace{uid: created.GetUID(), name: name, created: created.GetCreationTimestamp().Time, bindings: bindings}
	return n.view(), nil
}

// updateNamespace replaces the role bindings of a platform namespace. Its version is always 1: the
// patch itself detects other writers.
func (s *Store) updateNamespace(ctx context.Context, o registry.Object, expected int32) (registry.Object, error) {
	name, bindings := o.Metadata.Name, annotationOf(o)
	if s.options.PlatformNamespace != "" {
		return registry.Object{}, bindingsForbidden(name)
	}
	live, err := s.getKubernetesNamespace(ctx, name)
	switch {
	case err == nil && !live.shown:
		return registry.Object{}, registry.ErrNotFound
	case err == nil && live.view().Metadata.ResourceVersion != expected:
		return registry.Object{}, registry.ErrConflict
	case err != nil:
		return registry.Object{}, err
	}
	change := map[string]any{"resourceVersion": live.resourceVersion, "annotations": map[string]any{v1.AnnotationRoleBindings: orNull(bindings)}}
	switch _, err := s.patchNamespace(ctx, name, change); {
	case apierrors.IsConflict(err):
		return registry.Object{}, registry.ErrConflict
	case apierrors.IsNotFound(err):
		return registry.Object{}, registry.ErrNotFound
	case apierrors.IsForbidden(err):
		return registry.Object{}, bindingsForbidden(name)
	case err != nil:
		return registry.Object{}, s.options.toRegistryError(ctx, "annotate namespace "+name, err)
	}
	s.waitForCache(ctx, registry.Namespace, func() bool { n := s.namespaces[name]; return n == nil || n.bindings == bindings }, func() {})
	live.bindings = bindings
	return live.view(), nil
}

func bindingsForbidden(name string) error {
	return &registry.Error{Reason: registry.ReasonNotSupported, Message: fmt.Sprintf(
		"drey is not permitted to keep role bindings of platform namespace %q: they would grant nothing: use kubectl create rolebinding -n %s", name, name)}
}

// orNull returns nil for an empty text, which removes a key in a merge patch.
func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// tryCreateNamespace tries once to create a platform namespace. ErrExists if it is one,
// ErrConflict if the Kubernetes namespace changed meanwhile.
func (s *Store) tryCreateNamespace(ctx context.Context, name, bindings string) (metav1.Object, error) {
	live, err := s.getKubernetesNamespace(ctx, name)
	var created metav1.Object
	var remedy string // precedes kubectl label
	switch {
	case errors.Is(err, registry.ErrNotFound) && s.options.CreateNamespaces:
		remedy = "kubectl create namespace " + name + " && "
		if created, err = s.createKubernetesNamespace(ctx, name, bindings); apierrors.IsAlreadyExists(err) {
			return nil, registry.ErrConflict
		}
	case errors.Is(err, registry.ErrNotFound):
		return nil, &registry.Error{Reason: registry.ReasonNotFound, Message: fmt.Sprintf(
			"Kubernetes namespace %q does not exist: a platform namespace needs a Kubernetes namespace of the same name: kubectl create namespace %s, then try again", name, name)}
	case err != nil:
		return nil, err
	case live.shown:
		return nil, registry.ErrExists
	default:
		created, err = s.patchNamespace(ctx, name, map[string]any{
			"resourceVersion": live.resourceVersion,
			"labels":          map[string]any{v1.LabelPlatform: "true"},
			"annotations":     map[string]any{v1.AnnotationRoleBindings: orNull(bindings)},
		})
	}
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return nil, registry.ErrConflict
	case apierrors.IsForbidden(err):
		return nil, &registry.Error{Reason: registry.ReasonNotSupported, Message: fmt.Sprintf(
			"drey is not permitted to make %q a platform namespace: run as a user with patch on the Kubernetes namespace: %skubectl label namespace %s %s=true", name, remedy, name, v1.LabelPlatform)}
	}
	return created, s.options.toRegistryError(ctx, "label namespace "+name, err)
}

// deleteNamespace makes a platform namespace an ordinary Kubernetes namespace. It deletes
// nothing but the label and the role bindings.
func (s *Store) deleteNamespace(ctx context.Context, name string, expected int32) error {
	n, err := s.getNamespace(ctx, registry.Key{Kind: registry.Namespace, Name: name}, registry.Consistent)
	if err != nil {
		return err
	}
	if n.Metadata.ResourceVersion != expected {
		return registry.ErrConflict
	}
	change := map[string]any{"labels": map[string]any{v1.LabelPlatform: nil}, "annotations": map[string]any{v1.AnnotationRoleBindings: nil}}
	switch _, err := s.patchNamespace(ctx, name, change); {
	case apierrors.IsNotFound(err):
		return registry.ErrNotFound
	case apierrors.IsForbidden(err):
		return &registry.Error{Reason: registry.ReasonNotSupported, Message: fmt.Sprintf(
			"drey is not permitted to remove the label of platform namespace %q: run as a user with patch on the Kubernetes namespace: kubectl label namespace %s %s-", name, name, v1.LabelPlatform)}
	case err != nil:
		return s.options.toRegistryError(ctx, "remove the label of namespace "+name, err)
	}
	s.waitForCache(ctx, registry.Namespace, func() bool { n := s.namespaces[name]; return n == nil || !n.labeled }, func() {})
	return nil
}

// patchNamespace applies a merge patch to the metadata of a Kubernetes namespace. A resourceVersion
// is a precondition.
func (s *Store) patchNamespace(ctx context.Context, name string, metadata map[string]any) (metav1.Object, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	patch, err := json.Marshal(map[string]any{"metadata": metadata})
	if err != nil {
		return nil, err
	}
	return s.metadata.Resource(namespaceResource).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
}

func (s *Store) createKubernetesNamespace(ctx context.Context, name, bindings string) (metav1.Object, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace"}}
	o.SetName(name)
	o.SetLabels(map[string]string{v1.LabelPlatform: "true"})
	if bindings != "" {
		o.SetAnnotations(map[string]string{v1.AnnotationRoleBindings: bindings})
	}
	return s.dynamic.Resource(namespaceResource).Create(ctx, o, metav1.CreateOptions{})
}
