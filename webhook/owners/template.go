package owners

import (
	"context"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"

	"drey.dev/drey/webhook/flink"
)

// templates caches whether the pod template of an owner is Flink's, by UID.
type templates struct{ cache *cache.LRUExpireCache }

const (
	maxTemplates     = 1024
	flinkTemplateTTL = 10 * time.Minute // a running job does not become another workload
	otherTemplateTTL = time.Second      // the template may be corrected
)

func newTemplates() templates { return templates{cache.NewLRUExpireCache(maxTemplates)} }

// Recognizer reports whether the pod template of an object, in JSON, is Flink's.
type Recognizer = func(apiVersion, kind string, object []byte) bool

// VerifyTemplate reads the pod template of an owner, and returns the owner with the result:
// any user can write labels and owner references. The owner is returned unchanged if the API
// server does not answer in time. Results are cached.
func (o *Owners) VerifyTemplate(ctx context.Context, namespace string, owner flink.Owner, recognize Recognizer) flink.Owner {
	k, ok := kindIn(knownKinds, flink.OwnerReference{APIVersion: owner.APIVersion, Kind: owner.Kind})
	if !ok || k.custom || k.clusterScoped {
		return owner
	}
	if isFlink, ok := o.templates.cache.Get(owner.UID); ok {
		owner.TemplateNotFlink = !isFlink.(bool)
		return owner
	}
	isFlink, err := o.recognizeTemplate(ctx, k, namespace, owner.Name, owner.UID, recognize)
	switch {
	case errors.Is(err, errNotFound):
		owner.Unresolved = true
		return owner
	case err != nil:
		o.log.Debug("template of an owner not read", "namespace", namespace, "kind", owner.Kind, "name", owner.Name, "error", err)
		return owner
	}
	ttl := otherTemplateTTL
	if isFlink {
		ttl = flinkTemplateTTL
	}
	o.templates.cache.Add(owner.UID, isFlink, ttl)
	owner.TemplateNotFlink = !isFlink
	return owner
}

// recognizeTemplate reads an owner, and reports whether its template alone is Flink's.
func (o *Owners) recognizeTemplate(ctx context.Context, k kind, namespace, name, uid string, recognize Recognizer) (bool, error) {
	release, err := o.lookups.acquire(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	u, err := o.dynamic.Resource(k.resource()).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && string(u.GetUID()) != uid {
		return false, errNotFound
	}
	if err != nil {
		return false, err
	}
	u.SetOwnerReferences(nil) // an owner reference alone would be recognized as Flink
	text, err := u.MarshalJSON()
	return err == nil && recognize(k.apiVersion(), k.Kind, text), err
}
