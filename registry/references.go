package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Reference is something that stands on an object of the registry: another
// object, or a Flink workload that runs in the cluster.
type Reference struct {
	Kind string // Deployment, SessionCluster; or Kubernetes Deployment, Pod, FlinkDeployment and the like for what is in the cluster
	Name string

	Namespace string // the Kubernetes namespace of what runs
}

func (r Reference) String() string {
	if r.Namespace != "" {
		return fmt.Sprintf("%s %s in Kubernetes namespace %s", r.Kind, quote(r.Name), quote(r.Namespace))
	}
	return fmt.Sprintf("%s %s", r.Kind, quote(r.Name))
}

// Workloads says what of Flink runs in the cluster.
type Workloads interface {
	// Running lists what runs in a Kubernetes namespace and belongs to a
	// platform namespace, and Flink's custom resources there, which an operator
	// may start at any time.
	Running(ctx context.Context, kubernetesNamespace, platformNamespace string) ([]Reference, error)

	// Jobs lists the jobs among it.
	Jobs(ctx context.Context, kubernetesNamespace, platformNamespace string) ([]RunningJob, error)
}

type noWorkloads struct{}

func (noWorkloads) Running(context.Context, string, string) ([]Reference, error) { return nil, nil }
func (noWorkloads) Jobs(context.Context, string, string) ([]RunningJob, error)   { return nil, nil }

// References lists what stands on an object: those of the registry first,
// ordered by kind and name.
func (r *Registry) References(ctx context.Context, o Object) ([]Reference, error) {
	found, err := r.registered(ctx, o)
	if err != nil || o.Kind != DeploymentTarget {
		return found, err
	}
	running, err := r.running(ctx, o)
	return append(found, running...), err
}

// registered lists what of the registry stands on an object.
func (r *Registry) registered(ctx context.Context, o Object) ([]Reference, error) {
	var found []Reference
	for _, kind := range []Kind{Deployment, SessionCluster} {
		candidates, err := r.store.List(ctx, kind, o.Metadata.Namespace)
		if err != nil {
			return nil, err
		}
		for _, c := range candidates {
			refs, err := kinds[kind].refersTo(c.Spec)
			if err != nil {
				return nil, fmt.Errorf("read to what %s refers: %w", name(c.Key()), err)
			}
			for _, ref := range refs {
				if ref.isTo(o) {
					found = append(found, Reference{Kind: string(kind), Name: c.Metadata.Name})
					break
				}
			}
		}
	}
	return found, nil
}

// running lists the live workloads that stand on a target: those of its
// platform namespace in its Kubernetes namespace, unless another target of the
// same platform namespace would hold them.
func (r *Registry) running(ctx context.Context, target Object) ([]Reference, error) {
	namespace := targetNamespace(target, r.home)
	siblings, err := r.store.List(ctx, DeploymentTarget, target.Metadata.Namespace)
	if err != nil {
		return nil, err
	}
	for _, s := range siblings {
		if s.Metadata.ID != target.Metadata.ID && targetNamespace(s, r.home) == namespace {
			return nil, nil
		}
	}
	found, err := r.workloads.Running(ctx, namespace, target.Metadata.Namespace)
	if err != nil {
		return nil, untold(namespace, err)
	}
	for i := range found {
		found[i].Namespace = namespace
	}
	return found, nil
}

// untold refuses what depends on what runs in a Kubernetes namespace, when
// nobody can tell.
func untold(kubernetesNamespace string, err error) error {
	return refuse(ReasonClusterUnavailable, "what of Flink runs in Kubernetes namespace %s cannot be told: %v. Try again when the API server answers, "+
		"or grant the right to list pods and Flink's custom resources there", quote(kubernetesNamespace), err)
}

// checkReferences refuses an object that refers to what does not exist. The
// caller holds the guard.
func (r *Registry) checkReferences(ctx context.Context, o Object) error {
	refs, err := kinds[o.Kind].refersTo(o.Spec)
	if err != nil {
		return err
	}
	for _, ref := range refs {
		found, err := r.find(ctx, o.Metadata.Namespace, ref)
		if err != nil {
			return err
		}
		if !found {
			return unknownReference(o, ref)
		}
	}
	return nil
}

// find tells whether what a reference is to is there.
func (r *Registry) find(ctx context.Context, namespace string, ref ref) (bool, error) {
	key, ok, err := r.locate(ctx, namespace, ref)
	if !ok || err != nil || ref.id != "" {
		return ok, err
	}
	// The platform namespace need not be known yet: kubectl may have made its first
	// object a moment ago.
	_, err = r.store.Get(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// locate returns the key that a reference means; false if it is an id that nothing has.
func (r *Registry) locate(ctx context.Context, namespace string, ref ref) (Key, bool, error) {
	if ref.id != "" {
		return r.byID(ctx, ref.kind, namespace, ref.id)
	}
	key, err := r.resolve(ctx, Key{ref.kind, namespace, ref.name})
	return key, err == nil, err
}

// checkUnreferenced refuses to let an object go while something stands on it.
func (r *Registry) checkUnreferenced(ctx context.Context, o Object, references func(context.Context, Object) ([]Reference, error)) error {
	reason := ReasonTargetReferenced
	switch o.Kind {
	case DeploymentTarget:
	case SessionCluster:
		reason = ReasonSessionClusterReferenced
	default:
		return nil // nothing refers to it
	}
	refs, err := references(ctx, o)
	if err != nil {
		return fmt.Errorf("find what refers to %s: %w", name(o.Key()), err)
	}
	if len(refs) == 0 {
		return nil
	}
	return refuse(reason, "%s cannot be deleted while something refers to it: %s. Delete these or move them elsewhere first", name(o.Key()), listSome(refs, Reference.String))
}

// listSome writes the first ten of a list, and how many more there are.
func listSome[T any](list []T, write func(T) string) string {
	const most = 10
	var words []string
	for _, v := range list[:min(len(list), most)] {
		words = append(words, write(v))
	}
	text := strings.Join(words, ", ")
	if more := len(list) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
