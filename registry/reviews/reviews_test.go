package reviews

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/cache"
	authenticationfake "k8s.io/client-go/kubernetes/typed/authentication/v1/fake"
	authorizationfake "k8s.io/client-go/kubernetes/typed/authorization/v1/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/access"
)

// fakes are Reviews with a cluster that knows the tokens in users, and allows what allow
// returns true for.
type fakes struct {
	*Reviews
	client *clienttesting.Fake
	users  map[string]authenticationv1.UserInfo
	allow  func(authorizationv1.SubjectAccessReviewSpec) bool
	fail   error
	specs  []authorizationv1.SubjectAccessReviewSpec
}

func newFakes() *fakes {
	f := &fakes{
		client: &clienttesting.Fake{},
		users: map[string]authenticationv1.UserInfo{"secret": {
			Username: "anna", UID: "u-1", Groups: []string{"nuts"}, Extra: map[string]authenticationv1.ExtraValue{"scopes": {"a", "b"}},
		}},
		allow: func(authorizationv1.SubjectAccessReviewSpec) bool { return true },
	}
	authentication, authorization := &authenticationfake.FakeAuthenticationV1{Fake: f.client}, &authorizationfake.FakeAuthorizationV1{Fake: f.client}
	f.Reviews = &Reviews{authentication.TokenReviews(), authorization.SubjectAccessReviews(), []string{"drey"}, cache.NewLRUExpireCache(cacheSize), cache.NewLRUExpireCache(cacheSize)}
	f.client.AddReactor("create", "tokenreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		review := a.(clienttesting.CreateAction).GetObject().(*authenticationv1.TokenReview)
		review.Status.User, review.Status.Authenticated = f.users[review.Spec.Token], f.users[review.Spec.Token].Username != ""
		review.Status.Audiences = review.Spec.Audiences
		if fmt.Sprint(review.Spec.Audiences) != "[drey]" {
			review.Status.Authenticated = false
		}
		return true, review, f.fail
	})
	f.client.AddReactor("create", "subjectaccessreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		review := a.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview)
		f.specs = append(f.specs, review.Spec)
		review.Status.Allowed = f.allow(review.Spec)
		return true, review, f.fail
	})
	return f
}

// calls returns the number of requests since the last call.
func (f *fakes) calls() int {
	n := len(f.client.Actions())
	f.client.ClearActions()
	return n
}

// authenticate returns the caller with the token secret.
func (f *fakes) authenticate(t *testing.T) *caller {
	t.Helper()
	c, err := f.Authenticate(t.Context(), "secret")
	if err != nil {
		t.Fatal(err)
	}
	f.calls()
	return c.(*caller)
}

// TestAuthenticateTTL checks the results, and that both are cached for cacheTTL.
func TestAuthenticateTTL(t *testing.T) {
	for token, known := range map[string]bool{"secret": true, "other": false, "": false} {
		t.Run(token, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakes()
				authenticate := func(want bool, calls int) {
					t.Helper()
					c, err := f.Authenticate(t.Context(), token)
					if want && (err != nil || c.Name() != "anna") || !want && !errors.Is(err, access.ErrUnknown) {
						t.Errorf("got %v, %v", c, err)
					}
					if _, ok := f.Known(token); ok != want {
						t.Errorf("Known: %t", ok)
					}
					if got := f.calls(); got != calls {
						t.Errorf("%d calls, want %d", got, calls)
					}
				}
				if _, ok := f.Known(token); ok {
					t.Error("known before the first review")
				}
				authenticate(known, 1)
				f.users = map[string]authenticationv1.UserInfo{}
				if !known {
					f.users[token] = authenticationv1.UserInfo{Username: "anna"}
				}
				time.Sleep(cacheTTL - time.Millisecond)
				authenticate(known, 0)
				time.Sleep(2 * time.Millisecond)
				if _, ok := f.Known(token); ok {
					t.Error("known after the TTL")
				}
				authenticate(!known, 1)
			})
		})
	}
}

