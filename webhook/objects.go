package webhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	authenticationv1 "k8s.io/api/authentication/v1"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/verdict"
)

// Objects is what admission asks about drey's own objects, where the cluster keeps
// the registry and kubectl writes to it. All are required.
type Objects struct {
	Rules Rules

	// Decode reads an object as REST would show it, its metadata.name, and what it counts
	// against the quota of its platform namespace, in bytes.
	Decode func(kind registry.Kind, text []byte) (o registry.Object, name string, size int64, err error)

	// Holder finds who has a name in REST, and its metadata.name, or
	// registry.ErrNotFound.
	Holder func(ctx context.Context, key registry.Key) (o registry.Object, name string, err error)

	// Has reports whether the object of a kind, namespace and metadata.name has a uid,
	// by a consistent read.
	Has func(ctx context.Context, object registry.Key, uid string) (bool, error)

	// MarkDeleting marks an object that is about to be deleted, so that it is
	// reviewed anew and whoever comes to refer to it meanwhile stops that; or takes
	// the mark away. Nothing changes if it is like that already, or if the object is
	// not at the resourceVersion.
	MarkDeleting func(ctx context.Context, object registry.Key, uid, resourceVersion string, on bool) error

	// Ending tells whether a Kubernetes namespace is being deleted.
	Ending func(ctx context.Context, namespace string) (bool, error)
}

// Rules are those of the registry, which hold for kubectl as for REST.
type Rules interface {
	AllowCreate(ctx context.Context, o registry.Object) error
	AllowUpdate(ctx context.Context, o, was registry.Object) error
	AllowDelete(ctx context.Context, o registry.Object) error
	AllowGrowth(o registry.Object, n int64) error // in bytes
	Warnings(o registry.Object) []string
}

// Valid is the reason to allow a write to one of drey's own objects.
const Valid verdict.Reason = "Valid"

const (
	// terminatingTimeout bounds the look-up of a namespace's deletionTimestamp, which
	// comes after reviewTimeout has passed.
	terminatingTimeout = time.Second

	// reviewTimeout bounds the consistent reads of a review. A second of
	// config.RegistryTimeout is left for the answer to arrive.
	reviewTimeout = config.RegistryTimeout - terminatingTimeout - time.Second
)

// keepRules decides on writes to drey's own objects. It fails closed: what could
// not be found out is refused, and may be tried again.
func (w *Webhooks) keepRules(ctx context.Context, r *request[jsontext.Value]) response {
	answer := response{uid: r.UID, allowed: true, reason: verdict.NotApplicable}
	if r.SubResource != "" {
		return answer
	}
	bounded, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	err := w.judge(bounded, r, &answer)
	if err == nil {
		return answer
	}
	refusal, refused := errors.AsType[*registry.Error](err)
	if r.Operation == "DELETE" && w.isEnding(ctx, r.Namespace) || refused && w.isElsewhere(bounded, r) {
		answer.reason = verdict.NotApplicable
		return answer
	}
	answer.allowed, answer.message, answer.reason = false, "drey could not find out whether this may be: "+err.Error()+". Try again", verdict.Reason(registry.ReasonClusterUnavailable)
	if refused {
		answer.message, answer.reason = refusal.Message, verdict.Reason(refusal.Reason)
	}
	answer.later = answer.reason == verdict.Reason(registry.ReasonClusterUnavailable)
	w.metrics.denied(config.NameValidateRegistry, answer.reason, config.Enforce)
	w.log.Info("object denied", "webhook", config.NameValidateRegistry, "reason", answer.reason, "operation", r.Operation, "kind", r.Kind.Kind,
		"namespace", r.Namespace, "name", r.Name, "user", r.user().Username, "uid", r.UID, "error", err)
	return answer
}

// user is who makes a request.
func (r *request[T]) user() (u authenticationv1.UserInfo) {
	_ = jsonv2.Unmarshal(r.UserInfo, &u, decodeOptions) // the API server wrote it: who is nobody may do nothing
	return u
}

func (w *Webhooks) isEnding(ctx context.Context, namespace string) bool {
	ctx, cancel := context.WithTimeout(ctx, terminatingTimeout)
	defer cancel()
	ending, err := w.objects.Ending(ctx, namespace)
	if err != nil {
		w.log.Warn("whether a namespace is being deleted cannot be told", "namespace", namespace, "error", err)
	}
	return ending
}

// stored is what identifies the object that an update or a deletion is about.
type stored struct {
	key                  registry.Key // with metadata.name
	uid, resourceVersion string
}

