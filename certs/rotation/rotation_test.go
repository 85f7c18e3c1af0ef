package rotation

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"
)

var (
	policy = Policy{CALifetime: 30 * time.Hour, LeafLifetime: 9 * time.Hour, PropagationDelay: time.Minute, Hosts: []string{"drey.example", "10.1.2.3"}}
	start  = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
)

// world is the input of a plan.
type world struct {
	Material
	Observed
	now time.Time
}

// fresh is a world in which all caBundles have been in sync since start.
func fresh(t *testing.T) world {
	t.Helper()
	m, err := policy.Apply(Material{}, Observed{}, Bootstrap, start)
	if err != nil {
		t.Fatal(err)
	}
	return world{m, Observed{CABundles: [][]*x509.Certificate{m.Bundle, m.Bundle}, InSyncSince: start}, start}
}

func (w *world) take(t *testing.T, step Step) {
	t.Helper()
	var err error
	if w.Material, err = policy.Apply(w.Material, w.Observed, step, w.now); err != nil {
		t.Fatal(err)
	}
}

// publish writes the bundle into both caBundles.
func (w *world) publish() {
	w.CABundles, w.InSyncSince = [][]*x509.Certificate{w.Bundle, w.Bundle}, w.now
}

func TestPlan(t *testing.T) {
	for rule, c := range map[string]struct {
		is   func(*testing.T, *world)
		want Step
	}{
		"nothing is due after bootstrap":                  {func(*testing.T, *world) {}, None},
		"CA and leaf are bootstrapped":                    {func(_ *testing.T, w *world) { *w = world{now: start} }, Bootstrap},
		"a leaf stays until two thirds of its lifetime":   {func(_ *testing.T, w *world) { w.now = start.Add(6*time.Hour - time.Second) }, None},
		"a leaf is renewed at two thirds of its lifetime": {func(_ *testing.T, w *world) { w.now = start.Add(6 * time.Hour) }, RenewLeaf},
		"a leaf for other hosts is renewed":               {func(t *testing.T, w *world) { w.Leaf = leafFor(t, w.CA, "other.example") }, RenewLeaf},
		"a leaf of another CA is renewed": {func(t *testing.T, w *world) {
			w.Leaf = leafFor(t, fresh(t).CA, policy.Hosts...)
		}, RenewLeaf},
		"a leaf that expires with its CA is not renewed": {func(t *testing.T, w *world) {
			w.now = start.Add(29 * time.Hour)
			w.Next = fresh(t).CA
			w.Next.Cert.NotAfter = start.Add(50 * time.Hour)
			w.Bundle = append(w.Bundle, w.Next.Cert)
			w.publish()
			w.take(t, RenewLeaf)
		}, None},
		"a CA is staged at two thirds of its lifetime, before the leaf is renewed": {func(_ *testing.T, w *world) { w.now = start.Add(20 * time.Hour) }, StageCA},
		"a staged CA in no caBundle does not sign": {func(t *testing.T, w *world) {
			w.now = start.Add(20 * time.Hour)
			w.take(t, RenewLeaf)
			w.take(t, StageCA)
			w.InSyncSince = time.Time{}
		}, None},
		"a staged CA does not sign before the propagation delay": {func(t *testing.T, w *world) {
			w.now = start.Add(20 * time.Hour)
			w.take(t, RenewLeaf)
			w.take(t, StageCA)
			w.publish()
			w.now = w.now.Add(policy.PropagationDelay - 1)
		}, None},
		"a staged CA signs after the propagation delay": {func(t *testing.T, w *world) {
			w.now = start.Add(20 * time.Hour)
			w.take(t, StageCA)
			w.publish()
			w.now = w.now.Add(policy.PropagationDelay)
		}, PromoteCA},
		"the current CA renews leaves during the propagation delay": {func(t *testing.T, w *world) {
			w.now = start.Add(20 * time.Hour)
			w.take(t, StageCA)
			w.publish()
		}, RenewLeaf},
		"an expired CA is removed": {func(t *testing.T, w *world) {
			w.now = start.Add(20 * time.Hour)
			w.take(t, StageCA)
			w.take(t, PromoteCA)
			w.now = start.Add(30*time.Hour + ClockSkew)
			w.take(t, RenewLeaf)
			w.publish()
			w.Bundle = append(w.Bundle, fresh(t).CA.Cert)
		}, UpdateBundle},
		"lost material is staged while a drey CA is trusted": {func(_ *testing.T, w *world) { w.Material = Material{} }, StageCA},
		"a lost CA in a caBundle is restored to the bundle": {func(t *testing.T, w *world) {
			w.CABundles = append(w.CABundles, fresh(t).Bundle)
			w.InSyncSince = time.Time{}
			w.CA.Cert.Raw = w.Bundle[0].Raw
		}, UpdateBundle},
		"a foreign CA in a caBundle is not adopted": {func(t *testing.T, w *world) {
			foreign := *fresh(t).CA.Cert
			foreign.Subject.CommonName = "foreign"
			w.CABundles = append(w.CABundles, []*x509.Certificate{w.CA.Cert, &foreign})
		}, None},
		"expired material is bootstrapped": {func(_ *testing.T, w *world) { w.now = start.Add(100 * time.Hour) }, Bootstrap},
	} {
		t.Run(rule, func(t *testing.T) {
			w := fresh(t)
			c.is(t, &w)
			got := policy.Plan(w.Material, w.Observed, w.now)
			if got.Step != c.want {
				t.Errorf("got %s, want %s", got.Step, c.want)
			}
			if got.Next.Before(w.now) {
				t.Errorf("next plan at %s, in the past of %s", got.Next, w.now)
			}
		})
	}
}

