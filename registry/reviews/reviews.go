// Package reviews authenticates callers of the registry by TokenReview, and authorizes them by
// SubjectAccessReview: the RBAC of the cluster applies to the registry as to custom resources.
package reviews

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/access"
)

// Group is the API group that RBAC rules name.
const Group = registry.Group

// resources are the resources of the kinds in RBAC rules. All but namespaces are in the Kubernetes
// namespace with the name of their platform namespace.
var resources = map[registry.Kind]string{
	registry.DeploymentTarget: "deploymenttargets",
	registry.Deployment:       "deployments",
	registry.SessionCluster:   "sessionclusters",
	registry.Job:              "jobs",
	registry.Namespace:        "namespaces",
	registry.APIToken:         "apitokens",
}

const (
	cacheTTL       = 10 * time.Second // of a result: revoked access lasts at most this long
	deniedClaimTTL = time.Second      // of a denied claim: users retry right after a grant
	cacheSize      = 4096             // results of each type
	requestTimeout = 10 * time.Second // of a review
)

// Reviews authenticates and authorizes users and ServiceAccounts of a cluster. It caches results.
type Reviews struct {
	tokens    authenticationclient.TokenReviewInterface
	accesses  authorizationclient.SubjectAccessReviewInterface
	audiences []string
	callers   *cache.LRUExpireCache // caller or nil, by tokenHash
	decisions *cache.LRUExpireCache // bool, by decision
}

type tokenHash [sha256.Size]byte

type decision struct {
	token   tokenHash
	request access.Request
	path    string // instead of request
}

// claim is the cache key of registry.Requester.MayCreatePods.
type claim struct {
	token               tokenHash
	kubernetesNamespace string
}

// New returns the Reviews of the cluster at config. A token must be for one of the audiences; the
// default is the audience of the API server.
func New(config *rest.Config, audiences ...string) (*Reviews, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = 200, 400 // REST limits the requests in flight
	connections, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	authentication, errAuthentication := authenticationclient.NewForConfigAndClient(config, connections)
	authorization, errAuthorization := authorizationclient.NewForConfigAndClient(config, connections)
	if err := errors.Join(errAuthentication, errAuthorization); err != nil {
		return nil, err
	}
	return &Reviews{authentication.TokenReviews(), authorization.SubjectAccessReviews(), audiences, cache.NewLRUExpireCache(cacheSize), cache.NewLRUExpireCache(cacheSize)}, nil
}

// Known returns the caller with a token from the cache.
func (r *Reviews) Known(token string) (access.Caller, bool) {
	kept, ok := r.callers.Get(tokenHash(sha256.Sum256([]byte(token))))
	if !ok {
		return nil, false
	}
	c, ok := kept.(*caller)
	return c, ok
}

// Authenticate returns the caller with a token, or [access.ErrUnknown].
func (r *Reviews) Authenticate(ctx context.Context, token string) (access.Caller, error) {
	hash := tokenHash(sha256.Sum256([]byte(token)))
	if kept, ok := r.callers.Get(hash); ok {
		if c, ok := kept.(*caller); ok {
			return c, nil
		}
		return nil, access.ErrUnknown
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	review, err := r.tokens.Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: r.audiences},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, unavailable("review the token", err)
	}
	if !review.Status.Authenticated || !r.isFor(review.Status.Audiences) {
		r.callers.Add(hash, nil, cacheTTL)
		return nil, access.ErrUnknown
	}
	c := &caller{reviews: r, hash: hash, user: review.Status.User}
	r.callers.Add(hash, c, cacheTTL)
	return c, nil
}

// isFor reports whether one of the audiences that an authenticator accepted is one that was
// requested: an authenticator that does not evaluate audiences returns none.
func (r *Reviews) isFor(accepted []string) bool {
	return len(r.audiences) == 0 || slices.ContainsFunc(r.audiences, func(a string) bool { return slices.Contains(accepted, a) })
}

// caller is a user of the cluster.
type caller struct {
	reviews *Reviews
	hash    tokenHash
	user    authenticationv1.UserInfo
}

func (c *caller) Name() string { return c.user.Username }

func (c *caller) May(ctx context.Context, request access.Request) (bool, error) {
	attributes := &authorizationv1.ResourceAttributes{
		Group: Group, Resource: resources[request.Kind], Verb: string(request.Verb), Namespace: request.Namespace, Name: request.Name,
	}
	switch {
	case request.Kind == registry.Namespace:
		attributes.Name, attributes.Namespace = request.Namespace, ""
	case request.Namespace == registry.Everywhere:
		attributes.Namespace = "" // in all
	}
	return c.review(ctx, decision{token: c.hash, request: request}, authorizationv1.SubjectAccessReviewSpec{ResourceAttributes: attributes}, cacheTTL)
}

// MayCreatePods implements registry.Requester.
func (c *caller) MayCreatePods(ctx context.Context, kubernetesNamespace string) (bool, error) {
	return c.review(ctx, claim{c.hash, kubernetesNamespace}, authorizationv1.SubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
		Version: "v1", Resource: "pods", Verb: "create", Namespace: kubernetesNamespace,
	}}, deniedClaimTTL)
}

// review makes a SubjectAccessReview, unless its result is cached. denialTTL is the TTL of a denial.
func (c *caller) review(ctx context.Context, key any, spec authorizationv1.SubjectAccessReviewSpec, denialTTL time.Duration) (bool, error) {
	if allowed, ok := c.reviews.decisions.Get(key); ok {
		return allowed.(bool), nil
	}
	extra := map[string]authorizationv1.ExtraValue{}
	for key, values := range c.user.Extra {
		extra[key] = authorizationv1.ExtraValue(values)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	spec.User, spec.UID, spec.Groups, spec.Extra = c.user.Username, c.user.UID, c.user.Groups, extra
	review, err := c.reviews.accesses.Create(ctx, &authorizationv1.SubjectAccessReview{Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		return false, unavailable("review the access of "+c.user.Username, err)
	}
	if review.Status.Allowed {
		denialTTL = cacheTTL
	}
	c.reviews.decisions.Add(key, review.Status.Allowed, denialTTL)
	return review.Status.Allowed, nil
}

// MayGet reports whether the caller with a token may get a path of this server, by nonResourceURLs
// in RBAC rules. [access.ErrUnknown] if the token is not valid.
func (r *Reviews) MayGet(ctx context.Context, token, path string) (bool, error) {
	authenticated, err := r.Authenticate(ctx, token)
	if err != nil {
		return false, err
	}
	c := authenticated.(*caller)
	return c.review(ctx, decision{token: c.hash, path: path}, authorizationv1.SubjectAccessReviewSpec{
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: path, Verb: "get"},
	}, cacheTTL)
}

func unavailable(operation string, err error) error {
	return fmt.Errorf("%w: %w", &registry.Error{
		Reason:  registry.ReasonClusterUnavailable,
		Message: fmt.Sprintf("cannot %s: the API server is not available: try again", operation),
	}, err)
}
