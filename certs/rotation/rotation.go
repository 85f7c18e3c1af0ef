// Package rotation decides when certificates change, and what changes first. It
// is pure but for randomness: it is given the time and what there is, and says
// what to do next.
//
// One rule holds throughout: every caBundle that an API server may still hold
// trusts every certificate that a replica may serve. So
//
//   - a new CA is announced first: it goes into the caBundles beside the old
//     one, and signs nothing;
//   - it signs the serving certificate only once every caBundle has had it for
//     a while, [Policy.Settle];
//   - a CA stays in the caBundles until it has expired, and with it all that it
//     signed, however far behind a replica is.
//
// Each step can be lost, repeated, or taken by two at once, without breaking
// the rule.
package rotation

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Policy is what is wanted of the certificates.
type Policy struct {
	CALifetime   time.Duration // of a CA; the next one is announced at two thirds of it
	LeafLifetime time.Duration // of a serving certificate, which never outlives its CA
	Settle       time.Duration // longer than an API server takes to see a changed caBundle
	Hosts        []string      // DNS names and IP addresses that a serving certificate is for
}

// Skew is by how much the clocks of a cluster may differ: certificates begin to
// be valid that much before they are made.
const Skew = 5 * time.Minute

// Check returns an error if the lifetimes leave no time to rotate.
func (p Policy) Check() error {
	switch {
	case len(p.Hosts) == 0:
		return errors.New("a serving certificate needs at least one host")
	case p.LeafLifetime > p.CALifetime:
		return fmt.Errorf("a serving certificate of %s outlives its CA of %s: give it at most as long", p.LeafLifetime, p.CALifetime)
	case p.Settle < 0 || p.Settle > p.LeafLifetime/6 || p.LeafLifetime <= 0:
		return fmt.Errorf("a new CA has to stand for %s before it is used, and a serving certificate of %s leaves %s for that: make the first at most half of the last",
			p.Settle, p.LeafLifetime, p.LeafLifetime/3)
	}
	return nil
}

// Material is what the replicas share.
type Material struct {
	Bundle []*x509.Certificate // the CAs that have to be trusted
	CA     *Signer             // signs; nil: there is none
	Next   *Signer             // announced, and signs once it is trusted; nil: there is none
	Leaf   *tls.Certificate    // what is served, with its Leaf parsed; nil: there is none
}

// Observed is what the API server holds.
type Observed struct {
	Bundles [][]*x509.Certificate // the caBundle of each webhook
	Since   time.Time             // since when every caBundle has been Material.Bundle; zero: not all are
}

// Step is one change of the material.
type Step string

// The steps.
const (
	Keep      Step = "Keep"      // nothing is due
	Bootstrap Step = "Bootstrap" // make a CA and a leaf at once: nothing is trusted that could break
	Announce  Step = "Announce"  // make the next CA, to be trusted
	Switch    Step = "Switch"    // sign with the next CA from now on
	Renew     Step = "Renew"     // make a leaf with the CA that there is
	Tidy      Step = "Tidy"      // bring the bundle up to date
)

// Plan is what to do now, and when to ask again at the latest.
type Plan struct {
	Step Step
	Next time.Time
}

// Plan says what is due.
func (p Policy) Plan(m Material, o Observed, now time.Time) Plan {
	ca, next := usable(m.CA, now), usable(m.Next, now)
	trusted := p.anythingTrusted(o, now)
	wake := []time.Time{now.Add(time.Hour)}
	if next != nil {
		settled := !o.Since.IsZero() && now.Sub(o.Since) >= p.Settle
		if settled || !trusted {
			return Plan{Switch, now}
		}
		if !o.Since.IsZero() {
			wake = append(wake, o.Since.Add(p.Settle))
		}
	}
	if next == nil {
		switch {
		case ca == nil && !trusted:
			return Plan{Bootstrap, now}
		case ca == nil || !now.Before(due(ca.Cert)):
			return Plan{Announce, now}
		}
		wake = append(wake, due(ca.Cert))
	}
	// A leaf by a CA that not every caBundle has yet waits: that is so after
	// the material was lost or set back.
	if ca != nil && trustedByAll(ca.Cert, o.Bundles) {
		at := p.leafDue(m.Leaf, ca, now)
		if !now.Before(at) {
			return Plan{Renew, now}
		}
		wake = append(wake, at)
	}
	if !Same(m.Bundle, p.bundle(m, o, now)) {
		return Plan{Tidy, now}
	}
	for _, c := range m.Bundle {
		wake = append(wake, p.forgotten(c))
	}
	return Plan{Keep, slices.MinFunc(wake, time.Time.Compare)}
}

