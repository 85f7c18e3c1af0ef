package owners

import (
	"context"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/apimachinery/pkg/util/validation"

	"drey.dev/drey/webhook/flink"
)

// discoverer is the part of a discovery client that maps kinds to resources. It reads one
// group version at a time: users write owner references, and one of a kind that is not served
// must not cause the discovery of all groups.
type discoverer interface {
	ServerResourcesForGroupVersionWithContext(ctx context.Context, groupVersion string) (*metav1.APIResourceList, error)
}

// discoveredKinds maps the kinds that are not known to their resources, with a cache.
type discoveredKinds struct {
	client discoverer
	cache  *cache.LRUExpireCache // kind by schema.GroupVersionKind; the zero kind is not served
}

const (
	maxDiscoveredKinds = 256
	discoveryTTL       = 5 * time.Minute
)

func newDiscoveredKinds(client discoverer) discoveredKinds {
	return discoveredKinds{client, cache.NewLRUExpireCache(maxDiscoveredKinds)}
}

// discoverKind returns the kind of an owner reference. The error is errUnreadable if the API
// server does not serve it.
func (o *Owners) discoverKind(ctx context.Context, ref flink.OwnerReference) (kind, error) {
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil || gv.Version == "" || len(validation.IsDNS1035Label(gv.Version)) > 0 || gv.Group != "" && len(validation.IsDNS1123Subdomain(gv.Group)) > 0 {
		return kind{}, errUnreadable // not validated before admission, and becomes a part of a URL
	}
	gvk := gv.WithKind(ref.Kind)
	if cached, ok := o.discovered.cache.Get(gvk); ok {
		return cached.(kind).orUnreadable()
	}
	release, err := o.lookups.acquire(ctx)
	if err != nil {
		return kind{}, err
	}
	defer release()
	list, err := o.discovered.client.ServerResourcesForGroupVersionWithContext(ctx, gv.String())
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
		return kind{}, err
	}
	found := kind{}
	if err == nil {
		found = kindInList(gvk, list)
	}
	o.discovered.cache.Add(gvk, found, discoveryTTL)
	return found.orUnreadable()
}

func (k kind) orUnreadable() (kind, error) {
	if k.Resource == "" {
		return kind{}, errUnreadable
	}
	return k, nil
}

// kindInList returns a kind from the resources of its group version, the zero kind if it is
// not among them.
func kindInList(gvk schema.GroupVersionKind, list *metav1.APIResourceList) kind {
	for _, r := range list.APIResources {
		if r.Kind == gvk.Kind && !strings.Contains(r.Name, "/") { // not a subresource
			return kind{
				CustomResource: flink.CustomResource{Kind: gvk.Kind, Group: gvk.Group, Version: gvk.Version, Resource: r.Name},
				clusterScoped:  !r.Namespaced,
			}
		}
	}
	return kind{}
}

// forbiddenReads caches the kinds that drey may not read in a namespace, so that their pods
// cost no call each.
type forbiddenReads struct{ cache *cache.LRUExpireCache }

const (
	maxForbiddenReads = 1024
	forbiddenTTL      = 5 * time.Minute // a granted permission takes effect after it
)

type kindInNamespace struct {
	kind      kind
	namespace string
}

func newForbiddenReads() forbiddenReads {
	return forbiddenReads{cache.NewLRUExpireCache(maxForbiddenReads)}
}

func (f forbiddenReads) has(k kind, namespace string) bool {
	_, ok := f.cache.Get(kindInNamespace{k, namespace})
	return ok
}

func (f forbiddenReads) add(k kind, namespace string) {
	f.cache.Add(kindInNamespace{k, namespace}, struct{}{}, forbiddenTTL)
}
