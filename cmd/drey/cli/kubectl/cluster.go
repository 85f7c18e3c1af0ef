// Package kubectl reads the cluster of kubectl's kubeconfig and context.
package kubectl

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/cmd/drey/cli/manifest"
	v1 "drey.dev/drey/registry/kubestore/v1"
	"drey.dev/drey/webhook/flink"
)

// Cluster is the cluster of kubectl's kubeconfig and context.
type Cluster struct{ kubeconfig, context string }

// Bind adds the flags of the cluster.
func (k *Cluster) Bind(f *pflag.FlagSet) {
	f.StringVar(&k.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster (default: kubectl's)")
	f.StringVar(&k.context, "context", "", "context of the kubeconfig (default: the current one)")
}

// Config returns the client configuration.
func (k Cluster) Config() (*rest.Config, error) {
	config, err := k.loader().ClientConfig()
	if err != nil {
		return nil, command.WithCode(command.ExitUsage, fmt.Errorf("no cluster: %w; set --kubeconfig, $KUBECONFIG or --context", err))
	}
	return config, nil
}

// discoveryTimeout bounds the look for the registry in the cluster.
const discoveryTimeout = 5 * time.Second

// KeepsRegistry returns nil if the cluster serves drey's custom resources, else why it does not.
func (k Cluster) KeepsRegistry() error {
	config, err := k.Config()
	if err != nil {
		return err
	}
	config.Timeout = discoveryTimeout
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return err
	}
	_, err = client.ServerResourcesForGroupVersion(v1.GroupVersion.String())
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("the cluster at %s does not serve %s", config.Host, v1.GroupVersion)
	}
	return err
}

// Namespace returns the namespace of the context, or default.
func (k Cluster) Namespace() string {
	namespace, _, err := k.loader().Namespace()
	if err != nil {
		return "default"
	}
	return namespace
}

func (k Cluster) loader() clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = k.kubeconfig
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: k.context})
}

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

// IsPlugin reports whether kubectl runs this program, as `kubectl drey`.
func IsPlugin() bool {
	return strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe") == "kubectl-drey"
}