// TestAudiences checks that a token is rejected unless one of the audiences is accepted.
func TestAudiences(t *testing.T) {
	for rule, c := range map[string]struct {
		audiences, accepted []string
		want                bool
	}{
		"accepted":            {[]string{"drey", "other"}, []string{"other"}, true},
		"another is accepted": {[]string{"drey"}, []string{"https://kubernetes.default.svc"}, false},
		"authenticator that is not audience-aware": {[]string{"drey"}, nil, false},
		"none requested":                {nil, []string{"https://kubernetes.default.svc"}, true},
		"none requested, none accepted": {nil, nil, true},
	} {
		t.Run(rule, func(t *testing.T) {
			var spec authenticationv1.TokenReviewSpec
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var review authenticationv1.TokenReview
				if err := json.NewDecoder(r.Body).Decode(&review); err != nil || r.URL.Path != "/apis/authentication.k8s.io/v1/tokenreviews" {
					t.Errorf("%s: %v", r.URL.Path, err)
				}
				spec = review.Spec
				review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{Username: "anna"}, Audiences: c.accepted}
				w.Header().Set("Content-Type", "application/json")
				_ = json.NewEncoder(w).Encode(review)
			}))
			defer server.Close()
			r, err := New(&rest.Config{Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}, c.audiences...)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second time from the cache
				got, err := r.Authenticate(t.Context(), "secret")
				if c.want && (err != nil || got.Name() != "anna") || !c.want && !errors.Is(err, access.ErrUnknown) {
					t.Errorf("got %v, %v", got, err)
				}
			}
			if spec.Token != "secret" || !slices.Equal(spec.Audiences, c.audiences) {
				t.Errorf("reviewed %+v", spec)
			}
		})
	}
	if _, err := New(&rest.Config{Host: "://"}); err == nil {
		t.Error("a host that is no URL is valid")
	}
}

// TestUnavailable checks that a failed review is neither a denial nor cached.
func TestUnavailable(t *testing.T) {
	f := newFakes()
	c := f.authenticate(t)
	f.fail = errors.New("etcd is down")
	_, errAuthenticate := f.Authenticate(t.Context(), "other")
	_, errMay := c.May(t.Context(), access.Request{Verb: "get", Kind: registry.Job, Namespace: "team-a"})
	_, errClaim := c.MayCreatePods(t.Context(), "orders")
	_, errPath := f.MayGet(t.Context(), "secret", "/metrics")
	for operation, err := range map[string]error{"token": errAuthenticate, "May": errMay, "MayCreatePods": errClaim, "MayGet": errPath} {
		var e *registry.Error
		if !errors.As(err, &e) || e.Reason != registry.ReasonClusterUnavailable || !errors.Is(err, f.fail) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error %v, want %s", operation, err, registry.ReasonClusterUnavailable)
		}
	}
	f.fail = nil
	if _, err := f.Authenticate(t.Context(), "other"); !errors.Is(err, access.ErrUnknown) {
		t.Errorf("failed review was cached: %v", err)
	}
	if ok, err := c.MayCreatePods(t.Context(), "orders"); !ok || err != nil {
		t.Errorf("failed review was cached: %t, %v", ok, err)
	}
}

// TestAttributes checks which attributes RBAC evaluates, with the whole identity of the user.
func TestAttributes(t *testing.T) {
	for rule, c := range map[string]struct {
		request access.Request
		want    authorizationv1.ResourceAttributes
	}{
		"object":            {access.Request{Verb: "delete", Kind: registry.Deployment, Namespace: "team-a", Name: "orders"}, authorizationv1.ResourceAttributes{Verb: "delete", Resource: "deployments", Namespace: "team-a", Name: "orders"}},
		"list":              {access.Request{Verb: "list", Kind: registry.DeploymentTarget, Namespace: "team-a"}, authorizationv1.ResourceAttributes{Verb: "list", Resource: "deploymenttargets", Namespace: "team-a"}},
		"session cluster":   {access.Request{Verb: "create", Kind: registry.SessionCluster, Namespace: "team-a"}, authorizationv1.ResourceAttributes{Verb: "create", Resource: "sessionclusters", Namespace: "team-a"}},
		"all namespaces":    {access.Request{Verb: "list", Kind: registry.Job, Namespace: registry.Everywhere}, authorizationv1.ResourceAttributes{Verb: "list", Resource: "jobs"}},
		"namespace by name": {access.Request{Verb: "get", Kind: registry.Namespace, Namespace: "team-a"}, authorizationv1.ResourceAttributes{Verb: "get", Resource: "namespaces", Name: "team-a"}},
		"API token":         {access.Request{Verb: "create", Kind: registry.APIToken, Namespace: "team-a"}, authorizationv1.ResourceAttributes{Verb: "create", Resource: "apitokens", Namespace: "team-a"}},
	} {
		t.Run(rule, func(t *testing.T) {
			f := newFakes()
			if _, err := f.authenticate(t).May(t.Context(), c.request); err != nil {
				t.Fatal(err)
			}
			c.want.Group = Group
			spec := f.specs[0]
			if *spec.ResourceAttributes != c.want || spec.NonResourceAttributes != nil {
				t.Errorf("got %+v\nwant %+v", *spec.ResourceAttributes, c.want)
			}
			if spec.User != "anna" || spec.UID != "u-1" || fmt.Sprint(spec.Groups) != "[nuts]" || fmt.Sprint(spec.Extra) != "map[scopes:[a b]]" {
				t.Errorf("user: got %+v", spec)
			}
		})
	}
}

