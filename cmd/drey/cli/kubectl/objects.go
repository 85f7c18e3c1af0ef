package kubectl

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/cmd/drey/cli/manifest"
	"drey.dev/drey/webhook/flink"
)

// resources are the workloads that explain reads, by kubectl's names for their kinds.
var resources = func() map[string]schema.GroupVersionResource {
	all := map[string]schema.GroupVersionResource{}
	add := func(group, version, resource string, names ...string) {
		for _, n := range append(names, resource) {
			all[n] = schema.GroupVersionResource{Group: group, Version: version, Resource: resource}
		}
	}
	add("", "v1", "pods", "pod", "po")
	add("", "v1", "services", "service", "svc")
	add("", "v1", "configmaps", "configmap", "cm")
	add("apps", "v1", "deployments", "deployment", "deploy")
	add("apps", "v1", "statefulsets", "statefulset", "sts")
	add("apps", "v1", "daemonsets", "daemonset", "ds")
	add("apps", "v1", "replicasets", "replicaset", "rs")
	add("", "v1", "replicationcontrollers", "replicationcontroller", "rc")
	add("argoproj.io", "v1alpha1", "rollouts", "rollout", "ro")
	add("batch", "v1", "jobs", "job")
	add("batch", "v1", "cronjobs", "cronjob", "cj")
	for _, c := range flink.CustomResources {
		add(c.Group, c.Version, c.Resource, strings.ToLower(c.Kind))
	}
	return all
}()

// GetObject reads an object by reference, KIND/NAME.
func GetObject(ctx context.Context, config *rest.Config, namespace, reference string) (manifest.Manifest, error) {
	kind, name, ok := strings.Cut(reference, "/")
	resource, known := resources[strings.ToLower(kind)]
	if !ok || !known || name == "" {
		return manifest.Manifest{}, command.WithCode(command.ExitUsage, fmt.Errorf("%q is not KIND/NAME of a workload: KIND is pod, deployment, statefulset, daemonset, replicaset, replicationcontroller, rollout, "+
			"job, cronjob, service, configmap, or a custom resource of Flink such as flinkdeployment", reference))
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return manifest.Manifest{}, err
	}
	found, err := client.Resource(resource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return manifest.Manifest{}, command.WithCode(command.ExitNotFound, fmt.Errorf("%s %q not found in namespace %q; another namespace: -n NAMESPACE", kind, name, namespace))
	}
	if err != nil {
		return manifest.Manifest{}, err
	}
	text, err := found.MarshalJSON()
	if err != nil {
		return manifest.Manifest{}, err
	}
	return manifest.Manifest{File: reference, Text: text, Header: manifest.Header{APIVersion: found.GetAPIVersion(), Kind: found.GetKind()}}, nil
}
