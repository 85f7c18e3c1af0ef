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

// Objects validates writes to drey's custom resources, where the cluster stores the registry.
// All fields are required.
type Objects struct {
	Rules Rules

	// Decode returns an object as the REST API shows it, its metadata.name, and what it counts
	// against the quota of its platform namespace, in bytes.
	Decode func(kind registry.Kind, text []byte) (o registry.Object, name string, size int64, err error)

	// Holder returns the object with a name in the REST API, and its metadata.name, or
	// registry.ErrNotFound.
	Holder func(ctx context.Context, key registry.Key) (o registry.Object, name string, err error)

	// Has reports whether the object of a kind, namespace and metadata.name has a uid,
	// by a consistent read.
	Has func(ctx context.Context, object registry.Key, uid string) (bool, error)

	// MarkDeleting sets or removes the mark of an object that is about to be deleted. The
	// mark changes the resourceVersion, so the API server reviews the deletion again, and
	// writers of references see it. It does nothing if the mark is as wanted, or if the
	// object is not at the resourceVersion.
	MarkDeleting func(ctx context.Context, object registry.Key, uid, resourceVersion string, on bool) error

	// Ending reports whether a Kubernetes namespace is terminating.
	Ending func(ctx context.Context, namespace string) (bool, error)
}

// Rules are the rules of the registry, for kubectl as for the REST API.
type Rules interface {
	AllowCreate(ctx context.Context, o registry.Object) error
	AllowUpdate(ctx context.Context, o, was registry.Object) error
	AllowDelete(ctx context.Context, o registry.Object) error
	AllowGrowth(o registry.Object, n int64) error // in bytes
	Warnings(o registry.Object) []string
}

// Valid is the reason to allow a write to one of drey's custom resources.
const Valid verdict.Reason = "Valid"

const (
	// terminatingTimeout bounds the look-up of a namespace's deletionTimestamp, which
	// comes after reviewTimeout has passed.
	terminatingTimeout = time.Second

	// reviewTimeout bounds the consistent reads of a review. A second of
	// config.RegistryTimeout is left for the answer to arrive.
	reviewTimeout = config.RegistryTimeout - terminatingTimeout - time.Second
)

// reviewObject decides on writes to drey's custom resources. It fails closed: an error is a
// denial that can be retried.
func (w *Webhooks) reviewObject(ctx context.Context, r *request[jsontext.Value]) response {
	answer := response{uid: r.UID, allowed: true, reason: verdict.NotApplicable}
	if r.SubResource != "" {
		return answer
	}
	bounded, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	err := w.validate(bounded, r, &answer)
	if err == nil {
		return answer
	}
	denial, denied := errors.AsType[*registry.Error](err)
	if r.Operation == "DELETE" && w.isEnding(ctx, r.Namespace) || denied && w.isUnknown(bounded, r) {
		answer.reason = verdict.NotApplicable
		return answer
	}
	answer.allowed, answer.message, answer.reason = false, "cannot validate request: "+err.Error()+": try again", verdict.Reason(registry.ReasonClusterUnavailable)
	if denied {
		answer.message, answer.reason = denial.Message, verdict.Reason(denial.Reason)
	}
	answer.retryable = answer.reason == verdict.Reason(registry.ReasonClusterUnavailable)
	user := r.user()
	w.metrics.denied(config.NameValidateRegistry, answer.reason, config.Enforce)
	w.log.Info("object denied", "webhook", config.NameValidateRegistry, "reason", answer.reason, "operation", r.Operation, "kind", r.Kind.Kind,
		"namespace", r.Namespace, "name", r.Name, "user", user.Username, "uid", r.UID, "error", err)
	if !r.DryRun && !answer.retryable {
		w.observe(Denial{
			User: user.Username, Groups: user.Groups, Operation: r.Operation, Kind: r.Kind.Kind, Namespace: r.Namespace, Name: r.Name,
			PlatformNamespace: r.Namespace, Reason: answer.reason, Message: answer.message, Mode: config.Enforce, Sender: r.sender,
		})
	}
	return answer
}

// user returns the authenticated user of a request.
func (r *request[T]) user() (u authenticationv1.UserInfo) {
	_ = jsonv2.Unmarshal(r.UserInfo, &u, decodeOptions) // an invalid one has no permissions
	return u
}

