package rotation

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"
)

// WebhookClient is the TLS configuration with which the API server calls a webhook.
type WebhookClient struct {
	Webhook    string // configuration and name, for messages
	ServerName string
	CABundle   []*x509.Certificate
}

// Verify returns nil if the API server accepts the certificate.
func (w WebhookClient) Verify(c *tls.Certificate, now time.Time) error {
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	for _, ca := range w.CABundle {
		roots.AddCert(ca)
	}
	for _, der := range c.Certificate[1:] {
		if ca, err := x509.ParseCertificate(der); err == nil {
			intermediates.AddCert(ca)
		}
	}
	_, err := c.Leaf.Verify(x509.VerifyOptions{
		DNSName: w.ServerName, Roots: roots, Intermediates: intermediates, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return fmt.Errorf("caBundle of %s does not trust the serving certificate: %w", w.Webhook, err)
	}
	return nil
}

// VerifyAll returns nil if the API server accepts the certificate for every webhook.
func VerifyAll(c *tls.Certificate, clients []WebhookClient, now time.Time) error {
	for _, w := range clients {
		if err := w.Verify(c, now); err != nil {
			return err
		}
	}
	return nil
}

// Selection is the certificate that a replica serves and the one that is to replace it.
type Selection struct {
	Serving       *tls.Certificate
	Candidate     *tls.Certificate
	AcceptedSince time.Time // since when every webhook has accepted Candidate; zero if one does not
}

// WithCandidate returns the selection with another candidate. AcceptedSince is reset unless
// the candidate stays the same; nil changes nothing.
func (s Selection) WithCandidate(candidate *tls.Certificate) Selection {
	if candidate == nil || equal(candidate, s.Candidate) {
		return s
	}
	s.Candidate, s.AcceptedSince = candidate, time.Time{}
	return s
}

// Promote serves the candidate after every webhook has accepted it for the propagation
// delay, or at once if the serving certificate is of no use. It returns when to call it
// again; zero means when an input changes.
//
// The Secret may be newer than the caBundles in this replica's cache, or be restored from a
// backup. A certificate that is accepted stays until the candidate is.
func (s Selection) Promote(clients []WebhookClient, propagationDelay time.Duration, now time.Time) (Selection, time.Time) {
	if s.Candidate == nil || equal(s.Serving, s.Candidate) {
		return s, time.Time{}
	}
	switch accepted := VerifyAll(s.Candidate, clients, now) == nil; {
	case !accepted:
		s.AcceptedSince = time.Time{}
	case s.AcceptedSince.IsZero():
		s.AcceptedSince = now
	}
	switch {
	case s.Serving == nil || !now.Before(s.Serving.Leaf.NotAfter):
		s.Serving = s.Candidate
	case s.AcceptedSince.IsZero():
		if expiry := s.Serving.Leaf.NotAfter; now.Before(expiry) {
			return s, expiry
		}
	case VerifyAll(s.Serving, clients, now) != nil || now.Sub(s.AcceptedSince) >= propagationDelay:
		s.Serving = s.Candidate
	default:
		return s, s.AcceptedSince.Add(propagationDelay)
	}
	return s, time.Time{}
}

func equal(a, b *tls.Certificate) bool {
	return a == b || a != nil && b != nil && a.Leaf.Equal(b.Leaf)
}
