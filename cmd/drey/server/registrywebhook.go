package server

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"drey.dev/drey/registry/kubestore"
	"drey.dev/drey/webhook"
)

// registryWebhook returns what the webhook for drey's own objects needs; nil with
// the embedded store, which kubectl does not reach.
func (s *server) registryWebhook() (*webhook.Objects, error) {
	store, ok := s.store.(*kubestore.Store)
	if !ok {
		return nil, nil
	}
	config := rest.CopyConfig(s.cluster)
	config.QPS, config.Burst = 200, 400 // admission requests wait for it
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	namespaces := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"})
	return &webhook.Objects{
		Rules: s.rules, Decode: kubestore.Decode, Holder: store.Lookup, Has: store.HasUID, MarkDeleting: store.MarkDeleting,
		Ending: func(ctx context.Context, namespace string) (bool, error) {
			n, err := namespaces.Get(ctx, namespace, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return true, nil
			}
			if err != nil {
				return false, fmt.Errorf("get namespace %s: %w", namespace, err)
			}
			return n.DeletionTimestamp != nil, nil
		},
	}, nil
}
