// Package rotation plans the rotation of the webhooks' CA and serving certificate. Apart
// from key generation it is pure: the time and the observed state are arguments.
//
// Invariant: every caBundle that an API server may still hold trusts every certificate
// that a replica may serve. Therefore
//
//   - a new CA is staged first: it is added to the caBundles beside the old CA and signs
//     nothing;
//   - it signs the serving certificate only after every caBundle has contained it for
//     [Policy.PropagationDelay];
//   - a CA stays in the caBundles until it has expired, and with it every certificate that
//     it signed, no matter how stale a replica's cache is.
//
// Steps can be lost, repeated, or taken by two leaders at once without breaking the
// invariant.
package rotation

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Policy configures the certificates.
type Policy struct {
	CALifetime       time.Duration // the next CA is staged after two thirds of it
	LeafLifetime     time.Duration // of a serving certificate, which never outlives its CA
	PropagationDelay time.Duration // upper bound on the time until API servers use a changed caBundle
	Hosts            []string      // DNS names and IP addresses of the serving certificate
}

// ClockSkew is the tolerated difference between the clocks of a cluster: NotBefore of a
// certificate is that much before its issuance.
const ClockSkew = 5 * time.Minute

// Validate returns an error if the lifetimes leave no time to rotate.
func (p Policy) Validate() error {
	switch {
	case len(p.Hosts) == 0:
		return errors.New("a serving certificate needs at least one host")
	case p.LeafLifetime > p.CALifetime:
		return fmt.Errorf("serving certificate lifetime %s exceeds CA lifetime %s: make it at most as long", p.LeafLifetime, p.CALifetime)
	case p.PropagationDelay < 0 || p.PropagationDelay > p.LeafLifetime/6 || p.LeafLifetime <= 0:
		return fmt.Errorf("CA propagation delay %s is too long for a serving certificate lifetime of %s: make it at most half of the renewal window of %s",
			p.PropagationDelay, p.LeafLifetime, p.LeafLifetime/3)
	}
	return nil
}

// Material is the key material that all replicas share.
type Material struct {
	Bundle []*x509.Certificate // CAs that the caBundles have to contain
	CA     *Signer             // current CA; nil if there is none
	Next   *Signer             // staged CA, which signs nothing yet; nil if there is none
	Leaf   *tls.Certificate    // serving certificate with a parsed Leaf; nil if there is none
}

// Observed is the state of the webhook configurations.
type Observed struct {
	CABundles   [][]*x509.Certificate // of each webhook
	InSyncSince time.Time             // when all caBundles were first seen equal to Material.Bundle; zero if they are not
}

// Step is one change of the material.
type Step string

// Steps of a rotation.
const (
	None         Step = "None"         // nothing is due
	Bootstrap    Step = "Bootstrap"    // issue a CA and a leaf at once: no webhook trusts a drey CA
	StageCA      Step = "StageCA"      // issue the next CA and add it to the bundle
	PromoteCA    Step = "PromoteCA"    // make the staged CA the current one and issue a leaf
	RenewLeaf    Step = "RenewLeaf"    // issue a leaf with the current CA
	UpdateBundle Step = "UpdateBundle" // add lost CAs to the bundle and remove expired ones
)

// Plan is the step that is due now and the latest time of the next plan.
type Plan struct {
	Step Step
	Next time.Time
}

// Plan returns the step that is due.
func (p Policy) Plan(m Material, o Observed, now time.Time) Plan {
	ca, next := unexpired(m.CA, now), unexpired(m.Next, now)
	trusted := p.anyTrusted(o, now)
	wake := []time.Time{now.Add(time.Hour)}
	if next != nil {
		propagated := !o.InSyncSince.IsZero() && now.Sub(o.InSyncSince) >= p.PropagationDelay
		if propagated || !trusted {
			return Plan{PromoteCA, now}
		}
		if !o.InSyncSince.IsZero() {
			wake = append(wake, o.InSyncSince.Add(p.PropagationDelay))
		}
	}
	if next == nil {
		switch {
		case ca == nil && !trusted:
			return Plan{Bootstrap, now}
		case ca == nil || !now.Before(renewAt(ca.Cert)):
			return Plan{StageCA, now}
		}
		wake = append(wake, renewAt(ca.Cert))
	}
	// After a loss or a restore of the Secret some caBundles lack the CA: its leaf waits.
	if ca != nil && trustedByAll(ca.Cert, o.CABundles) {
		at := p.leafRenewAt(m.Leaf, ca, now)
		if !now.Before(at) {
			return Plan{RenewLeaf, now}
		}
		wake = append(wake, at)
	}
	if !SameBundle(m.Bundle, p.bundle(m, o, now)) {
		return Plan{UpdateBundle, now}
	}
	for _, c := range m.Bundle {
		wake = append(wake, p.removeAt(c))
	}
	return Plan{None, slices.MinFunc(wake, time.Time.Compare)}
}

