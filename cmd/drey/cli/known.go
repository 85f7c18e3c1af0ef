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

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore"
	v1 "drey.dev/drey/registry/kubestore/v1"
	"drey.dev/drey/registry/memstore"
	webhookconfig "drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/flink"
)

// snapshot is a registry as it is at one moment, for commands that ask what drey
// would say.
type snapshot struct {
	*registry.Index
	owners ownerCache                  // nil without a cluster
	marked func(namespace string) bool // nil: likewise
}

// ownerCache is the part of [owners.Owners] that reads its caches.
type ownerCache interface {
	HasUID(id string) bool
	Cluster(namespace, name string) (flink.Cluster, bool)
}

// HadTarget implements verdict.State.
func (s snapshot) HadTarget(namespace string) bool { return s.marked != nil && s.marked(namespace) }

// readMarks returns whether drey has marked a namespace, as the API server says. Each is
// read once; one that the person may not read is taken for marked.
func readMarks(ctx context.Context, config *rest.Config) (func(namespace string) bool, error) {
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	return func(namespace string) bool {
		marked, ok := known[namespace]
		if !ok {
			n, err := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}).Get(ctx, namespace, metav1.GetOptions{})
			marked = err != nil || n.Labels[webhookconfig.LabelRegistered] != ""
			known[namespace] = marked
		}
		return marked
	}, nil
}

// HasUID implements verdict.State.
func (s snapshot) HasUID(id string) bool { return s.owners != nil && s.owners.HasUID(id) }

// Cluster implements verdict.State.
func (s snapshot) Cluster(namespace, name string) (flink.Cluster, bool) {
	if s.owners == nil {
		return flink.Cluster{}, false
	}
	return s.owners.Cluster(namespace, name)
}

// stated is an object of the registry as a manifest states it.
type stated struct {
	registry.Object
	where            string
	isCustomResource bool
}

// snapshotOf fills an index with objects, which the registry's rules have not seen
// yet, targets first: the others may refer to them. The objects that manifests state
// are applied to them: one that is there already is updated, or stays as it is. The lists
// of a live registry are of different moments: an object that refers to one which was
// deleted in between is left out.
func snapshotOf(ctx context.Context, home string, objects []registry.Object, live bool, manifests []stated) (snapshot, error) {
	store := &idKeeper{Store: memstore.New()}
	var namespaces []string
	for _, o := range objects {
		namespaces = append(namespaces, o.Metadata.Namespace)
	}
	for _, o := range manifests {
		namespaces = append(namespaces, o.Metadata.Namespace)
	}
	rules, err := registry.New(ctx, store, registry.Options{Home: home, Namespaces: namespaces})
	if err != nil {
		return snapshot{}, err
	}
	slices.SortStableFunc(objects, inOrder)
	for _, o := range objects {
		store.id = o.Metadata.ID
		_, err := rules.Create(ctx, o)
		if live && registry.ReasonOf(err) == registry.ReasonUnknownReference {
			continue
		}
		if err != nil {
			return snapshot{}, err
		}
	}
	slices.SortStableFunc(manifests, func(a, b stated) int { return inOrder(a.Object, b.Object) })
	for _, o := range manifests {
		store.id = o.Metadata.ID
		if _, _, err := rules.Put(ctx, o.Object, registry.Precondition{}); err != nil {
			return snapshot{}, fmt.Errorf("%s: %w", o.where, err)
		}
	}
	s := snapshot{Index: registry.NewIndex(home)}
	return s, s.Follow(ctx, store)
}

// idKeeper gives new objects the id that they have elsewhere, instead of the one that
// the registry makes: others may refer to it.
type idKeeper struct {
	registry.Store
	id string // of the next object; empty: the registry's
}

// Create implements registry.Store.
func (s *idKeeper) Create(ctx context.Context, o registry.Object) (registry.Object, error) {
	if o.Kind != registry.Namespace {
		o.Metadata.ID = cmp.Or(s.id, o.Metadata.ID)
	}
	return s.Store.Create(ctx, o)
}

// inOrder sorts objects so that none comes before what it may refer to.
func inOrder(a, b registry.Object) int {
	order := []registry.Kind{registry.DeploymentTarget, registry.SessionCluster, registry.Deployment}
	return cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind))
}

// readRegistry reads the registry's objects from files: as REST and drey targets
// get -o yaml write them, or as Kubernetes does.
func readRegistry(reader *manifestReader, paths []string) ([]registry.Object, error) {
	manifests, err := reader.read(paths)
	if err != nil {
		return nil, err
	}
	var all []registry.Object
	for _, m := range manifests {
		if !m.isRegistryObject() {
			continue
		}
		o, err := m.registryObject(registry.DefaultNamespace)
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	if len(all) == 0 {
		return nil, &exitError{exitUsage, fmt.Errorf("%v: there is no DeploymentTarget in it", paths)}
	}
	return all, nil
}

// isRegistryObject holds for a DeploymentTarget, Deployment or SessionCluster of
// drey.dev, or as REST writes it.
func (m manifest) isRegistryObject() bool {
	switch registry.Kind(m.Kind) {
	case registry.DeploymentTarget, registry.Deployment, registry.SessionCluster:
		return m.isCustomResource() || m.APIVersion == "v1" || m.APIVersion == ""
	}
	return false
}

// isCustomResource holds for an object of drey.dev.
func (m manifest) isCustomResource() bool {
	return strings.HasPrefix(m.APIVersion, v1.GroupVersion.Group+"/")
}

// registryObject reads an object of the registry. namespace is the platform namespace
// of a custom resource that states none.
func (m manifest) registryObject(namespace string) (o registry.Object, err error) {
	if !m.isCustomResource() {
		o, err = readRegistryObject(registry.Kind(m.Kind), m.text)
	} else if o, _, _, err = kubestore.Decode(registry.Kind(m.Kind), m.text); err == nil {
		o.Metadata.Namespace = cmp.Or(o.Metadata.Namespace, namespace)
	}
	if err != nil {
		return registry.Object{}, fmt.Errorf("%s: %w", m.where(), err)
	}
	return o, nil
}

// readRegistryObject reads an object as REST writes it.
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

// fetchRegistry reads the registry of a running drey: all of it that the caller may
// see.
func (c *client) fetchRegistry(ctx context.Context) ([]registry.Object, error) {
	answer, _, err := c.do(ctx, http.MethodGet, "/namespaces/v1/namespaces", nil)
	if err != nil {
		return nil, fmt.Errorf("read the registry: %w. Or give --targets FILE", err)
	}
	var list struct {
		Namespaces []struct{ Name string }
	}
	if err := json.Unmarshal(answer, &list); err != nil {
		return nil, err
	}
	var all []registry.Object
	for _, n := range list.Namespaces {
		in := *c
		in.namespace = strings.TrimPrefix(n.Name, "namespaces/")
		for _, k := range objectKinds {
			answer, _, err := in.do(ctx, http.MethodGet, in.path(k.collection), nil)
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
