package registry

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"
)

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

// Job is a run of a Flink application. The registry keeps none: they are
// derived from what runs in the cluster.
const Job Kind = "Job"

// RunningJob is a job of which pods are in the cluster.
type RunningJob struct {
	ID             string
	DeploymentID   string // empty if its pods do not say
	DeploymentName string // empty if its pods do not say
	Since          time.Time
}

// Jobs returns the jobs that run in the targets of a platform namespace,
// ordered by id; those of one Deployment unless deploymentID is empty. Without a
// cluster there are none. Refused with [ReasonNotFound] (the platform
// namespace).
func (r *Registry) Jobs(ctx context.Context, namespace, deploymentID string) ([]Object, error) {
	if err := r.checkNamespace(ctx, namespace); err != nil {
		return nil, err
	}
	targets, err := r.store.List(ctx, DeploymentTarget, namespace, Cached)
	if err != nil {
		return nil, err
	}
	var where []string
	for _, t := range targets {
		where = append(where, targetNamespace(t, r.ownNamespace))
	}
	slices.Sort(where)
	found := []Object{}
	for _, kubernetesNamespace := range slices.Compact(where) {
		running, err := r.workloads.Jobs(ctx, kubernetesNamespace, namespace)
		if err != nil {
			return nil, untold(kubernetesNamespace, err)
		}
		for _, j := range running {
			if deploymentID == "" || j.DeploymentID == deploymentID {
				found = append(found, j.object(namespace))
			}
		}
	}
	slices.SortFunc(found, func(a, b Object) int { return cmp.Compare(a.Metadata.ID, b.Metadata.ID) })
	return found, nil
}

// GetJob returns one job by its id. Refused with [ReasonNotFound].
func (r *Registry) GetJob(ctx context.Context, namespace, id string) (Object, error) {
	all, err := r.Jobs(ctx, namespace, "")
	if err != nil {
		return Object{}, err
	}
	for _, o := range all {
		if o.Metadata.ID == id {
			return o, nil
		}
	}
	return Object{}, refuse(ReasonNotFound, "there is no Job with id %s in platform namespace %s: a job is listed while its pods are in the cluster",
		quote(id), quote(namespace))
}

func (j RunningJob) object(namespace string) Object {
	spec, _ := json.Marshal(struct { // strings only: it cannot fail
		DeploymentID   string `json:"deploymentId,omitempty"`
		DeploymentName string `json:"deploymentName,omitempty"`
	}{j.DeploymentID, j.DeploymentName})
	since := j.Since.UTC()
	return Object{
		Kind: Job,
		Metadata: Metadata{
			ID: j.ID, Namespace: namespace, CreatedAt: since, ModifiedAt: since,
			Labels: map[string]string{}, Annotations: map[string]string{}, ResourceVersion: 1,
		},
		Spec: spec,
	}
}
