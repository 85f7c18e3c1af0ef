package access_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/access"
	"drey.dev/drey/registry/memstore"
)

// issue returns the caller with a new token.
func issue(t *testing.T, store registry.Store, tokens *access.Tokens, namespace, name string, role access.Role) (access.Caller, string) {
	t.Helper()
	o, secret, err := access.Issue(namespace, name, role)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	c, err := tokens.Authenticate(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	return c, secret
}

func follow(t *testing.T, store registry.Store) *access.Tokens {
	t.Helper()
	tokens, err := access.Follow(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// TestRoles: the rights of each role in its platform namespace, in another one and in all.
func TestRoles(t *testing.T) {
	store := memstore.New()
	tokens := follow(t, store)
	callers := map[string]access.Caller{}
	for _, role := range access.Roles {
		callers[string(role)], _ = issue(t, store, tokens, "team-a", string(role), role)
		callers[string(role)+" everywhere"], _ = issue(t, store, tokens, registry.Everywhere, string(role), role)
	}
	all := []string{"viewer", "editor", "owner", "viewer everywhere", "editor everywhere", "owner everywhere"}
	everywhere := []string{"viewer everywhere", "editor everywhere", "owner everywhere"}
	for rule, c := range map[string]struct {
		request access.Request
		want    []string
	}{
		"list targets":                 {access.Request{Verb: access.List, Kind: registry.DeploymentTarget, Namespace: "team-a"}, all},
		"list targets of another":      {access.Request{Verb: access.List, Kind: registry.DeploymentTarget, Namespace: "team-b"}, everywhere},
		"list Deployments of all":      {access.Request{Verb: access.List, Kind: registry.Deployment, Namespace: registry.Everywhere}, everywhere},
		"create a Deployment":          {access.Request{Verb: access.Create, Kind: registry.Deployment, Namespace: "team-a"}, []string{"editor", "owner", "editor everywhere", "owner everywhere"}},
		"patch a SessionCluster":       {access.Request{Verb: access.Patch, Kind: registry.SessionCluster, Namespace: "team-a", Name: "s"}, []string{"editor", "owner", "editor everywhere", "owner everywhere"}},
		"delete a target":              {access.Request{Verb: access.Delete, Kind: registry.DeploymentTarget, Namespace: "team-a", Name: "t"}, []string{"owner", "owner everywhere"}},
		"get a token":                  {access.Request{Verb: access.Get, Kind: registry.APIToken, Namespace: "team-a", Name: "t"}, []string{"owner", "owner everywhere"}},
		"list platform namespaces":     {access.Request{Verb: access.List, Kind: registry.Namespace}, all},
		"get its platform namespace":   {access.Request{Verb: access.Get, Kind: registry.Namespace, Namespace: "team-a", Name: "team-a"}, all},
		"get another":                  {access.Request{Verb: access.Get, Kind: registry.Namespace, Namespace: "team-b", Name: "team-b"}, everywhere},
		"update its role bindings":     {access.Request{Verb: access.Update, Kind: registry.Namespace, Namespace: "team-a", Name: "team-a"}, []string{"owner", "owner everywhere"}},
		"create a platform namespace":  {access.Request{Verb: access.Create, Kind: registry.Namespace, Namespace: "team-a"}, []string{"owner everywhere"}},
		"delete a platform namespace":  {access.Request{Verb: access.Delete, Kind: registry.Namespace, Namespace: "team-b", Name: "team-b"}, []string{"owner everywhere"}},
		"update platform namespace ''": {access.Request{Verb: access.Update, Kind: registry.Namespace}, []string{"owner everywhere"}},
	} {
		t.Run(rule, func(t *testing.T) {
			var got []string
			for _, name := range all {
				may, err := callers[name].May(t.Context(), c.request)
				if err != nil {
					t.Error(err)
				}
				if may {
					got = append(got, name)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s: callers that may (-want +got):\n%s", c.request, diff)
			}
		})
	}
	// The cluster has no user for a token: the role alone limits targets.
	if may, err := callers["owner"].MayCreatePods(t.Context(), "kube-system"); !may || err != nil {
		t.Errorf("MayCreatePods: got %t, %v", may, err)
	}
}

// TestRoleBindings: a role binding of a platform namespace extends tokens of others, until it is
// removed.
func TestRoleBindings(t *testing.T) {
	store := memstore.New()
	tokens := follow(t, store)
	ci, _ := issue(t, store, tokens, "team-a", "ci", access.Viewer)
	other, _ := issue(t, store, tokens, "team-a", "other", access.Owner)
	create := access.Request{Verb: access.Create, Kind: registry.Deployment, Namespace: "team-b"}
	remove := access.Request{Verb: access.Delete, Kind: registry.Namespace, Namespace: "team-b", Name: "team-b"}
	again := access.Request{Verb: access.Create, Kind: registry.Namespace, Namespace: "team-b"}
	wantMay := func(c access.Caller, r access.Request, want bool) {
		t.Helper()
		if may, err := c.May(t.Context(), r); may != want || err != nil {
			t.Errorf("%s, %s: got %t, %v, want %t", c.Name(), r, may, err, want)
		}
	}
	bind := func(version int32, bindings ...registry.RoleBinding) {
		t.Helper()
		o := registry.Object{Kind: registry.Namespace, Metadata: registry.Metadata{Name: "team-b", ResourceVersion: version}, Spec: registry.NamespaceSpec(bindings)}
		var err error
		if version == 0 {
			_, err = store.Create(t.Context(), o)
		} else {
			_, err = store.Update(t.Context(), o, version)
		}
		if err != nil {
			t.Fatal(err)
		}
	}

	bind(0, registry.RoleBinding{Role: "editor", Members: []string{"namespaces/team-a/apitokens/ci"}})
	wantMay(ci, create, true)
	wantMay(ci, remove, false) // editors do not delete platform namespaces
	wantMay(other, create, false)

	bind(1, registry.RoleBinding{Role: "owner", Members: []string{access.Authenticated}})
	wantMay(ci, remove, true)
	wantMay(other, create, true)
	wantMay(other, again, false) // no role binding covers a new platform namespace
	wantMay(other, access.Request{Verb: access.List, Kind: registry.Deployment, Namespace: registry.Everywhere}, false)

	bind(2)
	wantMay(ci, create, false)
	bind(3, registry.RoleBinding{Role: "owner", Members: []string{access.Authenticated}})
	if err := store.Delete(t.Context(), registry.Key{Kind: registry.Namespace, Name: "team-b"}, 4); err != nil {
		t.Fatal(err)
	}
	wantMay(ci, create, false)
}

// TestUnknownMembers: users and groups of an identity provider grant nothing, and are reported once.
func TestUnknownMembers(t *testing.T) {
	got := access.UnknownMembers([]registry.RoleBinding{
		{Role: "viewer", Members: []string{access.Authenticated, "namespaces/*/apitokens/ci", "user:alice@example.com"}},
		{Role: "owner", Members: []string{"group:admins", "user:alice@example.com", "namespaces/team-a/apitokens/CI_1", "namespaces/Team/apitokens/x"}},
	})
	if diff := cmp.Diff([]string{"user:alice@example.com", "group:admins", "namespaces/Team/apitokens/x"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRoleOf(t *testing.T) {
	o, _, err := access.Issue("team-a", "ci", access.Editor)
	if err != nil {
		t.Fatal(err)
	}
	if role, err := access.RoleOf(o); role != access.Editor || err != nil {
		t.Errorf("got %q, %v", role, err)
	}
	o.Spec = []byte("[]")
	if role, err := access.RoleOf(o); role != "" || err == nil {
		t.Errorf("of an invalid spec: got %q, %v", role, err)
	}
}

func TestRequestString(t *testing.T) {
	for want, r := range map[string]access.Request{
		`delete Deployment "orders" in platform namespace "team-a"`: {Verb: access.Delete, Kind: registry.Deployment, Namespace: "team-a", Name: "orders"},
		`list ApiToken for all platform namespaces`:                 {Verb: access.List, Kind: registry.APIToken, Namespace: registry.Everywhere},
		`create Namespace "team-a"`:                                 {Verb: access.Create, Kind: registry.Namespace, Namespace: "team-a"},
		`list Namespace`:                                            {Verb: access.List, Kind: registry.Namespace},
	} {
		if got := r.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// cluster authenticates one token of the cluster, and records those that it was called with.
type cluster struct {
	access.Caller
	token string
	err   error
	calls []string
}

func (c *cluster) Known(token string) (access.Caller, bool) { return c.Caller, token == c.token }

func (c *cluster) Authenticate(_ context.Context, token string) (access.Caller, error) {
	c.calls = append(c.calls, token)
	if c.err != nil || token == c.token {
		return c.Caller, c.err
	}
	return nil, access.ErrUnknown
}

// TestAny: API tokens of drey do not reach the cluster, and those of the cluster no other
// authenticator.
func TestAny(t *testing.T) {
	store := memstore.New()
	tokens := follow(t, store)
	ci, secret := issue(t, store, tokens, "team-a", "ci", access.Viewer)
	user, _ := issue(t, store, tokens, "team-a", "stands-for-a-user", access.Owner)
	users := &cluster{Caller: user, token: "of-the-cluster"}
	both := access.Any{tokens, users}

	for token, want := range map[string]string{secret: ci.Name(), "of-the-cluster": user.Name(), secret + "x": "", "wrong": ""} {
		c, err := both.Authenticate(t.Context(), token)
		if want == "" && !errors.Is(err, access.ErrUnknown) || want != "" && (err != nil || c.Name() != want) {
			t.Errorf("authenticate %q: got %v, %v, want %q", token, c, err, want)
		}
		if known, ok := both.Known(token); ok != (want != "") || ok && known.Name() != want {
			t.Errorf("known %q: got %v, %t, want %q", token, known, ok, want)
		}
	}
	for _, token := range users.calls {
		if token == secret || token == secret+"x" {
			t.Error("the cluster was sent an API token of drey")
		}
	}
	users.err = errors.New("the API server does not respond")
	if _, err := both.Authenticate(t.Context(), "of-the-cluster"); !errors.Is(err, users.err) {
		t.Errorf("got %v, want the error of the cluster", err)
	}

	for rule, c := range map[string]struct {
		of   access.Authenticator
		want *access.Tokens
	}{
		"tokens": {tokens, tokens}, "tokens among others": {access.Any{users, tokens}, tokens}, "the cluster alone": {access.Any{users}, nil}, "none": {nil, nil},
	} {
		if got := access.TokensOf(c.of); got != c.want {
			t.Errorf("TokensOf %s: got %p, want %p", rule, got, c.want)
		}
	}
}
