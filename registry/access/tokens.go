package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"drey.dev/drey/registry"
)

// A secret is "drey_KEY_REST": the key identifies the token, the rest has 256 random bits. The
// registry stores the key and a hash of the whole, which need not be slow: the secret cannot be
// guessed.
const prefix = "drey_"

// spec is the spec of a registry.APIToken.
type spec struct {
	Role Role   `json:"role"`
	Key  string `json:"key"`
	Hash []byte `json:"hash"` // SHA-256 of the secret
}

// Issue returns a new API token with a role, to create in a registry, and its secret, which is not
// stored. The role must be one of [Roles].
func Issue(namespace, name string, role Role) (o registry.Object, secret string, err error) {
	if !slices.Contains(Roles, role) {
		return registry.Object{}, "", &registry.Error{
			Reason:  registry.ReasonInvalidSpec,
			Message: fmt.Sprintf("the role is %q: use viewer, editor or owner", role),
		}
	}
	key := random(9)
	secret = prefix + key + "_" + random(32)
	hash := sha256.Sum256([]byte(secret))
	text, err := json.Marshal(spec{Role: role, Key: key, Hash: hash[:]})
	return registry.Object{
		Kind:     registry.APIToken,
		Metadata: registry.Metadata{Namespace: namespace, Name: name},
		Spec:     text,
	}, secret, err
}

// random returns n random bytes in base64, with dots for underscores, which separate the parts of a
// secret.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return strings.ReplaceAll(base64.RawURLEncoding.EncodeToString(b), "_", ".")
}

// RoleOf returns the role of an API token.
func RoleOf(o registry.Object) (Role, error) {
	var s spec
	if err := json.Unmarshal(o.Spec, &s); err != nil {
		return "", fmt.Errorf("%s %q: %w", o.Kind, o.Metadata.Name, err)
	}
	return s.Role, nil
}

// Tokens authenticates callers by API tokens, and authorizes them by their roles and the role bindings of
// platform namespaces.
type Tokens struct {
	mu       sync.RWMutex
	byKey    map[string]known
	bindings map[string][]registry.RoleBinding // by platform namespace
}

type known struct {
	hash [sha256.Size]byte
	holder
}

// Follow returns the tokens of a store, kept up to date until ctx ends.
func Follow(ctx context.Context, store registry.Store) (*Tokens, error) {
	t := &Tokens{byKey: make(map[string]known), bindings: make(map[string][]registry.RoleBinding)}
	if err := store.Watch(ctx, registry.Namespace, t.observeNamespace); err != nil {
		return nil, err
	}
	return t, store.Watch(ctx, registry.APIToken, t.observe)
}

func (t *Tokens) observeNamespace(e registry.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	name := e.Object.Metadata.Name
	if bindings := registry.RoleBindings(e.Object); e.Change != registry.Deleted && len(bindings) > 0 {
		t.bindings[name] = bindings
	} else {
		delete(t.bindings, name)
	}
}

func (t *Tokens) observe(e registry.Event) {
	var s spec
	if json.Unmarshal(e.Object.Spec, &s) != nil || len(s.Hash) != sha256.Size {
		return // an invalid token authenticates nobody
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.Change == registry.Deleted {
		delete(t.byKey, s.Key)
		return
	}
	m := e.Object.Metadata
	t.byKey[s.Key] = known{[sha256.Size]byte(s.Hash), holder{
		name: "token " + m.Namespace + "/" + m.Name, namespace: m.Namespace, role: s.Role, member: memberOf(m), tokens: t,
	}}
}

// Known implements Authenticator.
func (t *Tokens) Known(token string) (Caller, bool) {
	rest, ok := strings.CutPrefix(token, prefix)
	if !ok {
		return nil, false
	}
	key, _, _ := strings.Cut(rest, "_")
	t.mu.RLock()
	k, ok := t.byKey[key]
	t.mu.RUnlock()
	hash := sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(hash[:], k.hash[:]) != 1 || !ok {
		return nil, false
	}
	return k.holder, true
}

// Authenticate implements Authenticator.
func (t *Tokens) Authenticate(_ context.Context, token string) (Caller, error) {
	if c, ok := t.Known(token); ok {
		return c, nil
	}
	return nil, ErrUnknown
}

// OwnerToken is the name of the token for all platform namespaces that [Bootstrap] creates.
const OwnerToken = "owner"

// Bootstrap creates an owner token for all platform namespaces if there is none, or replaces
// [OwnerToken] if replace is set. It returns the secret; "" if it created none.
func Bootstrap(ctx context.Context, r *registry.Registry, replace bool) (secret string, err error) {
	present, err := r.List(ctx, registry.APIToken, registry.Everywhere, nil)
	if err != nil || len(present) > 0 && !replace {
		return "", err
	}
	o, secret, err := Issue(registry.Everywhere, OwnerToken, Owner)
	if err != nil {
		return "", err
	}
	if _, err := r.Delete(ctx, o.Key(), registry.Precondition{}); err != nil && registry.ReasonOf(err) != registry.ReasonNotFound {
		return "", err
	}
	_, err = r.Create(ctx, o, nil)
	return secret, err
}

// Authenticator authenticates callers by tokens.
type Authenticator interface {
	// Known returns the caller with a token from memory, without a request.
	Known(token string) (Caller, bool)
	// Authenticate returns the caller with a token, or [ErrUnknown].
	Authenticate(ctx context.Context, token string) (Caller, error)
}

// Any authenticates by several authenticators, in order.
type Any []Authenticator

// Known implements Authenticator.
func (a Any) Known(token string) (Caller, bool) {
	for _, one := range a {
		if c, ok := one.Known(token); ok {
			return c, true
		}
	}
	return nil, false
}

// Authenticate implements Authenticator. It passes API tokens of drey to no other authenticator.
func (a Any) Authenticate(ctx context.Context, token string) (Caller, error) {
	for _, one := range a {
		_, ours := one.(*Tokens)
		if strings.HasPrefix(token, prefix) != ours {
			continue
		}
		if c, err := one.Authenticate(ctx, token); !errors.Is(err, ErrUnknown) {
			return c, err
		}
	}
	return nil, ErrUnknown
}
