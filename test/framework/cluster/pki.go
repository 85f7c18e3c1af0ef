package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Files of the credentials in the directory of the cluster.
const (
	clusterCACert     = "ca.crt"
	clusterCAKey      = "ca.key"
	etcdCACert        = "etcd-ca.crt"
	servingCert       = "serving.crt"
	servingKey        = "serving.key"
	etcdClientCert    = "etcd-client.crt"
	etcdClientKey     = "etcd-client.key"
	serviceAccountKey = "service-account.key"
)

// pki is the PKI of a cluster. Clients of etcd have a CA of their own, so that users of the
// cluster cannot bypass the API server.
type pki struct {
	cluster, etcd  *authority
	serving        *credential
	etcdClient     *credential
	admin          *credential
	manager        *credential
	serviceAccount []byte // token signing key, PEM
}

// credential is a certificate with its key, in PEM.
type credential struct{ cert, key []byte }

func newPKI() (_ *pki, err error) {
	p := new(pki)
	if p.cluster, err = newAuthority("drey-test-cluster"); err != nil {
		return nil, err
	}
	if p.etcd, err = newAuthority("drey-test-etcd"); err != nil {
		return nil, err
	}
	if p.serving, err = p.cluster.server(); err != nil {
		return nil, err
	}
	if p.etcdClient, err = p.etcd.client("kube-apiserver"); err != nil {
		return nil, err
	}
	if p.admin, err = p.cluster.client("admin", "system:masters"); err != nil {
		return nil, err
	}
	if p.manager, err = p.cluster.client("system:kube-controller-manager"); err != nil {
		return nil, err
	}
	_, p.serviceAccount, err = newKey()
	return p, err
}

// write writes the files of the components into dir. The administrator's credential is only
// in the kubeconfig.
func (p *pki) write(dir string) error {
	for name, content := range map[string][]byte{
		clusterCACert:     p.cluster.pem.cert,
		clusterCAKey:      p.cluster.pem.key,
		etcdCACert:        p.etcd.pem.cert,
		servingCert:       p.serving.cert,
		servingKey:        p.serving.key,
		etcdClientCert:    p.etcdClient.cert,
		etcdClientKey:     p.etcdClient.key,
		serviceAccountKey: p.serviceAccount,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// authority is a CA.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  *credential
}

func newAuthority(name string) (*authority, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	a := new(authority)
	var err error
	if a.pem, err = a.sign(template); err != nil {
		return nil, err
	}
	block, _ := pem.Decode(a.pem.cert)
	a.cert, err = x509.ParseCertificate(block.Bytes)
	return a, err
}

// server returns the serving credential of etcd and the API server.
func (a *authority) server() (*credential, error) {
	return a.sign(&x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback, net.ParseIP(serviceIP)},
	})
}

// client returns the credential of a user: Kubernetes maps the common name to the user name
// and the organizations to the groups.
func (a *authority) client(name string, groups ...string) (*credential, error) {
	return a.sign(&x509.Certificate{
		Subject:     pkix.Name{CommonName: name, Organization: groups},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// sign issues a certificate with a new key. The certificate of a new authority is
// self-signed.
func (a *authority) sign(template *x509.Certificate) (*credential, error) {
	key, keyPEM, err := newKey()
	if err != nil {
		return nil, err
	}
	issuer, issuerKey := a.cert, a.key
	if issuer == nil {
		issuer, issuerKey, a.key = template, key, key
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, err
	}
	template.NotBefore = time.Now().Add(-time.Minute)
	template.NotAfter = time.Now().AddDate(1, 0, 0)
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, &key.PublicKey, issuerKey)
	if err != nil {
		return nil, fmt.Errorf("issue certificate for %q: %w", template.Subject.CommonName, err)
	}
	return &credential{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), keyPEM}, nil
}

func newKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}
