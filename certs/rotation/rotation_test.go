package rotation

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"
)

var (
	policy = Policy{CALifetime: 30 * time.Hour, LeafLifetime: 9 * time.Hour, Settle: time.Minute, Hosts: []string{"drey.example", "10.1.2.3"}}
	start  = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
)

// world is what a plan is made of.
type world struct {
	Material
	Observed
	now time.Time
}

// fresh is a world in which everything has been in order since start.
func fresh(t *testing.T) world {
	t.Helper()
	m, err := policy.Apply(Material{}, Observed{}, Bootstrap, start)
	if err != nil {
		t.Fatal(err)
	}
	return world{m, Observed{Bundles: [][]*x509.Certificate{m.Bundle, m.Bundle}, Since: start}, start}
}

func (w *world) take(t *testing.T, step Step) {
	t.Helper()
	var err error
	if w.Material, err = policy.Apply(w.Material, w.Observed, step, w.now); err != nil {
		t.Fatal(err)
	}
}

// publish makes the API server hold the bundle.
func (w *world) publish() {
	w.Bundles, w.Since = [][]*x509.Certificate{w.Bundle, w.Bundle}, w.now
}

func TestPlan(t *testing.T) {
	for rule, c := range map[string]struct {
		is   func(*testing.T, *world)
		want Step
	}{
		"nothing is due at first":                          {func(*testing.T, *world) {}, Keep},
		"without anything, both are made":                  {func(_ *testing.T, w *world) { *w = world{now: start} }, Bootstrap},
		"a leaf of less than two thirds of its life stays": {func(_ *testing.T, w *world) { w.now = start.Add(6*time.Hour - time.Second) }, Keep},
		"a leaf is renewed at two thirds of its life":      {func(_ *testing.T, w *world) { w.now = start.Add(6 * time.Hour) }, Renew},
		"a leaf for other hosts is renewed":                {func(t *testing.T, w *world) { w.Leaf = leafFor(t, w.CA, "other.example") }, Renew},
		"a leaf of another CA is renewed": {func(t *testing.T, w *world) {
			w.Leaf = leafFor(t, fresh(t).CA, policy.Hosts...)
		}, Renew},
		"a leaf that ends with its CA is not renewed, for no other would last longer": {func(t *testing.T, w *world) {
			w.now = start.Add(29 * time.Hour)
			w.Next = fresh(t).CA
			w.Next.Cert.NotAfter = start.Add(50 * time.Hour)
			w.Bundle = append(w.Bundle, w.Next.Cert)
			w.publish()
			w.take(t, Renew)
		}, Keep},
		"a CA is announced at two thirds of its life, before the leaf is looked at": {func(_ *testing.T, w *world) { w.now = start.Add(20 * time.Hour) }, Announce},
		"an announced CA that is nowhere yet does not sign": {func(t *testing.T, w *world) {
			w.now = start.Add(20 * time.Hour)
			w.take(t, Renew)
			w.take(t, Announce)
			w.Since = time.Time{}
		}, Keep},
		"an announced CA that was published this moment does not sign": {func(t *testing.T, w *world) {
			w.now = start.Add(20 * time.Hour)
			w.take(t, Renew)
			w.take(t, Announce)
			w.publish()
			w.now = w.now.Add(policy.Settle - 1)
		}, Keep},
		"an announced CA signs once it is settled": {func(t *testing.T, w *world) {
			w.now = start.Add(20 * time.Hour)
			w.take(t, Announce)
			w.publish()
			w.now = w.now.Add(policy.Settle)
		}, Switch},
		"meanwhile the old CA goes on renewing": {func(t *testing.T, w *world) {
			w.now = start.Add(20 * time.Hour)
			w.take(t, Announce)
			w.publish()
		}, Renew},
		"a CA that has expired is left out": {func(t *testing.T, w *world) {
			w.now = start.Add(20 * time.Hour)
			w.take(t, Announce)
			w.take(t, Switch)
			w.now = start.Add(30*time.Hour + Skew)
			w.take(t, Renew)
			w.publish()
			w.Bundle = append(w.Bundle, fresh(t).CA.Cert)
		}, Tidy},
		"a material that was lost while something is trusted waits for trust": {func(_ *testing.T, w *world) { w.Material = Material{} }, Announce},
		"a CA that is trusted and was lost is taken back in": {func(t *testing.T, w *world) {
			w.Bundles = append(w.Bundles, fresh(t).Bundle)
			w.Since = time.Time{}
			w.CA.Cert.Raw = w.Bundle[0].Raw
		}, Tidy},
		"a stranger's CA is not": {func(t *testing.T, w *world) {
			strange := *fresh(t).CA.Cert
			strange.Subject.CommonName = "stranger"
			w.Bundles = append(w.Bundles, []*x509.Certificate{w.CA.Cert, &strange})
		}, Keep},
		"everything expired is like nothing at all": {func(_ *testing.T, w *world) { w.now = start.Add(100 * time.Hour) }, Bootstrap},
	} {
		t.Run(rule, func(t *testing.T) {
			w := fresh(t)
			c.is(t, &w)
			got := policy.Plan(w.Material, w.Observed, w.now)
			if got.Step != c.want {
				t.Errorf("got %s, want %s", got.Step, c.want)
			}
			if got.Next.Before(w.now) {
				t.Errorf("it asks to be asked again at %s, and it is %s", got.Next, w.now)
			}
		})
	}
}

