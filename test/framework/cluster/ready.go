package cluster

import (
	"context"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// etcdHealthy checks /health of etcd with the credential of the API server.
func (c *Cluster) etcdHealthy(ctx context.Context) error {
	client, err := c.etcdClient()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()

	return c.callEtcd(ctx, client, http.MethodGet, "/health", nil)
}

// apiServerReady checks /readyz, which includes etcd.
func (c *Cluster) apiServerReady(ctx context.Context) error {
	return c.core.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}

// serviceAccountIn returns a check for the default ServiceAccount of a namespace, which pods
// require.
func (c *Cluster) serviceAccountIn(namespace string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := c.core.ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
		return err
	}
}
