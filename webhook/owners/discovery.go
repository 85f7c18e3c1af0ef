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

// discoverer is the part of a discovery client that maps kinds to resources. Of the API
// server's groups it reads one version at a time: an owner reference is written by
// users, and one of a kind that is not served must not cost the discovery of all.
type discoverer interface {
	ServerResourcesForGroupVersionWithContext(ctx context.Context, groupVersion string) (*metav1.APIResourceList, error)
}

// served maps kinds that are not followed to their resources, with a cache.
type served struct {
	api    discoverer
	recent *cache.LRUExpireCache // kind, by schema.GroupVersionKind; the zero kind: it is not served
}

const (
	mostKinds = 256
	kindAge   = 5 * time.Minute
)

func newServed(api discoverer) served { return served{api, cache.NewLRUExpireCache(mostKinds)} }

// kindOf is the kind that an owner reference names. The error is errUnreadable if the
// API server does not serve it.
func (o *Owners) kindOf(ctx context.Context, ref flink.OwnerReference) (kind, error) {
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil || gv.Version == "" || len(validation.IsDNS1035Label(gv.Version)) > 0 || gv.Group != "" && len(validation.IsDNS1123Subdomain(gv.Group)) > 0 {
		return kind{}, errUnreadable // it is not validated yet, and would become a part of a URL
	}
	gvk := gv.WithKind(ref.Kind)
	if known, ok := o.served.recent.Get(gvk); ok {
		return known.(kind).orUnreadable()
	}
	release, err := o.asked.turn(ctx)
	if err != nil {
		return kind{}, err
	}
	defer release()
	list, err := o.served.api.ServerResourcesForGroupVersionWithContext(ctx, gv.String())
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
		return kind{}, err
	}
	found := kind{}
	if err == nil {
		found = resourceOf(gvk, list)
	}
	o.served.recent.Add(gvk, found, kindAge)
	return found.orUnreadable()
}

func (k kind) orUnreadable() (kind, error) {
	if k.Resource == "" {
		return kind{}, errUnreadable
	}
	return k, nil
}

// resourceOf finds a kind in what the API server serves of its group and version; the
// zero kind if it is not there.
func resourceOf(gvk schema.GroupVersionKind, list *metav1.APIResourceList) kind {
	for _, r := range list.APIResources {
		if r.Kind == gvk.Kind && !strings.Contains(r.Name, "/") {
			return kind{
				CustomResource: flink.CustomResource{Kind: gvk.Kind, Group: gvk.Group, Version: gvk.Version, Resource: r.Name},
				cluster:        !r.Namespaced,
			}
		}
	}
	return kind{}
}

// unread remembers of which kinds the objects in a namespace may not be read, so that
// an owner without that right costs no call for each pod.
type unread struct{ recent *cache.LRUExpireCache }

const (
	mostUnread = 1024
	unreadAge  = 5 * time.Minute // then a right that was granted counts
)

type resourceIn struct {
	kind      kind
	namespace string
}

func newUnread() unread { return unread{cache.NewLRUExpireCache(mostUnread)} }

func (u unread) has(k kind, namespace string) bool {
	_, ok := u.recent.Get(resourceIn{k, namespace})
	return ok
}

func (u unread) keep(k kind, namespace string) {
	u.recent.Add(resourceIn{k, namespace}, struct{}{}, unreadAge)
}
