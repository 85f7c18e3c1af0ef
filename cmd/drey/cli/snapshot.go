package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"drey.dev/drey/cmd/drey/cli/manifest"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore"
	v1 "drey.dev/drey/registry/kubestore/v1"
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
	slices.SortStableFunc(objects, byReference)
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
	slices.SortStableFunc(manifests, func(a, b statedObject) int { return byReference(a.Object, b.Object) })
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

// byReference sorts objects after those that they may refer to.
func byReference(a, b registry.Object) int {
	order := []registry.Kind{registry.DeploymentTarget, registry.SessionCluster, registry.Deployment}
	return cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind))
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
		if !isRegistryObject(m) {
			continue
		}
		o, err := registryObject(m, registry.DefaultNamespace)
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	if len(all) == 0 {
		return nil, &exitError{exitUsage, fmt.Errorf("%v: no DeploymentTarget in it", paths)}
	}
	return all, nil
}

// isRegistryObject reports whether a manifest is a DeploymentTarget, Deployment or
// SessionCluster, as a custom resource or in the form of the REST API.
func isRegistryObject(m manifest.Manifest) bool {
	switch registry.Kind(m.Kind) {
	case registry.DeploymentTarget, registry.Deployment, registry.SessionCluster:
		return isCustomResource(m) || m.APIVersion == "v1" || m.APIVersion == ""
	}
	return false
}

// isCustomResource reports whether a manifest is of drey's API group.
func isCustomResource(m manifest.Manifest) bool {
	return strings.HasPrefix(m.APIVersion, v1.GroupVersion.Group+"/")
}

// registryObject decodes an object of the registry. namespace is the platform namespace
// of a custom resource without one.
func registryObject(m manifest.Manifest, namespace string) (o registry.Object, err error) {
	if !isCustomResource(m) {
		o, err = readRegistryObject(registry.Kind(m.Kind), m.Text)
	} else if o, _, _, err = kubestore.Decode(registry.Kind(m.Kind), m.Text); err == nil {
		o.Metadata.Namespace = cmp.Or(o.Metadata.Namespace, namespace)
	}
	if err != nil {
		return registry.Object{}, fmt.Errorf("%s: %w", m.String(), err)
	}
	return o, nil
}

// readRegistryObject decodes an object in the form of the REST API.
func readRegistryObject(kind registry.Kind, text []byte) (registry.Object, error) {
	var o struct {
		Metadata struct {
			ID          string            `json:"id"`
			Name        string            `json:"name"`
			DisplayName string            `json:"displayName"`
			Namespace   string            `json:"namespace"`
			Labels      map[string]string `json:"labels"`
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
		Spec json.RawMessage `json:"spec"`
	}
	if err := json.Unmarshal(text, &o); err != nil {
		return registry.Object{}, err
	}
	m := o.Metadata
	return registry.Object{Kind: kind, Spec: o.Spec, Metadata: registry.Metadata{
		ID: m.ID, Name: m.Name, DisplayName: m.DisplayName, Namespace: cmp.Or(m.Namespace, registry.DefaultNamespace), Labels: m.Labels, Annotations: m.Annotations,
	}}, nil
}

// fetchRegistry reads all of the registry over REST that the caller can list.
func (c *client) fetchRegistry(ctx context.Context) ([]registry.Object, error) {
	platforms, err := c.platforms(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the registry: %w; or use --targets FILE", err)
	}
	var all []registry.Object
	for _, platform := range platforms {
		for _, k := range objectKinds {
			answer, _, err := c.do(ctx, http.MethodGet, c.pathIn(platform, k.collection), nil)
			if err != nil {
				return nil, fmt.Errorf("read the registry: %w", err)
			}
			var list struct{ Items []json.RawMessage }
			if err := json.Unmarshal(answer, &list); err != nil {
				return nil, err
			}
			for _, item := range list.Items {
				o, err := readRegistryObject(registry.Kind(k.kind), item)
				if err != nil {
					return nil, err
				}
				all = append(all, o)
			}
		}
	}
	return all, nil
}
