package cluster

import (
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

const controllerManagerKubeconfig = "controller-manager.kubeconfig"

// NewUser returns the client configuration of a new user with a client certificate. RBAC
// grants the user nothing except discovery until a role is bound to the name or a group.
func (c *Cluster) NewUser(name string, groups ...string) (*rest.Config, error) {
	user, err := c.pki.cluster.client(name, groups...)
	if err != nil {
		return nil, err
	}
	return c.config(user), nil
}

func (c *Cluster) config(user *credential) *rest.Config {
	return &rest.Config{
		Host: loopback(c.ports.apiServer),
		TLSClientConfig: rest.TLSClientConfig{
			CAData:   c.pki.cluster.pem.cert,
			CertData: user.cert,
			KeyData:  user.key,
		},
		QPS: -1, // no rate limit
	}
}

// writeCredentials creates the PKI of the cluster and writes its files and kubeconfigs.
func (c *Cluster) writeCredentials() (err error) {
	if c.pki, err = newPKI(); err != nil {
		return err
	}
	if err := c.pki.write(c.dir); err != nil {
		return err
	}
	if err := c.writeKubeconfig(filepath.Join(c.dir, controllerManagerKubeconfig), c.pki.manager); err != nil {
		return err
	}
	return c.writeKubeconfig(c.kubeconfig, c.pki.admin)
}

func (c *Cluster) writeKubeconfig(path string, user *credential) error {
	const name = "drey"
	k := api.NewConfig()
	k.Clusters[name] = &api.Cluster{Server: loopback(c.ports.apiServer), CertificateAuthorityData: c.pki.cluster.pem.cert}
	k.AuthInfos[name] = &api.AuthInfo{ClientCertificateData: user.cert, ClientKeyData: user.key}
	k.Contexts[name] = &api.Context{Cluster: name, AuthInfo: name}
	k.CurrentContext = name
	return clientcmd.WriteToFile(*k, path)
}
