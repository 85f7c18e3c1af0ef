// Package kubectl reads the cluster of kubectl's kubeconfig and context.
package kubectl

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"drey.dev/drey/cmd/drey/cli/command"
	v1 "drey.dev/drey/registry/kubestore/v1"
)

// Cluster is the cluster of kubectl's kubeconfig and context.
type Cluster struct{ kubeconfig, context string }

// Bind adds the flags of the cluster to flags of a command.
func (k *Cluster) Bind(cmd *cobra.Command, f *pflag.FlagSet) {
	f.StringVar(&k.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster (default: kubectl's)")
	f.StringVar(&k.context, "context", "", "context of the kubeconfig (default: the current one)")
	command.Complete(cmd, "context", k.completeContexts)
}

// Config returns the client configuration.
func (k Cluster) Config() (*rest.Config, error) {
	config, err := k.loader().ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		err = errors.New("no kubeconfig, or it is empty")
	}
	if err != nil {
		return nil, command.WithCode(command.ExitUsage, fmt.Errorf("no cluster: %w; set --kubeconfig, $KUBECONFIG or --context", err))
	}
	return config, nil
}

func (k *Cluster) completeContexts(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	config, err := k.loader().RawConfig()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return slices.Sorted(maps.Keys(config.Contexts)), cobra.ShellCompDirectiveNoFileComp
}

// CompleteNamespaces completes names of the cluster's namespaces.
func (k *Cluster) CompleteNamespaces(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	config, err := k.Config()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	config.Timeout = discoveryTimeout
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	list, err := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}).List(cmd.Context(), metav1.ListOptions{})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, n := range list.Items {
		names = append(names, n.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
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

// IsPlugin reports whether kubectl runs this program, as `kubectl drey`.
func IsPlugin() bool {
	return strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe") == "kubectl-drey"
}
