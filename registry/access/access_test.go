package access_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/access"
	"drey.dev/drey/registry/memstore"
)

// TestKnownWholeSecret: only the whole secret authenticates.
func TestKnownWholeSecret(t *testing.T) {
	store := memstore.New()
	tokens, err := access.Follow(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	o, secret, err := access.Issue("default", "ci", access.Viewer)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(o.Spec), secret) || strings.Contains(string(o.Spec), secret[strings.LastIndexByte(secret, '_')+1:]) {
		t.Errorf("the secret is in what is kept: %s", o.Spec)
	}
	if _, err := store.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if c, ok := tokens.Known(secret); !ok || c.Name() != "token default/ci" {
		t.Errorf("the secret is not known: %v", c)
	}
	for i := range len(secret) {
		if _, ok := tokens.Known(secret[:i]); ok {
			t.Errorf("its first %d characters are enough", i)
		}
		wrong := secret[:i] + string(secret[i]^1) + secret[i+1:]
		if _, ok := tokens.Known(wrong); ok {
			t.Errorf("with another character %d it is known as well", i)
		}
	}
	if _, ok := tokens.Known(secret + "x"); ok {
		t.Error("with a character more it is known as well")
	}
}

// TestInvalidTokenSpec: a token with an invalid spec authenticates nobody.
func TestInvalidTokenSpec(t *testing.T) {
	store := memstore.New()
	tokens, err := access.Follow(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	for i, spec := range []string{`{}`, `{"key":"k"}`, `{"role":"owner","key":"k","hash":""}`, `{"role":"owner","key":"","hash":"AAAA"}`, `[]`} {
		o := registry.Object{Kind: registry.APIToken, Metadata: registry.Metadata{Namespace: "default", Name: fmt.Sprint("t", i)}, Spec: []byte(spec)}
		if _, err := store.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	for _, secret := range []string{"", "drey_", "drey__", "drey_k", "drey_k_", "drey_k_x"} {
		if c, ok := tokens.Known(secret); ok {
			t.Errorf("%q is %s", secret, c.Name())
		}
	}
}

// TestBootstrap: the owner token is created once, and replaced on request.
func TestBootstrap(t *testing.T) {
	store := memstore.New()
	rules, err := registry.New(t.Context(), store, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := access.Follow(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	bootstrap := func(anew bool) string {
		secret, err := access.Bootstrap(t.Context(), rules, anew)
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}
	first := bootstrap(false)
	if c, ok := tokens.Known(first); !ok {
		t.Error("it is not known")
	} else if may, err := c.May(t.Context(), access.Request{Verb: access.Delete, Kind: registry.Namespace, Namespace: "x"}); !may || err != nil {
		t.Errorf("it may not do everything: %t, %v", may, err)
	}
	if again := bootstrap(false); again != "" {
		t.Error("a second start made another")
	}
	second := bootstrap(true)
	if _, ok := tokens.Known(first); ok || second == "" {
		t.Error("the first is known still")
	}
	if _, ok := tokens.Known(second); !ok {
		t.Error("the new one is not known")
	}
}

// TestUnknownRole: an unknown role allows nothing.
func TestUnknownRole(t *testing.T) {
	for _, role := range []access.Role{"", "admin", "Owner"} {
		if role.Allows(access.Get, registry.Job) {
			t.Errorf("%q allows to get a Job", role)
		}
		if _, _, err := access.Issue("default", "x", role); registry.ReasonOf(err) != registry.ReasonInvalidSpec {
			t.Errorf("a token of role %q: %v", role, err)
		}
	}
}

// TestThrottleByNetwork: failures count by network.
func TestThrottleByNetwork(t *testing.T) {
	for rule, c := range map[string]struct {
		failed, asks string
		blocked      bool
	}{
		"another port is the same client":         {"192.0.2.1:1", "192.0.2.1:2", true},
		"another address is another":              {"192.0.2.1:1", "192.0.2.2:1", false},
		"IPv4 in IPv6 is the same":                {"192.0.2.1:1", "[::ffff:192.0.2.1]:1", true},
		"an IPv6 network of 64 bits is one":       {"[2001:db8::1]:1", "[2001:db8::2]:1", true},
		"another IPv6 network is another":         {"[2001:db8::1]:1", "[2001:db8:0:1::1]:1", false},
		"what has no address is one client, also": {"@", "@", true},
	} {
		t.Run(rule, func(t *testing.T) {
			throttle := access.NewThrottle()
			for range 12 {
				throttle.Failed(c.failed, "wrong")
			}
			wait, blocked := throttle.Blocked(c.asks, "another")
			if blocked != c.blocked || blocked && (wait <= 0 || wait > 10*time.Second) {
				t.Errorf("blocked %t for %v", blocked, wait)
			}
		})
	}
}

// TestThrottleValidToken: a token that was valid is not throttled for the failures of others.
func TestThrottleValidToken(t *testing.T) {
	throttle := access.NewThrottle()
	throttle.Succeeded("right")
	for range 12 {
		throttle.Failed("192.0.2.1:1", "wrong")
	}
	if _, blocked := throttle.Blocked("192.0.2.1:1", "right"); blocked {
		t.Error("it is blocked")
	}
	throttle.Failed("192.0.2.1:1", "right") // it was deleted
	if _, blocked := throttle.Blocked("192.0.2.1:1", "right"); !blocked {
		t.Error("a token that is not right any more is let through")
	}
}