// Apply takes a step and returns the new material. It does not modify its argument.
func (p Policy) Apply(m Material, o Observed, step Step, now time.Time) (Material, error) {
	var err error
	switch step {
	case Bootstrap:
		if m.CA, err = NewCA(now, p.CALifetime); err == nil {
			m.Leaf, err = p.newLeaf(m.CA, now)
		}
		m.Next = nil
	case StageCA:
		m.Next, err = NewCA(now, p.CALifetime)
	case PromoteCA:
		m.CA, m.Next = m.Next, nil // the previous key is dropped: it signs nothing any more
		m.Leaf, err = p.newLeaf(m.CA, now)
	case RenewLeaf:
		m.Leaf, err = p.newLeaf(m.CA, now)
	}
	m.Bundle = p.bundle(m, o, now)
	return m, err
}

// bundle returns the unexpired CAs to trust: the present bundle, the current and the staged
// CA, and drey's CAs in the caBundles that the material has lost. Foreign CAs in the
// caBundles are not adopted.
func (p Policy) bundle(m Material, o Observed, now time.Time) []*x509.Certificate {
	all := slices.Clone(m.Bundle)
	for _, s := range []*Signer{m.CA, m.Next} {
		if s != nil {
			all = append(all, s.Cert)
		}
	}
	for _, b := range o.CABundles {
		for _, c := range b {
			if isDreyCA(c) {
				all = append(all, c)
			}
		}
	}
	all = slices.DeleteFunc(all, func(c *x509.Certificate) bool { return !now.Before(p.removeAt(c)) })
	slices.SortFunc(all, func(a, b *x509.Certificate) int {
		if by := a.NotAfter.Compare(b.NotAfter); by != 0 {
			return by
		}
		return slices.Compare(a.Raw, b.Raw)
	})
	return slices.CompactFunc(all, (*x509.Certificate).Equal)
}

// removeAt returns when a CA leaves the bundle: when it has expired on the slowest clock.
func (p Policy) removeAt(c *x509.Certificate) time.Time {
	return c.NotAfter.Add(min(ClockSkew, p.CALifetime/10))
}

// anyTrusted reports whether a webhook trusts an unexpired CA of drey.
func (p Policy) anyTrusted(o Observed, now time.Time) bool {
	for _, b := range o.CABundles {
		for _, c := range b {
			if isDreyCA(c) && now.Before(p.removeAt(c)) {
				return true
			}
		}
	}
	return false
}

// leafRenewAt returns when the leaf is to be replaced: after two thirds of its lifetime, or
// now if its CA or its hosts are not the wanted ones. A leaf that expires with its CA is
// not replaced, because the next one would expire at the same time.
func (p Policy) leafRenewAt(leaf *tls.Certificate, ca *Signer, now time.Time) time.Time {
	if leaf == nil || leaf.Leaf.CheckSignatureFrom(ca.Cert) != nil || !hasHosts(leaf.Leaf, p.Hosts) {
		return now
	}
	if !leaf.Leaf.NotAfter.Before(ca.Cert.NotAfter) {
		return ca.Cert.NotAfter
	}
	return renewAt(leaf.Leaf)
}

func (p Policy) newLeaf(ca *Signer, now time.Time) (*tls.Certificate, error) {
	notAfter := now.Add(p.LeafLifetime)
	if ca.Cert.NotAfter.Before(notAfter) {
		notAfter = ca.Cert.NotAfter
	}
	return ca.NewLeaf(p.Hosts, now, notAfter)
}

// renewAt returns when two thirds of the lifetime of a certificate have passed.
func renewAt(c *x509.Certificate) time.Time {
	return c.NotAfter.Add(-c.NotAfter.Sub(IssuedAt(c)) / 3)
}

// IssuedAt returns when drey issued a certificate.
func IssuedAt(c *x509.Certificate) time.Time { return c.NotBefore.Add(ClockSkew) }

func unexpired(s *Signer, now time.Time) *Signer {
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

// SameBundle reports whether two bundles contain the same certificates, in any order.
func SameBundle(a, b []*x509.Certificate) bool {
	within := func(a, b []*x509.Certificate) bool {
		return !slices.ContainsFunc(a, func(c *x509.Certificate) bool { return !slices.ContainsFunc(b, c.Equal) })
	}
	return within(a, b) && within(b, a)
}
