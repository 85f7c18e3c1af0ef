package rotation

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"
)

// Signer is a CA certificate with its private key.
type Signer struct {
	Cert *x509.Certificate
	Key  *ecdsa.PrivateKey
}

// caName is the common name of drey's CAs. It tells them from foreign ones in a caBundle.
const caName = "drey webhook CA"

func isDreyCA(c *x509.Certificate) bool { return c.IsCA && c.Subject.CommonName == caName }

// NewCA issues a self-signed CA that may sign serving certificates but no CAs.
func NewCA(now time.Time, lifetime time.Duration) (*Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: caName},
		NotBefore: now.Add(-ClockSkew), NotAfter: now.Add(lifetime),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign the CA: %w", err)
	}
	c, err := x509.ParseCertificate(der)
	return &Signer{c, key}, err
}

// NewLeaf issues a serving certificate for DNS names or IP addresses.
func (s *Signer) NewLeaf(hosts []string, now, notAfter time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "drey"},
		NotBefore: now.Add(-ClockSkew), NotAfter: notAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, s.Cert, key.Public(), s.Key)
	if err != nil {
		return nil, fmt.Errorf("sign the serving certificate: %w", err)
	}
	parsed, err := x509.ParseCertificate(der)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: parsed}, err
}

// hasHosts reports whether a certificate names exactly these hosts.
func hasHosts(c *x509.Certificate, hosts []string) bool {
	named := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		named = append(named, ip.String())
	}
	wanted := make([]string, 0, len(hosts))
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			h = ip.String()
		}
		wanted = append(wanted, h)
	}
	slices.Sort(named)
	slices.Sort(wanted)
	return slices.Equal(named, wanted)
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil { // crypto/rand does not fail
		panic(err)
	}
	return n
}