func TestAnOldKeyIsForgottenOnceItDoesNotSign(t *testing.T) {
	w := fresh(t)
	old := w.CA
	w.take(t, Announce)
	w.take(t, Switch)
	if w.CA == old || w.Next != nil || w.Leaf.Leaf.CheckSignatureFrom(w.CA.Cert) != nil {
		t.Error("the old CA still signs")
	}
	if len(w.Bundle) != 2 {
		t.Errorf("%d CAs are trusted, want the old and the new", len(w.Bundle))
	}
}

func TestALeafEndsWithItsCA(t *testing.T) {
	w := fresh(t)
	w.now = start.Add(29 * time.Hour)
	w.take(t, Renew)
	if !w.Leaf.Leaf.NotAfter.Equal(w.CA.Cert.NotAfter) {
		t.Errorf("the leaf ends at %s, and its CA at %s", w.Leaf.Leaf.NotAfter, w.CA.Cert.NotAfter)
	}
}

func TestLifetimesThatLeaveNoTimeAreRefused(t *testing.T) {
	for rule, p := range map[string]Policy{
		"no host":                         {CALifetime: time.Hour, LeafLifetime: time.Hour},
		"a leaf that outlives its CA":     {CALifetime: time.Hour, LeafLifetime: 2 * time.Hour, Hosts: policy.Hosts},
		"no time to settle":               {CALifetime: time.Hour, LeafLifetime: time.Hour, Settle: 11 * time.Minute, Hosts: policy.Hosts},
		"a leaf without a life":           {CALifetime: time.Hour, Hosts: policy.Hosts},
		"a time to settle that is absurd": {CALifetime: time.Hour, LeafLifetime: time.Hour, Settle: -1, Hosts: policy.Hosts},
	} {
		if p.Check() == nil {
			t.Errorf("%s: no error", rule)
		}
	}
	if err := policy.Check(); err != nil {
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

func TestAReplicaKeepsWhatWorks(t *testing.T) {
	a, b := fresh(t), fresh(t)
	trust := func(bundles ...[]*x509.Certificate) (all []Trust) {
		for _, bundle := range bundles {
			all = append(all, Trust{Webhook: "w", Host: "drey.example", Bundle: bundle})
		}
		return all
	}
	both := append(append([]*x509.Certificate{}, a.Bundle...), b.Bundle...)
	other := []Trust{{Webhook: "w", Host: "other.example", Bundle: both}}
	for rule, c := range map[string]struct {
		serving *tls.Certificate
		trust   []Trust
		after   time.Duration // since the candidate was first offered
		moves   bool
	}{
		"what it has none of, it takes":                                  {nil, trust(a.Bundle), 0, true},
		"a candidate that nobody trusts waits":                           {a.Leaf, trust(a.Bundle), time.Hour, false},
		"a candidate that not everybody trusts waits":                    {a.Leaf, trust(both, a.Bundle), time.Hour, false},
		"a candidate that everybody trusts waits for API servers behind": {a.Leaf, trust(both, both), policy.Settle - 1, false},
		"a candidate that everybody has trusted for a while is served":   {a.Leaf, trust(both, both), policy.Settle, true},
		"a candidate is served at once where the old one is of no use":   {a.Leaf, trust(b.Bundle), 0, true},
		"where neither is trusted, nothing changes":                      {a.Leaf, trust(nil), time.Hour, false},
		"where the host is another, nothing changes":                     {a.Leaf, other, time.Hour, false},
		"what has expired gives way":                                     {a.Leaf, trust(nil), 10 * time.Hour, true},
		"without a webhook, a while passes too":                          {a.Leaf, nil, policy.Settle, true},
	} {
		t.Run(rule, func(t *testing.T) {
			choice, _ := Choice{Serving: c.serving}.Offer(b.Leaf).Settle(c.trust, policy.Settle, start)
			choice, next := choice.Settle(c.trust, policy.Settle, start.Add(c.after))
			if moved := choice.Serving == b.Leaf; moved != c.moves {
				t.Errorf("moved: %t, want %t", moved, c.moves)
			}
			if !c.moves && next.IsZero() && len(c.trust) > 0 && c.trust[0].Bundle != nil {
				t.Error("it does not say when to ask again")
			}
		})
	}
}

func TestATrustThatComesAndGoesStartsAnew(t *testing.T) {
	a, b := fresh(t), fresh(t)
	one, both := []Trust{{Host: "drey.example", Bundle: a.Bundle}}, []Trust{{Host: "drey.example", Bundle: append(append([]*x509.Certificate{}, a.Bundle...), b.Bundle...)}}
	c := Choice{Serving: a.Leaf}.Offer(b.Leaf)
	c, _ = c.Settle(both, policy.Settle, start)
	c, _ = c.Settle(one, policy.Settle, start.Add(policy.Settle/2))
	c, _ = c.Settle(both, policy.Settle, start.Add(policy.Settle))
	if c.Serving != a.Leaf {
		t.Error("the time before counted")
	}
	if c, _ = c.Settle(both, policy.Settle, start.Add(2*policy.Settle)); c.Serving != b.Leaf {
		t.Error("it never settles")
	}
}
