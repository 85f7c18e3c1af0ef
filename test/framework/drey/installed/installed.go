// Package installed runs the drey binary with its manifests: with the permissions of its
// ServiceAccount, its webhook configurations and its policies. There is no kubelet, so drey is
// a process, and the webhook configurations call its address.
package installed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/manifests/rollout"
	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/webhook/verdict"
)

// timeout bounds each wait for drey and the API server.
const timeout = 2 * time.Minute

// Start applies the objects of a bundle, except the Deployment, and runs drey. It may be
// called again to replace a drey that has stopped.
func Start(ctx context.Context, o drey.Options, b bundle.Options) (*drey.Drey, error) {
	if err := apply(ctx, o.Cluster, b, bundle.Definitions, nil); err != nil {
		return nil, err
	}
	if err := apply(ctx, o.Cluster, b, bundle.RBAC, nil); err != nil {
		return nil, err
	}
	kubeconfig, err := Kubeconfig(ctx, o.Cluster, b.Namespace)
	if err != nil {
		return nil, err
	}
	if o.Env, err = environment(b); err != nil {
		return nil, err
	}
	o.Args = append([]string{"--kubeconfig", kubeconfig, "--install-webhooks=false", "--namespace", b.Namespace, "--store", b.Store, "--certs", b.Certs}, o.Args...)
	d, err := drey.Start(ctx, o)
	if err != nil {
		return nil, err
	}
	b.RESTURL = d.REST
	if err := InstallWebhooks(ctx, o.Cluster, b, d.Webhook); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, d.Log())
	}
	return d, nil
}

// InstallWebhooks applies a bundle's policies and webhook configurations, with a base URL in
// place of the Service. It returns when drey has written the caBundles and the paths, and the
// API server calls the webhooks.
func InstallWebhooks(ctx context.Context, c *cluster.Cluster, b bundle.Options, url string) error {
	setURL := func(webhook map[string]any) error {
		return unstructured.SetNestedMap(webhook, map[string]any{"url": url}, "clientConfig")
	}
	if err := apply(ctx, c, b, bundle.Admission, setURL); err != nil {
		return err
	}
	if err := awaitClients(ctx, c, url); err != nil {
		return err
	}
	return awaitWebhooks(ctx, c)
}

// apply applies the objects of one stage. It calls change for each webhook.
func apply(ctx context.Context, c *cluster.Cluster, b bundle.Options, stage string, change func(webhook map[string]any) error) error {
	stages, err := bundle.Stages(b)
	if err != nil {
		return err
	}
	r, err := rollout.New(c.Config(), false, func(string, string) {})
	if err != nil {
		return err
	}
	for _, s := range stages {
		if s.Name != stage {
			continue
		}
		for _, o := range s.Objects {
			webhooks, _, _ := unstructured.NestedSlice(o.Object, "webhooks") // absent in other kinds
			for _, w := range webhooks {
				if err := change(w.(map[string]any)); err != nil {
					return err
				}
			}
			if len(webhooks) > 0 {
				o.Object["webhooks"] = webhooks
			}
		}
		return r.Apply(ctx, []bundle.Stage{s})
	}
	return fmt.Errorf("no stage %q in the bundle", stage)
}

// awaitClients waits until drey has written the caBundle and the path of every webhook.
func awaitClients(ctx context.Context, c *cluster.Cluster, url string) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		clients, err := drey.WebhookClients(ctx, c)
		if err != nil {
			return err
		}
		complete := true
		for _, client := range clients {
			complete = complete && len(client.CABundle) > 0 && *client.URL != url
		}
		if complete {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("webhook configurations without caBundle or path: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// awaitWebhooks waits until the API server calls drey, which it does about a second after a
// change of a configuration. A pod tests the mutating configuration, a Deployment the
// validating one.
func awaitWebhooks(ctx context.Context, c *cluster.Cluster) error {
	config, warnings := rest.CopyConfig(c.Config()), &warnings{}
	config.WarningHandler = warnings
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	flink := metav1.ObjectMeta{Name: "drey-await", Labels: map[string]string{"app": "drey-await", "component": "jobmanager", "type": "flink-native-kubernetes"}}
	pod := corev1.PodSpec{Containers: []corev1.Container{{Name: "flink-main-container", Image: "flink:2.2"}}}
	dryRun := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := awaitPolicies(ctx, client); err != nil {
		return err
	}
	for _, create := range []func() (metav1.Object, error){
		func() (metav1.Object, error) {
			return client.CoreV1().Pods(metav1.NamespaceDefault).Create(ctx, &corev1.Pod{ObjectMeta: flink, Spec: pod}, dryRun)
		},
		func() (metav1.Object, error) {
			return client.AppsV1().Deployments(metav1.NamespaceDefault).Create(ctx, &appsv1.Deployment{ObjectMeta: flink, Spec: appsv1.DeploymentSpec{
				Selector: &metav1.LabelSelector{MatchLabels: flink.Labels}, Template: corev1.PodTemplateSpec{ObjectMeta: flink, Spec: pod},
			}}, dryRun)
		},
	} {
		for {
			o, err := create()
			if err == nil && o.GetLabels()[verdict.LabelSystem] == verdict.System {
				break
			}
			if err == nil && warnings.denied.Swap(false) { // in a dry run a missing target is a warning
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("the API server does not call drey: %w", errors.Join(ctx.Err(), err))
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	return nil
}

// warnings records whether the webhooks have warned of a denial.
type warnings struct{ denied atomic.Bool }

// HandleWarningHeader implements rest.WarningHandler.
func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	if strings.HasPrefix(text, "drey would deny this") {
		w.denied.Store(true)
	}
}

// awaitPolicies waits until the API server enforces the policy on the registered label, which
// also denies a Binding with a label of drey.
func awaitPolicies(ctx context.Context, client kubernetes.Interface) error {
	binding := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: "drey-await", Labels: map[string]string{verdict.LabelSystem: verdict.System}}, Target: corev1.ObjectReference{Kind: "Node", Name: "drey-await"}}
	for {
		err := client.CoreV1().Pods(metav1.NamespaceDefault).Bind(ctx, binding, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil && strings.Contains(err.Error(), "a Binding copies its labels") {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("policies are not enforced: %w", errors.Join(ctx.Err(), err))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Kubeconfig writes a kubeconfig with a token of drey's ServiceAccount and returns its path.
func Kubeconfig(ctx context.Context, c *cluster.Cluster, namespace string) (string, error) {
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		return "", err
	}
	token, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, bundle.Name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	config, err := clientcmd.LoadFromFile(c.Kubeconfig())
	if err != nil {
		return "", err
	}
	for _, user := range config.AuthInfos {
		user.ClientCertificateData, user.ClientKeyData, user.Token = nil, nil, token.Status.Token
	}
	dir, err := os.MkdirTemp(c.Dir(), "drey-account-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "kubeconfig")
	return path, clientcmd.WriteToFile(*config, path)
}