// Apply takes a step. The material that it is given stays as it is.
func (p Policy) Apply(m Material, o Observed, step Step, now time.Time) (Material, error) {
	var err error
	switch step {
	case Bootstrap:
		if m.CA, err = NewCA(now, p.CALifetime); err == nil {
			m.Leaf, err = p.newLeaf(m.CA, now)
		}
		m.Next = nil
	case Announce:
		m.Next, err = NewCA(now, p.CALifetime)
	case Switch:
		m.CA, m.Next = m.Next, nil // the old key signs nothing any more, and is forgotten
		m.Leaf, err = p.newLeaf(m.CA, now)
	case Renew:
		m.Leaf, err = p.newLeaf(m.CA, now)
	}
	m.Bundle = p.bundle(m, o, now)
	return m, err
}

// bundle is what has to be trusted: what was, what signs or will sign, and the
// CAs that the API server trusts and the material has lost. Of those only
// drey's own, so that a stranger's is not kept by accident.
func (p Policy) bundle(m Material, o Observed, now time.Time) []*x509.Certificate {
	all := slices.Clone(m.Bundle)
	for _, s := range []*Signer{m.CA, m.Next} {
		if s != nil {
			all = append(all, s.Cert)
		}
	}
	for _, b := range o.Bundles {
		for _, c := range b {
			if isOurs(c) {
				all = append(all, c)
			}
		}
	}
	all = slices.DeleteFunc(all, func(c *x509.Certificate) bool { return !now.Before(p.forgotten(c)) })
	slices.SortFunc(all, func(a, b *x509.Certificate) int {
		if by := a.NotAfter.Compare(b.NotAfter); by != 0 {
			return by
		}
		return slices.Compare(a.Raw, b.Raw)
	})
	return slices.CompactFunc(all, (*x509.Certificate).Equal)
}

// forgotten is when a CA leaves the bundle: when the slowest clock sees that it
// has expired.
func (p Policy) forgotten(c *x509.Certificate) time.Time {
	return c.NotAfter.Add(min(Skew, p.CALifetime/10))
}

// anythingTrusted tells whether some webhook trusts a certificate that a replica
// may serve.
func (p Policy) anythingTrusted(o Observed, now time.Time) bool {
	for _, b := range o.Bundles {
		for _, c := range b {
			if isOurs(c) && now.Before(p.forgotten(c)) {
				return true
			}
		}
	}
	return false
}

// leafDue is when a leaf has to be made: at two thirds of the life of the one
// that there is, or now if that is not what is wanted. It is never if a new one
// would not last longer, because the CA does not.
func (p Policy) leafDue(leaf *tls.Certificate, ca *Signer, now time.Time) time.Time {
	if leaf == nil || leaf.Leaf.CheckSignatureFrom(ca.Cert) != nil || !isFor(leaf.Leaf, p.Hosts) {
		return now
	}
	if !leaf.Leaf.NotAfter.Before(ca.Cert.NotAfter) {
		return ca.Cert.NotAfter
	}
	return due(leaf.Leaf)
}

func (p Policy) newLeaf(ca *Signer, now time.Time) (*tls.Certificate, error) {
	until := now.Add(p.LeafLifetime)
	if ca.Cert.NotAfter.Before(until) {
		until = ca.Cert.NotAfter
	}
	return ca.NewLeaf(p.Hosts, now, until)
}

// due is two thirds of a certificate's life.
func due(c *x509.Certificate) time.Time {
	return c.NotAfter.Add(-c.NotAfter.Sub(Made(c)) / 3)
}

// Made is when drey made a certificate.
func Made(c *x509.Certificate) time.Time { return c.NotBefore.Add(Skew) }

func usable(s *Signer, now time.Time) *Signer {
	if s == nil || !now.Before(s.Cert.NotAfter) {
		return nil
	}
	return s
}

func trustedByAll(ca *x509.Certificate, bundles [][]*x509.Certificate) bool {
	return !slices.ContainsFunc(bundles, func(b []*x509.Certificate) bool {
		return !slices.ContainsFunc(b, ca.Equal)
	})
}

// Same tells whether two bundles trust the same.
func Same(a, b []*x509.Certificate) bool {
	within := func(a, b []*x509.Certificate) bool {
		return !slices.ContainsFunc(a, func(c *x509.Certificate) bool { return !slices.ContainsFunc(b, c.Equal) })
	}
	return within(a, b) && within(b, a)
}
