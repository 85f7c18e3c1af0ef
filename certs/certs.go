// Package certs makes the certificates that the webhooks are served with.
package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

// Lifetime is how long a certificate made at start is good for: longer than a
// process should run.
const Lifetime = 365 * 24 * time.Hour

// SelfSigned is a serving certificate and the authority that signed it, both
// made by this process and gone with it.
type SelfSigned struct {
	serving  tls.Certificate
	caBundle []byte
}

// NewSelfSigned makes a serving certificate for the hosts, which are DNS names
// or IP addresses. The authority's key is forgotten at once: it signs nothing
// else.
func NewSelfSigned(hosts ...string) (*SelfSigned, error) {
	if len(hosts) == 0 {
		return nil, errors.New("a serving certificate needs at least one host")
	}
	now := time.Now()
	caKey, err := newKey()
	if err != nil {
		return nil, err
	}
	ca := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "drey webhook CA"},
		NotBefore: now.Add(-skew), NotAfter: now.Add(Lifetime),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return nil, fmt.Errorf("sign the CA: %w", err)
	}

	key, err := newKey()
	if err != nil {
		return nil, err
	}
	leaf := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "drey"},
		NotBefore: now.Add(-skew), NotAfter: now.Add(Lifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		return nil, fmt.Errorf("sign the serving certificate: %w", err)
	}
	return &SelfSigned{
		serving:  tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		caBundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}),
	}, nil
}

// GetCertificate is what tls.Config.GetCertificate wants.
func (s *SelfSigned) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return &s.serving, nil
}

// CABundle is what a webhook configuration needs to trust the certificate:
// PEM.
func (s *SelfSigned) CABundle() []byte { return s.caBundle }

// skew is by how much the clocks of a cluster may differ.
const skew = 5 * time.Minute

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil { // the system's randomness does not fail
		panic(err)
	}
	return n
}
