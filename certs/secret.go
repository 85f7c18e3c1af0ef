package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"drey.dev/drey/certs/rotation"
)

// Keys of the Secret besides tls.crt and tls.key. ca.crt is the bundle; the certificate of
// a CA key is found in it by its public key.
const (
	caCert    = "ca.crt"
	caKey     = "ca.key"
	nextCAKey = "next-ca.key"
)

// newSecret returns a Secret without material.
func newSecret(namespace string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: SecretName, Labels: map[string]string{ManagedByLabel: Owner},
		},
		Type: corev1.SecretTypeTLS,
	}
}

// encode returns the Secret with the material in it. Other keys of its data stay.
func encode(s *corev1.Secret, m rotation.Material) (*corev1.Secret, error) {
	s = s.DeepCopy()
	if s.Data == nil {
		s.Data = map[string][]byte{}
	}
	s.Data[caCert] = encodeCerts(m.Bundle)
	s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey] = []byte{}, []byte{} // required by the type kubernetes.io/tls
	if m.Leaf != nil {
		key, err := encodeKey(m.Leaf.PrivateKey)
		if err != nil {
			return nil, err
		}
		s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey] = encodeCerts([]*x509.Certificate{m.Leaf.Leaf}), key
	}
	for name, signer := range map[string]*rotation.Signer{caKey: m.CA, nextCAKey: m.Next} {
		delete(s.Data, name)
		if signer == nil {
			continue
		}
		key, err := encodeKey(signer.Key)
		if err != nil {
			return nil, err
		}
		s.Data[name] = key
	}
	return s, nil
}

// decode returns the readable material of a Secret's data, and an error that names the
// unreadable keys.
func decode(data map[string][]byte) (rotation.Material, error) {
	var errs []error
	m := rotation.Material{}
	var err error
	if m.Bundle, err = decodeCerts(data[caCert]); err != nil {
		errs = append(errs, fmt.Errorf("%s: %w", caCert, err))
	}
	for name, signer := range map[string]**rotation.Signer{caKey: &m.CA, nextCAKey: &m.Next} {
		if len(data[name]) == 0 {
			continue
		}
		if *signer, err = decodeSigner(data[name], m.Bundle); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	if m.Leaf, err = decodeLeaf(data); err != nil {
		errs = append(errs, err)
	}
	return m, errors.Join(errs...)
}

// decodeLeaf returns the serving certificate, or nil if there is none.
func decodeLeaf(data map[string][]byte) (*tls.Certificate, error) {
	if len(data[corev1.TLSCertKey]) == 0 {
		return nil, nil
	}
	c, err := tls.X509KeyPair(data[corev1.TLSCertKey], data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", corev1.TLSCertKey, corev1.TLSPrivateKeyKey, err)
	}
	return &c, nil
}

func decodeSigner(text []byte, bundle []*x509.Certificate) (*rotation.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("not PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("key is a %T, want ECDSA", parsed)
	}
	i := slices.IndexFunc(bundle, func(c *x509.Certificate) bool { return c.IsCA && key.PublicKey.Equal(c.PublicKey) })
	if i < 0 {
		return nil, fmt.Errorf("no CA certificate in %s has its public key", caCert)
	}
	return &rotation.Signer{Cert: bundle[i], Key: key}, nil
}

func encodeKey(key any) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func encodeCerts(all []*x509.Certificate) []byte {
	var b bytes.Buffer
	for _, c := range all {
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}) // a bytes.Buffer returns no error
	}
	return b.Bytes()
}

// decodeCerts returns the readable certificates of a PEM bundle, and an error if there is
// other data in it.
func decodeCerts(text []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	var errs []error
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, c)
	}
	if len(bytes.TrimSpace(text)) > 0 {
		errs = append(errs, errors.New("data after the last PEM block"))
	}
	return all, errors.Join(errs...)
}
