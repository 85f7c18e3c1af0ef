package verdicts

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/cmd/drey/cli/document"
	"drey.dev/drey/cmd/drey/cli/manifest"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/memstore"
	webhookconfig "drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/verdict"
)

// registeredLabels returns a function that reads, once for each namespace, whether it
// has drey's label. A namespace that the user cannot read counts as registered.
func registeredLabels(ctx context.Context, config *rest.Config) (func(namespace string) bool, error) {
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	cached := map[string]bool{}
	return func(namespace string) bool {
		labeled, ok := cached[namespace]
		if !ok {
			n, err := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}).Get(ctx, namespace, metav1.GetOptions{})
			labeled = err != nil || n.Labels[webhookconfig.LabelRegistered] != ""
			cached[namespace] = labeled
		}
		return labeled
	}, nil
}

// statedObject is an object of the registry that a manifest states.
type statedObject struct {
	registry.Object
	position         string
	isCustomResource bool
}

// snapshotOf validates objects by the registry's rules, and indexes them: targets first,
// to which the others may refer. The objects of manifests are then applied as upserts.
// The lists of a live registry are not one consistent read: objects that refer to one
// deleted in between are skipped.
func snapshotOf(ctx context.Context, home string, objects []registry.Object, live bool, manifests []statedObject) (verdict.Caches, error) {
	store := &idStore{Store: memstore.New()}
	var namespaces []string
	for _, o := range objects {
		namespaces = append(namespaces, o.Metadata.Namespace)
	}
	for _, o := range manifests {
		namespaces = append(namespaces, o.Metadata.Namespace)
	}
	rules, err := registry.New(ctx, store, registry.Options{OwnNamespace: home, Namespaces: namespaces})
	if err != nil {
		return verdict.Caches{}, err
	}
	slices.SortStableFunc(objects, document.ByReference)
	for _, o := range objects {
		store.id = o.Metadata.ID
		_, err := rules.Create(ctx, o, nil)
		if live && registry.ReasonOf(err) == registry.ReasonUnknownReference {
			continue
		}
		if err != nil {
			return verdict.Caches{}, err
		}
	}
	slices.SortStableFunc(manifests, func(a, b statedObject) int { return document.ByReference(a.Object, b.Object) })
	for _, o := range manifests {
		store.id = o.Metadata.ID
		if _, _, err := rules.Put(ctx, o.Object, registry.Precondition{}, nil); err != nil {
			return verdict.Caches{}, fmt.Errorf("%s: %w", o.position, err)
		}
	}
	index := registry.NewIndex(home)
	return verdict.Caches{Registry: index}, index.Follow(ctx, store)
}

// idStore creates objects with the id that they have in the original registry, to which
// others may refer, instead of a new one.
type idStore struct {
	registry.Store
	id string // of the next object; empty: a new one
}

// Create implements registry.Store.
func (s *idStore) Create(ctx context.Context, o registry.Object) (registry.Object, error) {
	if o.Kind != registry.Namespace {
		o.Metadata.ID = cmp.Or(s.id, o.Metadata.ID)
	}
	return s.Store.Create(ctx, o)
}

// readRegistry reads the registry's objects from files, in the form of the REST API or
// of custom resources.
func readRegistry(reader *manifest.Reader, paths []string) ([]registry.Object, error) {
	manifests, err := reader.Read(paths)
	if err != nil {
		return nil, err
	}
	var all []registry.Object
	for _, m := range manifests {
		if !document.IsRegistryObject(m) {
			continue
		}
		o, err := document.FromManifest(m, registry.DefaultNamespace)
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	if len(all) == 0 {
		return nil, command.WithCode(command.ExitUsage, fmt.Errorf("%v: no DeploymentTarget in it", paths))
	}
	return all, nil
}
