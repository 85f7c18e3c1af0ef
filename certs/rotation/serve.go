package rotation

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"
)

// Trust is a webhook as the API server would call it.
type Trust struct {
	Webhook string // for people: its configuration and name
	Host    string // whom the API server wants to meet
	Bundle  []*x509.Certificate
}

// Verify returns nil if the API server accepts the certificate.
func (t Trust) Verify(c *tls.Certificate, now time.Time) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, ca := range t.Bundle {
		roots.AddCert(ca)
	}
	for _, der := range c.Certificate[1:] {
		if ca, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(ca)
		}
	}
	_, err := c.Leaf.Verify(x509.VerifyOptions{
		DNSName: t.Host, Roots: roots, Intermediates: between, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return fmt.Errorf("the caBundle of %s does not trust the certificate that is served: %w", t.Webhook, err)
	}
	return nil
}

// Verify returns nil if every webhook accepts the certificate.
func Verify(c *tls.Certificate, webhooks []Trust, now time.Time) error {
	for _, t := range webhooks {
		if err := t.Verify(c, now); err != nil {
			return err
		}
	}
	return nil
}

// Choice is what a replica serves, and what it would serve once it may.
type Choice struct {
	Serving   *tls.Certificate
	Candidate *tls.Certificate
	Since     time.Time // since when every webhook has accepted Candidate; zero: not all do
}

// Offer makes c the candidate. What is a candidate or served already stays.
func (c Choice) Offer(candidate *tls.Certificate) Choice {
	if candidate == nil || equal(candidate, c.Candidate) {
		return c
	}
	c.Candidate, c.Since = candidate, time.Time{}
	return c
}

// Settle serves the candidate once every webhook has accepted it for a while, or
// at once if there is nothing to lose. It returns when to ask again; zero means
// once something changes.
//
// The material may be ahead of the caBundles as this replica sees them, or be
// set back to what it once was. A certificate that works stays until the
// other one does.
func (c Choice) Settle(webhooks []Trust, settle time.Duration, now time.Time) (Choice, time.Time) {
	if c.Candidate == nil || equal(c.Serving, c.Candidate) {
		return c, time.Time{}
	}
	switch accepted := Verify(c.Candidate, webhooks, now) == nil; {
	case !accepted:
		c.Since = time.Time{}
	case c.Since.IsZero():
		c.Since = now
	}
	switch {
	case c.Serving == nil || !now.Before(c.Serving.Leaf.NotAfter):
		c.Serving = c.Candidate
	case c.Since.IsZero():
		if expiry := c.Serving.Leaf.NotAfter; now.Before(expiry) {
			return c, expiry
		}
	case Verify(c.Serving, webhooks, now) != nil || now.Sub(c.Since) >= settle:
		c.Serving = c.Candidate
	default:
		return c, c.Since.Add(settle)
	}
	return c, time.Time{}
}

func equal(a, b *tls.Certificate) bool {
	return a == b || a != nil && b != nil && a.Leaf.Equal(b.Leaf)
}