func (r *request[T]) stored(old jsontext.Value) (stored, error) {
	var o struct {
		Metadata struct {
			Namespace       string `json:"namespace"`
			Name            string `json:"name"`
			UID             string `json:"uid"`
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
	}
	err := jsonv2.Unmarshal(old, &o, decodeOptions)
	m := o.Metadata
	return stored{registry.Key{Kind: registry.Kind(r.Kind.Kind), Namespace: m.Namespace, Name: m.Name}, m.UID, m.ResourceVersion}, err
}

// isElsewhere reports whether the cluster has no such object as the one that a review
// updates or deletes. A refusal tells what else is in the registry, and anybody who
// reaches the port may send a review: it is given to those who state the uid. For a review
// of the API server's nothing is lost, for it validates again, and fails, if the object is
// another by now.
func (w *Webhooks) isElsewhere(ctx context.Context, r *request[jsontext.Value]) bool {
	if r.Operation == "CREATE" || r.OldObject == nil {
		return false
	}
	s, err := r.stored(*r.OldObject)
	if err != nil {
		return false
	}
	has, err := w.objects.Has(ctx, s.key, s.uid)
	return err == nil && !has
}

func (w *Webhooks) judge(ctx context.Context, r *request[jsontext.Value], answer *response) error {
	switch r.Operation {
	case "CREATE":
		return w.judgeCreate(ctx, r, answer)
	case "UPDATE":
		return w.judgeUpdate(ctx, r, answer)
	case "DELETE":
		return w.judgeDelete(ctx, r, answer)
	}
	return nil
}

func (w *Webhooks) judgeCreate(ctx context.Context, r *request[jsontext.Value], answer *response) error {
	o, name, size, err := w.objects.Decode(registry.Kind(r.Kind.Kind), *r.Object)
	if err != nil {
		return err
	}
	answer.reason = Valid
	// What has the same name in Kubernetes is for the API server to answer.
	if _, holder, err := w.objects.Holder(ctx, o.Key()); err == nil && holder != name {
		return &registry.Error{Reason: registry.ReasonAlreadyExists, Message: fmt.Sprintf(
			"%s %q exists in platform namespace %q already, as %s in Kubernetes: choose another spec.name, or delete that one first: kubectl delete %s.drey.dev %s -n %s",
			o.Kind, o.Metadata.Name, o.Metadata.Namespace, holder, singular[o.Kind], holder, o.Metadata.Namespace)}
	} else if err != nil && !errors.Is(err, registry.ErrNotFound) {
		return err
	}
	if w.known.HasUID(o.Metadata.ID) {
		return registry.IDTaken(o, "something that runs")
	}
	answer.warnings = w.objects.Rules.Warnings(o)
	if err := w.objects.Rules.AllowCreate(ctx, o); err != nil {
		return err
	}
	return w.objects.Rules.AllowGrowth(o, size)
}

// singular is how kubectl calls the kinds.
var singular = map[registry.Kind]string{
	registry.DeploymentTarget: "deploymenttarget", registry.Deployment: "deployment", registry.SessionCluster: "sessioncluster",
}

func (w *Webhooks) judgeUpdate(ctx context.Context, r *request[jsontext.Value], answer *response) error {
	o, _, size, err := w.objects.Decode(registry.Kind(r.Kind.Kind), *r.Object)
	was, _, sizeBefore, wasErr := w.objects.Decode(registry.Kind(r.Kind.Kind), *r.OldObject)
	if err := cmp.Or(err, wasErr); err != nil {
		return err
	}
	answer.reason = Valid
	if o.Metadata.ID != was.Metadata.ID && w.known.HasUID(o.Metadata.ID) {
		return registry.IDTaken(o, "something that runs")
	}
	if err := w.objects.Rules.AllowUpdate(ctx, o, was); err != nil {
		return err
	}
	return w.objects.Rules.AllowGrowth(o, size-sizeBefore)
}

// judgeDelete looks at what stands on the object that has the name in REST. What
// has it not, since an older one has, holds nothing. An object without a mark gets
// one and comes here again before it goes: see docs/decisions/006.
func (w *Webhooks) judgeDelete(ctx context.Context, r *request[jsontext.Value], answer *response) error {
	if r.OldObject == nil {
		return errors.New("the request deletes an object and does not say which")
	}
	o, name, _, err := w.objects.Decode(registry.Kind(r.Kind.Kind), *r.OldObject)
	if err != nil {
		return err
	}
	s, err := r.stored(*r.OldObject)
	if err != nil {
		return err
	}
	answer.reason = Valid
	kept, holder, err := w.objects.Holder(ctx, o.Key())
	if errors.Is(err, registry.ErrNotFound) || err == nil && holder != name {
		return nil
	}
	if err != nil {
		return err
	}
	err = w.objects.Rules.AllowDelete(ctx, kept)
	switch {
	case r.DryRun:
	case err == nil:
		err = w.objects.MarkDeleting(ctx, s.key, s.uid, s.resourceVersion, true)
	default:
		_ = w.objects.MarkDeleting(ctx, s.key, s.uid, s.resourceVersion, false) // as good as it goes: a mark is in nobody's way
	}
	return err
}
