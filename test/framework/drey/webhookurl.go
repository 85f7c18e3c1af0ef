package drey

import (
	"context"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	admissionclient "k8s.io/client-go/kubernetes/typed/admissionregistration/v1"

	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/webhook/config"
)

// WebhookURL returns the URL that a webhook configuration of drey states for a webhook, with
// its token.
func WebhookURL(ctx context.Context, c *cluster.Cluster, name string) (string, error) {
	clients, err := WebhookClients(ctx, c)
	if err != nil {
		return "", err
	}
	client, ok := clients[name]
	if !ok || client.URL == nil {
		return "", fmt.Errorf("no webhook configuration states a URL for %s", name)
	}
	return *client.URL, nil
}

// WebhookClients returns the client configuration of each webhook of drey that is installed,
// by name.
func WebhookClients(ctx context.Context, c *cluster.Cluster) (map[string]admissionregistrationv1.WebhookClientConfig, error) {
	client, err := admissionclient.NewForConfig(c.Config())
	if err != nil {
		return nil, err
	}
	mutating, err := client.MutatingWebhookConfigurations().Get(ctx, config.Name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, err
	}
	validating, err := client.ValidatingWebhookConfigurations().Get(ctx, config.Name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, err
	}
	all := map[string]admissionregistrationv1.WebhookClientConfig{}
	for _, w := range mutating.Webhooks {
		all[w.Name] = w.ClientConfig
	}
	for _, w := range validating.Webhooks {
		all[w.Name] = w.ClientConfig
	}
	return all, nil
}
