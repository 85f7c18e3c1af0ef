package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	clusterclient "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"drey.dev/drey/webhook/flink"
)

// kubectlCluster is the cluster that kubectl would reach.
type kubectlCluster struct{ kubeconfig, context string }

func (k *kubectlCluster) bind(f *pflag.FlagSet) {
	f.StringVar(&k.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster (default: as kubectl finds it)")
	f.StringVar(&k.context, "context", "", "context of the kubeconfig (default: the current one)")
}

// config says how to reach it.
func (k kubectlCluster) config() (*clusterclient.Config, error) {
	config, err := k.loader().ClientConfig()
	if err != nil {
		return nil, &exitError{exitUsage, fmt.Errorf("reach the cluster: %w. Say which with --kubeconfig, $KUBECONFIG or --context", err)}
	}
	return config, nil
}

// namespace is that of the context, as for kubectl: default, if it says none or cannot be read.
func (k kubectlCluster) namespace() string {
	namespace, _, err := k.loader().Namespace()
	if err != nil {
		return "default"
	}
	return namespace
}

func (k kubectlCluster) loader() clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = k.kubeconfig
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: k.context})
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

// getObject reads the object that KIND/NAME names.
func getObject(ctx context.Context, config *clusterclient.Config, namespace, which string) (manifest, error) {
	kind, name, ok := strings.Cut(which, "/")
	resource, known := lookups[strings.ToLower(kind)]
	if !ok || !known || name == "" {
		return manifest{}, &exitError{exitUsage, fmt.Errorf("%q is not KIND/NAME of something that drey is asked about: use pod/NAME, or deployment, statefulset, daemonset, replicaset, replicationcontroller, "+
			"rollout, job, cronjob, service, configmap, flinkdeployment and the like", which)}
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
	return manifest{file: which, text: text, manifestHeader: manifestHeader{APIVersion: found.GetAPIVersion(), Kind: found.GetKind()}}, nil
}
