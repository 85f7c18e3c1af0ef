package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// etcdClient returns a client with the credential of the API server.
func (c *Cluster) etcdClient() (*http.Client, error) {
	identity, err := tls.X509KeyPair(c.pki.etcdClient.cert, c.pki.etcdClient.key)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(c.pki.cluster.cert)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{identity}}}}, nil
}

// Seed writes objects to etcd, past the API server: no defaults, no validation, no admission. The API
// server's watches deliver them. Objects have all that the API server would have set, such as the
// uid. It writes thousands of objects a second.
func (c *Cluster) Seed(ctx context.Context, resource schema.GroupVersionResource, objects iter.Seq[*unstructured.Unstructured]) error {
	client, err := c.etcdClient()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	const atOnce, maxSize = 100, 1 << 20 // etcd allows 128 operations and 1.5 MiB in a transaction
	var puts []any
	size := 0
	for o := range objects {
		o.SetResourceVersion("") // of the revision in etcd
		value, err := o.MarshalJSON()
		if err != nil {
			return err
		}
		if len(puts) == atOnce || size+len(value) > maxSize {
			if err := c.transact(ctx, client, puts); err != nil {
				return err
			}
			puts, size = nil, 0
		}
		puts, size = append(puts, map[string]any{"request_put": map[string][]byte{"key": etcdKey(resource, o), "value": value}}), size+len(value)
	}
	return c.transact(ctx, client, puts)
}

// etcdKey returns the key of an object. Custom resources have their group in it.
func etcdKey(resource schema.GroupVersionResource, o *unstructured.Unstructured) []byte {
	parts := []string{"/registry"}
	if strings.Contains(resource.Group, ".") {
		parts = append(parts, resource.Group)
	}
	parts = append(parts, resource.Resource)
	if o.GetNamespace() != "" {
		parts = append(parts, o.GetNamespace())
	}
	return []byte(strings.Join(append(parts, o.GetName()), "/"))
}

// transact writes through etcd's JSON gateway.
func (c *Cluster) transact(ctx context.Context, client *http.Client, puts []any) error {
	if len(puts) == 0 {
		return nil
	}
	body, err := json.Marshal(map[string]any{"success": puts})
	if err != nil {
		return err
	}
	return c.callEtcd(ctx, client, http.MethodPost, "/v3/kv/txn", body)
}

func (c *Cluster) callEtcd(ctx context.Context, client *http.Client, method, path string, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, method, loopback(c.ports.etcd)+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s of etcd: %s: %s", method, path, response.Status, text)
	}
	return err
}
