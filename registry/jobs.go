package registry

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"
)

// Workloads lists the Flink workloads of the cluster.
type Workloads interface {
	// Running lists the workloads of a platform namespace in a Kubernetes namespace,
	// including Flink's custom resources without pods, which an operator may start.
	Running(ctx context.Context, kubernetesNamespace, platformNamespace string) ([]Reference, error)

	// Jobs lists the jobs of a platform namespace in Kubernetes namespaces.
	Jobs(ctx context.Context, kubernetesNamespaces []string, platformNamespace string) ([]RunningJob, error)

	// Usage returns the requests of the pods of all workloads, by platform namespace.
	Usage(ctx context.Context) (map[string]Usage, error)
}

// Usage is the sum of the resources that pods request.
type Usage struct {
	MilliCPU int64
	Memory   int64 // in bytes
}

type noWorkloads struct{}

func (noWorkloads) Running(context.Context, string, string) ([]Reference, error) { return nil, nil }
func (noWorkloads) Jobs(context.Context, []string, string) ([]RunningJob, error) { return nil, nil }
func (noWorkloads) Usage(context.Context) (map[string]Usage, error)              { return nil, nil }

// Usage returns the resources that run, by platform namespace; without a cluster none. Refused with
// [ReasonClusterUnavailable].
func (r *Registry) Usage(ctx context.Context) (map[string]Usage, error) {
	used, err := r.workloads.Usage(ctx)
	if err != nil {
		return nil, refuse(ReasonClusterUnavailable, "cannot list the running jobs: %v: try again once the API server is available, or grant the permission to list pods", err)
	}
	return used, nil
}

// Job is the kind of a run of a Flink application. Jobs are derived from pods, not stored.
const Job Kind = "Job"

// RunningJob is a job that has pods in the cluster.
type RunningJob struct {
	ID             string
	DeploymentID   string // empty if its pods lack the label
	DeploymentName string // empty if its pods lack the label
	Since          time.Time
}

// Jobs returns the jobs in the targets of a platform namespace, ordered by id: those of one
// Deployment, or all if deploymentID is "". Without a cluster there are none. Refused with
// [ReasonNotFound] (the platform namespace) or [ReasonClusterUnavailable].
func (r *Registry) Jobs(ctx context.Context, namespace, deploymentID string) ([]Object, error) {
	if err := r.checkNamespace(ctx, namespace); err != nil {
		return nil, err
	}
	targets, err := r.store.List(ctx, DeploymentTarget, namespace, Cached)
	if err != nil {
		return nil, err
	}
	var kubernetesNamespaces []string
	for _, t := range targets {
		kubernetesNamespaces = append(kubernetesNamespaces, targetNamespace(t, r.ownNamespace))
	}
	slices.Sort(kubernetesNamespaces)
	running, err := r.workloads.Jobs(ctx, slices.Compact(kubernetesNamespaces), namespace)
	if err != nil {
		return nil, refuse(ReasonClusterUnavailable, "cannot list the jobs of platform namespace %s: %v: try again once the API server is available, or grant the permission to list pods there", quote(namespace), err)
	}
	found := []Object{}
	for _, j := range running {
		if deploymentID == "" || j.DeploymentID == deploymentID {
			found = append(found, j.object(namespace))
		}
	}
	slices.SortStableFunc(found, func(a, b Object) int { return cmp.Compare(a.Metadata.ID, b.Metadata.ID) })
	return found, nil
}

// GetJob returns a job by its id. Refused as [Registry.Jobs].
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
	return Object{}, refuse(ReasonNotFound, "there is no Job with id %s in platform namespace %s: jobs exist while their pods do",
		quote(id), quote(namespace))
}

func (j RunningJob) object(namespace string) Object {
	spec, _ := json.Marshal(struct { // strings marshal
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
