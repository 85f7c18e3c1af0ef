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

// proofs are whether the templates of owners are Flink's, by uid.
type proofs struct{ recent *cache.LRUExpireCache }

const (
	mostProofs  = 1024
	proofAge    = 10 * time.Minute // a running job does not turn into something else
	disproofAge = time.Second      // a template may be corrected
)

func newProofs() proofs { return proofs{cache.NewLRUExpireCache(mostProofs)} }

// Recognizer tells whether the template of an object, in JSON, is Flink's.
type Recognizer = func(apiVersion, kind string, object []byte) bool

// VerifyTemplate reads the pod template of an owner, and says whether it is Flink's: labels and
// owner references are not enough. If the API server does not answer in time, the owner
// stays as it is. An owner costs one call in ten minutes.
func (o *Owners) VerifyTemplate(ctx context.Context, namespace string, r flink.Owner, recognize Recognizer) flink.Owner {
	k, ok := among(known, flink.OwnerReference{APIVersion: r.APIVersion, Kind: r.Kind})
	if !ok || k.custom || k.cluster {
		return r
	}
	if isFlink, ok := o.proofs.recent.Get(r.UID); ok {
		r.TemplateNotFlink = !isFlink.(bool)
		return r
	}
	isFlink, err := o.runsFlink(ctx, k, namespace, r.Name, r.UID, recognize)
	switch {
	case errors.Is(err, errGone):
		r.Unresolved = true
		return r
	case err != nil:
		o.log.Debug("template of an owner not read", "namespace", namespace, "kind", r.Kind, "name", r.Name, "error", err)
		return r
	}
	age := disproofAge
	if isFlink {
		age = proofAge
	}
	o.proofs.recent.Add(r.UID, isFlink, age)
	r.TemplateNotFlink = !isFlink
	return r
}

// runsFlink reads an owner, and recognizes it by its template alone.
func (o *Owners) runsFlink(ctx context.Context, k kind, namespace, name, uid string, recognize Recognizer) (bool, error) {
	release, err := o.asked.turn(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	u, err := o.dynamic.Resource(k.resource()).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && string(u.GetUID()) != uid {
		return false, errGone
	}
	if err != nil {
		return false, err
	}
	u.SetOwnerReferences(nil) // they are no proof
	text, err := u.MarshalJSON()
	return err == nil && recognize(k.apiVersion(), k.Kind, text), err
}
