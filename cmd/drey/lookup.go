package main

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	clusterclient "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"drey.dev/drey/webhook/flink"
)

// personsConfig reaches the cluster as kubectl would.
func personsConfig(kubeconfig string) (*clusterclient.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("reach the cluster: %w. Say which with --kubeconfig or $KUBECONFIG", err)
	}
	return config, nil
}

// lookups are the kinds that explain can look up, by the names that kubectl has for
// them.
var lookups = func() map[string]schema.GroupVersionResource {
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
	add("batch", "v1", "jobs", "job")
	add("batch", "v1", "cronjobs", "cronjob", "cj")
	for _, c := range flink.CustomResources {
		add(c.Group, c.Version, c.Resource, strings.ToLower(c.Kind))
	}
	return all
}()

// getObject reads the object that KIND/NAME names.
func getObject(ctx context.Context, config *clusterclient.Config, namespace, which string) (manifest, error) {
	kind, name, ok := strings.Cut(which, "/")
	resource, known := lookups[strings.ToLower(kind)]
	if !ok || !known || name == "" {
		return manifest{}, &exitError{exitUsage, fmt.Errorf("%q is not KIND/NAME of something that drey is asked about: use pod/NAME, or deployment, statefulset, job, cronjob, "+
			"service, configmap, flinkdeployment and the like", which)}
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return manifest{}, err
	}
	found, err := client.Resource(resource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return manifest{}, &exitError{exitNotFound, fmt.Errorf("there is no %s %q in namespace %q: say which namespace with -n", kind, name, namespace)}
	}
	if err != nil {
		return manifest{}, err
	}
	text, err := found.MarshalJSON()
	if err != nil {
		return manifest{}, err
	}
	return manifest{file: which, text: text, APIVersion: found.GetAPIVersion(), Kind: found.GetKind()}, nil
}