func (w *Webhooks) isEnding(ctx context.Context, namespace string) bool {
	ctx, cancel := context.WithTimeout(ctx, terminatingTimeout)
	defer cancel()
	ending, err := w.objects.Ending(ctx, namespace)
	if err != nil {
		w.log.Warn("cannot read whether a namespace is terminating", "namespace", namespace, "error", err)
	}
	return ending
}

// stored identifies the object of an update or a deletion.
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

// isUnknown reports whether the cluster has no object with the uid that a review updates or
// deletes. A denial reveals other objects of the registry, and a failed call may have disclosed
// the path token, so only reviews with the uid get one. The API server validates again, and fails,
// if the object was replaced meanwhile.
func (w *Webhooks) isUnknown(ctx context.Context, r *request[jsontext.Value]) bool {
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

func (w *Webhooks) validate(ctx context.Context, r *request[jsontext.Value], answer *response) error {
	switch r.Operation {
	case "CREATE":
		return w.validateCreate(ctx, r, answer)
	case "UPDATE":
		return w.validateUpdate(ctx, r, answer)
	case "DELETE":
		return w.validateDelete(ctx, r, answer)
	}
	return nil
}

func (w *Webhooks) validateCreate(ctx context.Context, r *request[jsontext.Value], answer *response) error {
	o, name, size, err := w.objects.Decode(registry.Kind(r.Kind.Kind), *r.Object)
	if err != nil {
		return err
	}
	answer.reason = Valid
	// The API server itself denies a second object with the same metadata.name.
	if _, holder, err := w.objects.Holder(ctx, o.Key()); err == nil && holder != name {
		return &registry.Error{Reason: registry.ReasonAlreadyExists, Message: fmt.Sprintf(
			"%s %q exists in platform namespace %q already, as %s in Kubernetes: choose another spec.name, or delete that one first: kubectl delete %s.drey.dev %s -n %s",
			o.Kind, o.Metadata.Name, o.Metadata.Namespace, holder, singular[o.Kind], holder, o.Metadata.Namespace)}
	} else if err != nil && !errors.Is(err, registry.ErrNotFound) {
		return err
	}
	if w.state.HasUID(o.Metadata.ID) {
		return registry.IDTaken(o, "something that runs")
	}
	answer.warnings = w.objects.Rules.Warnings(o)
	if err := w.objects.Rules.AllowCreate(ctx, o); err != nil {
		return err
	}
	return w.objects.Rules.AllowGrowth(o, size)
}

// singular are the resource names for kubectl.
var singular = map[registry.Kind]string{
	registry.DeploymentTarget: "deploymenttarget", registry.Deployment: "deployment", registry.SessionCluster: "sessioncluster",
	registry.DeploymentDefaults: "deploymentdefaults",
}

func (w *Webhooks) validateUpdate(ctx context.Context, r *request[jsontext.Value], answer *response) error {
	o, _, size, err := w.objects.Decode(registry.Kind(r.Kind.Kind), *r.Object)
	was, _, sizeBefore, wasErr := w.objects.Decode(registry.Kind(r.Kind.Kind), *r.OldObject)
	if err := cmp.Or(err, wasErr); err != nil {
		return err
	}
	answer.reason = Valid
	if o.Metadata.ID != was.Metadata.ID && w.state.HasUID(o.Metadata.ID) {
		return registry.IDTaken(o, "something that runs")
	}
	if err := w.objects.Rules.AllowUpdate(ctx, o, was); err != nil {
		return err
	}
	return w.objects.Rules.AllowGrowth(o, size-sizeBefore)
}

// validateDelete checks the references to an object. An object whose name in the REST API
// belongs to an older one has no references. An object without the mark gets it, and the API
// server reviews the deletion again: see docs/explanation/decisions/006.
func (w *Webhooks) validateDelete(ctx context.Context, r *request[jsontext.Value], answer *response) error {
	if r.OldObject == nil {
		return errors.New("invalid AdmissionReview: DELETE without oldObject")
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
		_ = w.objects.MarkDeleting(ctx, s.key, s.uid, s.resourceVersion, false) // best effort: a mark that stays is harmless
	}
	return err
}