func TestApplyPromoteDropsOldKey(t *testing.T) {
	w := fresh(t)
	old := w.CA
	w.take(t, StageCA)
	w.take(t, PromoteCA)
	if w.CA == old || w.Next != nil || w.Leaf.Leaf.CheckSignatureFrom(w.CA.Cert) != nil {
		t.Error("the old CA still signs")
	}
	if len(w.Bundle) != 2 {
		t.Errorf("bundle has %d CAs, want the old and the new one", len(w.Bundle))
	}
}

func TestApplyLeafExpiresWithCA(t *testing.T) {
	w := fresh(t)
	w.now = start.Add(29 * time.Hour)
	w.take(t, RenewLeaf)
	if !w.Leaf.Leaf.NotAfter.Equal(w.CA.Cert.NotAfter) {
		t.Errorf("leaf expires at %s, its CA at %s", w.Leaf.Leaf.NotAfter, w.CA.Cert.NotAfter)
	}
}

func TestPolicyValidate(t *testing.T) {
	for rule, p := range map[string]Policy{
		"no host":                    {CALifetime: time.Hour, LeafLifetime: time.Hour},
		"leaf outlives its CA":       {CALifetime: time.Hour, LeafLifetime: 2 * time.Hour, Hosts: policy.Hosts},
		"propagation delay too long": {CALifetime: time.Hour, LeafLifetime: time.Hour, PropagationDelay: 11 * time.Minute, Hosts: policy.Hosts},
		"no leaf lifetime":           {CALifetime: time.Hour, Hosts: policy.Hosts},
		"negative propagation delay": {CALifetime: time.Hour, LeafLifetime: time.Hour, PropagationDelay: -1, Hosts: policy.Hosts},
	} {
		if p.Validate() == nil {
			t.Errorf("%s: no error", rule)
		}
	}
	if err := policy.Validate(); err != nil {
		t.Error(err)
	}
}

func leafFor(t *testing.T, ca *Signer, hosts ...string) *tls.Certificate {
	t.Helper()
	leaf, err := ca.NewLeaf(hosts, start, start.Add(policy.LeafLifetime))
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

func TestSelectionPromote(t *testing.T) {
	a, b := fresh(t), fresh(t)
	trust := func(bundles ...[]*x509.Certificate) (all []WebhookClient) {
		for _, bundle := range bundles {
			all = append(all, WebhookClient{Webhook: "w", ServerName: "drey.example", CABundle: bundle})
		}
		return all
	}
	both := append(append([]*x509.Certificate{}, a.Bundle...), b.Bundle...)
	other := []WebhookClient{{Webhook: "w", ServerName: "other.example", CABundle: both}}
	for rule, c := range map[string]struct {
		serving *tls.Certificate
		trust   []WebhookClient
		after   time.Duration // since the candidate was first offered
		moves   bool
	}{
		"without a serving certificate the candidate is served":       {nil, trust(a.Bundle), 0, true},
		"a candidate that no webhook trusts waits":                    {a.Leaf, trust(a.Bundle), time.Hour, false},
		"a candidate that one webhook does not trust waits":           {a.Leaf, trust(both, a.Bundle), time.Hour, false},
		"a candidate that all trust waits for the propagation delay":  {a.Leaf, trust(both, both), policy.PropagationDelay - 1, false},
		"a candidate that all have trusted for the delay is served":   {a.Leaf, trust(both, both), policy.PropagationDelay, true},
		"a candidate is served at once if the old one is not trusted": {a.Leaf, trust(b.Bundle), 0, true},
		"if neither is trusted, nothing changes":                      {a.Leaf, trust(nil), time.Hour, false},
		"if the server name differs, nothing changes":                 {a.Leaf, other, time.Hour, false},
		"an expired certificate is replaced":                          {a.Leaf, trust(nil), 10 * time.Hour, true},
		"without webhooks the delay applies":                          {a.Leaf, nil, policy.PropagationDelay, true},
	} {
		t.Run(rule, func(t *testing.T) {
			selection, _ := Selection{Serving: c.serving}.WithCandidate(b.Leaf).Promote(c.trust, policy.PropagationDelay, start)
			selection, next := selection.Promote(c.trust, policy.PropagationDelay, start.Add(c.after))
			if moved := selection.Serving == b.Leaf; moved != c.moves {
				t.Errorf("moved: %t, want %t", moved, c.moves)
			}
			if !c.moves && next.IsZero() && len(c.trust) > 0 && c.trust[0].CABundle != nil {
				t.Error("no time of the next call")
			}
		})
	}
}

func TestSelectionPromoteTrustInterrupted(t *testing.T) {
	a, b := fresh(t), fresh(t)
	one, both := []WebhookClient{{ServerName: "drey.example", CABundle: a.Bundle}}, []WebhookClient{{ServerName: "drey.example", CABundle: append(append([]*x509.Certificate{}, a.Bundle...), b.Bundle...)}}
	c := Selection{Serving: a.Leaf}.WithCandidate(b.Leaf)
	c, _ = c.Promote(both, policy.PropagationDelay, start)
	c, _ = c.Promote(one, policy.PropagationDelay, start.Add(policy.PropagationDelay/2))
	c, _ = c.Promote(both, policy.PropagationDelay, start.Add(policy.PropagationDelay))
	if c.Serving != a.Leaf {
		t.Error("trust before the interruption counted")
	}
	if c, _ = c.Promote(both, policy.PropagationDelay, start.Add(2*policy.PropagationDelay)); c.Serving != b.Leaf {
		t.Error("the candidate is never served")
	}
}