// TestDecisionTTL checks how long a decision lasts: revoked access at most cacheTTL, a denied
// claim deniedClaimTTL.
func TestDecisionTTL(t *testing.T) {
	may := func(ctx context.Context, c *caller) (bool, error) {
		return c.May(ctx, access.Request{Verb: "get", Kind: registry.Job, Namespace: "team-a", Name: "x"})
	}
	claim := func(ctx context.Context, c *caller) (bool, error) { return c.MayCreatePods(ctx, "orders") }
	path := func(ctx context.Context, c *caller) (bool, error) { return c.reviews.MayGet(ctx, "secret", "/metrics") }
	for rule, c := range map[string]struct {
		decide  func(context.Context, *caller) (bool, error)
		allowed bool
		ttl     time.Duration
	}{
		"allowed request": {may, true, cacheTTL},
		"denied request":  {may, false, cacheTTL},
		"allowed claim":   {claim, true, cacheTTL},
		"denied claim":    {claim, false, deniedClaimTTL},
		"allowed path":    {path, true, cacheTTL},
		"denied path":     {path, false, cacheTTL},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakes()
				f.allow = func(authorizationv1.SubjectAccessReviewSpec) bool { return c.allowed }
				user := f.authenticate(t)
				want := func(allowed bool) {
					t.Helper()
					if got, err := c.decide(t.Context(), user); got != allowed || err != nil {
						t.Errorf("got %t, %v, want %t", got, err, allowed)
					}
				}
				want(c.allowed)
				f.allow = func(authorizationv1.SubjectAccessReviewSpec) bool { return !c.allowed }
				time.Sleep(c.ttl - time.Millisecond)
				want(c.allowed)
				time.Sleep(2 * time.Millisecond)
				want(!c.allowed)
			})
		})
	}
}

// TestDecisionsApart checks that no decision is returned for another token, request or path.
func TestDecisionsApart(t *testing.T) {
	f := newFakes()
	f.users["other"] = authenticationv1.UserInfo{Username: "bert"}
	f.allow = func(s authorizationv1.SubjectAccessReviewSpec) bool {
		a := s.ResourceAttributes
		return s.User == "anna" && (a == nil && s.NonResourceAttributes.Path == "/metrics" || a != nil && a.Namespace == "team-a" && a.Verb != "delete")
	}
	other, err := f.Authenticate(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	anna, bert := f.authenticate(t), other.(*caller)
	get := func(c *caller, verb access.Verb, namespace string) func() (bool, error) {
		return func() (bool, error) {
			return c.May(t.Context(), access.Request{Verb: verb, Kind: registry.Job, Namespace: namespace})
		}
	}
	for range 2 { // the second time from the cache
		for rule, c := range map[string]struct {
			decide func() (bool, error)
			want   bool
		}{
			"allowed":           {get(anna, "get", "team-a"), true},
			"another verb":      {get(anna, "delete", "team-a"), false},
			"another namespace": {get(anna, "get", "team-b"), false},
			"another user":      {get(bert, "get", "team-a"), false},
			"claim":             {func() (bool, error) { return anna.MayCreatePods(t.Context(), "team-a") }, true},
			"another claim":     {func() (bool, error) { return anna.MayCreatePods(t.Context(), "team-b") }, false},
			"path":              {func() (bool, error) { return f.MayGet(t.Context(), "secret", "/metrics") }, true},
			"another path":      {func() (bool, error) { return f.MayGet(t.Context(), "secret", "/debug") }, false},
			"another's path":    {func() (bool, error) { return f.MayGet(t.Context(), "other", "/metrics") }, false},
		} {
			if got, err := c.decide(); got != c.want || err != nil {
				t.Errorf("%s: got %t, %v, want %t", rule, got, err, c.want)
			}
		}
	}
	if got := f.calls(); got != 9 {
		t.Errorf("%d reviews of 9 decisions", got)
	}
	if _, err := f.MayGet(t.Context(), "unknown", "/metrics"); !errors.Is(err, access.ErrUnknown) {
		t.Errorf("unknown token: %v", err)
	}
}
