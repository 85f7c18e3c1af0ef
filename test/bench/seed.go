package main

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"

	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
)

var (
	targets         = schema.GroupVersionResource{Group: "drey.dev", Version: "v1", Resource: "deploymenttargets"}
	serviceAccounts = schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}
)

// seeder writes copies of objects that the API server and drey have completed, past both, so that
// 100,000 objects take seconds.
type seeder struct {
	c        *cluster.Cluster
	api      dynamic.Interface
	metadata metadata.Interface

	namespace, account, target *unstructured.Unstructured // the originals
}

// newSeeder creates the originals: a namespace, and a target in it by the REST API, with the status
// that drey writes.
func newSeeder(ctx context.Context, c *cluster.Cluster, program string) (s *seeder, err error) {
	s = &seeder{c: c}
	if s.api, err = dynamic.NewForConfig(unthrottled(c)); err != nil {
		return nil, err
	}
	if s.metadata, err = metadata.NewForConfig(unthrottled(c)); err != nil {
		return nil, err
	}
	d, err := drey.Start(ctx, drey.Options{Program: program, Cluster: c, DataDir: c.Dir() + "/seeder", Args: []string{"--store", "kubernetes"}})
	if err != nil {
		return nil, err
	}
	defer func() { err = joinStop(err, d) }()
	for _, name := range []string{"drey-system", "seed"} {
		n := object("v1", "Namespace", map[string]any{"metadata": map[string]any{"name": name, "labels": map[string]any{"drey.dev/platform": "true"}}})
		if _, err := s.api.Resource(namespaces).Create(ctx, n, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			return nil, err
		}
	}
	const path = "/api/v1/namespaces/seed/deployment-targets"
	body := []byte(`{"metadata":{"name":"seed","labels":{"team":"seed"}},"spec":{"kubernetes":{"namespace":"seed"}}}`)
	if err := retry(ctx, func() error { _, err := d.Call(ctx, "POST", path, body); return err }); err != nil {
		return nil, err
	}
	err = retry(ctx, func() (err error) {
		if s.target, err = s.api.Resource(targets).Namespace("seed").Get(ctx, "seed", metav1.GetOptions{}); err != nil {
			return err
		}
		if s.namespace, err = s.api.Resource(namespaces).Get(ctx, "seed", metav1.GetOptions{}); err != nil {
			return err
		}
		if s.account, err = s.api.Resource(serviceAccounts).Namespace("seed").Get(ctx, "default", metav1.GetOptions{}); err != nil {
			return err
		}
		conditions, _, err := unstructured.NestedSlice(s.target.Object, "status", "conditions")
		if len(conditions) == 0 || conditions[0].(map[string]any)["status"] != "True" {
			return fmt.Errorf("the target is not ready: %v: %w", conditions, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	_, err = (&stage{api: s.api}).takeDown(ctx) // with this certificate, the next drey would wait until another has propagated
	return s, err
}

func joinStop(err error, d *drey.Drey) error {
	if stopped := d.Stop(); err == nil {
		err = stopped
	}
	return err
}

// retry repeats do for 30 s until it succeeds.
func retry(ctx context.Context, do func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		err := do()
		if err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// copyOf returns a copy of an object with another name and a uid of its own.
func copyOf(o *unstructured.Unstructured, namespace, name string) *unstructured.Unstructured {
	o = o.DeepCopy()
	o.SetNamespace(namespace)
	o.SetName(name)
	o.SetUID(types.UID(uuid.NewString()))
	return o
}

// createNamespaces writes the namespaces with numbers from first to before end, and their default
// ServiceAccounts, for which the controller would take minutes. Each is a platform namespace, and
// Flink may run in it.
func (s *seeder) createNamespaces(ctx context.Context, first, end int) error {
	err := s.c.Seed(ctx, serviceAccounts, func(yield func(*unstructured.Unstructured) bool) {
		for i := first; i < end; i++ {
			if !yield(copyOf(s.account, namespaceName(i), "default")) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	return s.c.Seed(ctx, namespaces, func(yield func(*unstructured.Unstructured) bool) {
		for i := first; i < end; i++ {
			o := copyOf(s.namespace, "", namespaceName(i))
			labels := o.GetLabels()
			labels["kubernetes.io/metadata.name"] = o.GetName()
			o.SetLabels(labels)
			if !yield(o) {
				return
			}
		}
	})
}

// createTargets writes the targets with numbers from first to before end, spread over the first
// count namespaces. Each points at the namespace that it is in.
func (s *seeder) createTargets(ctx context.Context, first, end, count int) error {
	if err := s.c.Seed(ctx, targets, s.targetsOf(first, end, count)); err != nil {
		return err
	}
	return s.awaitCached(ctx, targets)
}

// awaitCached waits until the API server has read what was written to etcd: until then it delays
// lists and watches.
func (s *seeder) awaitCached(ctx context.Context, resource schema.GroupVersionResource) error {
	now, err := s.api.Resource(resource).List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return err
	}
	for {
		_, err := s.api.Resource(resource).List(ctx, metav1.ListOptions{Limit: 1, ResourceVersion: now.GetResourceVersion(), ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan})
		if !apierrors.IsTimeout(err) && !apierrors.IsServerTimeout(err) {
			return err
		}
	}
}

func (s *seeder) targetsOf(first, end, count int) iter.Seq[*unstructured.Unstructured] {
	return func(yield func(*unstructured.Unstructured) bool) {
		for i := first; i < end; i++ {
			namespace := namespaceName(i % count)
			o := copyOf(s.target, namespace, fmt.Sprintf("target-%d", i))
			id := uuid.NewString()
			annotations := o.GetAnnotations()
			annotations["drey.dev/id"] = id
			o.SetAnnotations(annotations)
			o.SetLabels(map[string]string{"team": namespace})
			set(o, namespace, "spec", "kubernetes", "namespace")
			set(o, id, "status", "id")
			set(o, o.GetName(), "status", "name")
			conditions := o.Object["status"].(map[string]any)["conditions"].([]any)
			conditions[0].(map[string]any)["message"] = fmt.Sprintf("Flink may run in Kubernetes namespace %q", namespace)
			conditions[1].(map[string]any)["message"] = "no Deployment or SessionCluster of drey refers to it"
			if !yield(o) {
				return
			}
		}
	}
}

func set(o *unstructured.Unstructured, value any, path ...string) {
	if err := unstructured.SetNestedField(o.Object, value, path...); err != nil {
		panic(err) // the original has the objects of the path
	}
}

// podsPerApplication is the number of pods of a Flink application: a JobManager and its TaskManagers.
const podsPerApplication = 5

// completePod creates a Flink pod with what the API server and drey set, and runs it.
func (s *seeder) completePod(ctx context.Context) (*unstructured.Unstructured, error) {
	o := &unstructured.Unstructured{Object: flinkPod()}
	created, err := s.api.Resource(pods).Namespace(namespaceName(0)).Create(ctx, o, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	if created, err = s.runPod(ctx, created); err != nil {
		return nil, err
	}
	return created, s.deletePod(ctx, created)
}

// runPod does what a kubelet does with a pod that starts.
func (s *seeder) runPod(ctx context.Context, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	patch := []byte(`{"status":{"phase":"Running","podIP":"10.0.0.1","conditions":[{"type":"Ready","status":"True","lastTransitionTime":"2026-03-01T12:00:00Z"}]}}`)
	return s.api.Resource(pods).Namespace(o.GetNamespace()).Patch(ctx, o.GetName(), types.MergePatchType, patch, metav1.PatchOptions{}, "status")
}

func (s *seeder) deletePod(ctx context.Context, o *unstructured.Unstructured) error {
	return s.api.Resource(pods).Namespace(o.GetNamespace()).Delete(ctx, o.GetName(), metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))})
}

// createPods writes the pods with numbers from first to before end, copies of a complete one, spread
// over the first count namespaces. Without drey's labels they are as if created while drey was down.
func (s *seeder) createPods(ctx context.Context, pod *unstructured.Unstructured, first, end, count int, labeled bool) error {
	err := s.c.Seed(ctx, pods, func(yield func(*unstructured.Unstructured) bool) {
		for i := first; i < end; i++ {
			application := i / podsPerApplication
			namespace := namespaceName(application % count)
			o := copyOf(pod, namespace, fmt.Sprintf("flink-%d", i))
			labels := map[string]string{"app": fmt.Sprintf("app-%d", application), "component": "jobmanager", "type": "flink-native-kubernetes"}
			if labeled {
				for key, value := range pod.GetLabels() {
					if _, ok := labels[key]; !ok {
						labels[key] = value
					}
				}
				labels["vvpNamespace"], labels["deploymentName"] = namespace, labels["app"]
				labels["deploymentId"] = uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, application)).String()
			}
			o.SetLabels(labels)
			o.SetOwnerReferences(nil)
			if !yield(o) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	return s.awaitCached(ctx, pods)
}
