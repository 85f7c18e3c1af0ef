// Package installed runs the drey program as its manifests have it run: as its
// ServiceAccount and with no other rights, called by the webhook configurations and
// beside the policies that they make. There is no kubelet, so it is a process that
// listens where the test says, and the configurations call it there.
package installed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/manifests/rollout"
	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
	webhookconfig "drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/verdict"
)

// Start gives the cluster what a bundle has, but for the Deployment, in whose place it
// runs drey. Of what Start found there it changes what differs: so it is also how
// another drey is put in the place of one that has stopped.
func Start(ctx context.Context, o drey.Options, b bundle.Options) (*drey.Drey, error) {
	if err := apply(ctx, o.Cluster, b, bundle.Definitions, nil); err != nil {
		return nil, err
	}
	if err := apply(ctx, o.Cluster, b, bundle.Rights, nil); err != nil {
		return nil, err
	}
	kubeconfig, err := Kubeconfig(ctx, o.Cluster, b.Namespace)
	if err != nil {
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

// InstallWebhooks applies a bundle's webhook configurations, with the webhooks at a base URL
// instead of the Service, and its policies; and waits until drey has given the
// configurations its caBundle, and decides on what comes.
func InstallWebhooks(ctx context.Context, c *cluster.Cluster, b bundle.Options, url string) error {
	here := func(webhook map[string]any) error {
		path, _, err := unstructured.NestedString(webhook, "clientConfig", "service", "path")
		if err != nil {
			return err
		}
		return unstructured.SetNestedMap(webhook, map[string]any{"url": url + path}, "clientConfig")
	}
	if err := apply(ctx, c, b, bundle.Gates, here); err != nil {
		return err
	}
	if err := awaitTrust(ctx, c); err != nil {
		return err
	}
	return awaitVerdict(ctx, c)
}

// apply applies the objects of one stage, with each webhook changed.
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
			webhooks, _, _ := unstructured.NestedSlice(o.Object, "webhooks") // other kinds have none
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
	return fmt.Errorf("there is no stage %s", stage)
}

// awaitTrust waits until every webhook has a caBundle: drey writes them.
func awaitTrust(ctx context.Context, c *cluster.Cluster) error {
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		mutating, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ctx, bundle.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		validating, err := client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(ctx, bundle.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		trusted := true
		for _, w := range mutating.Webhooks {
			trusted = trusted && len(w.ClientConfig.CABundle) > 0
		}
		for _, w := range validating.Webhooks {
			trusted = trusted && len(w.ClientConfig.CABundle) > 0
		}
		if trusted {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the webhook configurations get no caBundle: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// awaitVerdict waits until the API server calls drey, and trusts it: it learns of a
// configuration a second or so after that was written. Both configurations are
// tried: a pod is decided on by the one, a Deployment by the other.
func awaitVerdict(ctx context.Context, c *cluster.Cluster) error {
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		return err
	}
	flink := metav1.ObjectMeta{Name: "drey-await", Labels: map[string]string{"app": "drey-await", "component": "jobmanager", "type": "flink-native-kubernetes"}}
	pod := corev1.PodSpec{Containers: []corev1.Container{{Name: "flink-main-container", Image: "flink:2.2"}}}
	dryRun := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
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
			// The policies say the same, without drey.
			if err != nil && strings.Contains(err.Error(), "admission webhook") && strings.Contains(err.Error(), "has no DeploymentTarget") {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("drey does not decide on what comes: %w", errors.Join(ctx.Err(), err))
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	return nil
}

// awaitPolicies waits until the API server holds the mark of namespaces to drey.
func awaitPolicies(ctx context.Context, client kubernetes.Interface) error {
	marked := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "drey-await", Labels: map[string]string{webhookconfig.LabelRegistered: webhookconfig.Registered}}}
	for {
		_, err := client.CoreV1().Namespaces().Create(ctx, marked, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil && strings.Contains(err.Error(), "only drey sets the label") {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the policies do not hold: %w", errors.Join(ctx.Err(), err))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Kubeconfig writes the kubeconfig of drey's ServiceAccount, and returns its path.
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
