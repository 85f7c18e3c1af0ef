// Package reviews asks a cluster who somebody is, by TokenReview, and what they
// may do in the registry, by SubjectAccessReview: the RBAC of the cluster
// governs the registry as if its objects were in it.
package reviews

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/access"
)

// Group is the API group that RBAC rules name.
const Group = registry.Group

// resources are what RBAC rules call the kinds. All are in the Kubernetes
// namespace of their platform namespace's name, but namespaces, which are in
// none.
var resources = map[registry.Kind]string{
	registry.DeploymentTarget: "deploymenttargets",
	registry.Deployment:       "deployments",
	registry.SessionCluster:   "sessionclusters",
	registry.Job:              "jobs",
	registry.Namespace:        "namespaces",
	registry.APIToken:         "apitokens",
}

const (
	remember = 10 * time.Second // an answer: so long may one be let in who is not any more
	retry    = time.Second      // that one may not claim a namespace: who is given the right tries again at once
	most     = 4096             // answers of each sort that are remembered
	patience = 10 * time.Second // for an answer
)

// Reviews knows the users and ServiceAccounts of a cluster.
type Reviews struct {
	api       kubernetes.Interface
	audiences []string
	callers   *cache.LRUExpireCache // caller or nil, by tokenHash
	decisions *cache.LRUExpireCache // bool, by decision
}

type tokenHash [sha256.Size]byte

type decision struct {
	who  tokenHash
	what access.Request
	path string // instead of what
}

// claim is the same of registry.Requester.MayCreatePods.
type claim struct {
	who                 tokenHash
	kubernetesNamespace string
}

// New returns the users of the cluster at config. Audiences are those that a
// token must be for, one of them; none means tokens for the API server itself.
func New(config *rest.Config, audiences ...string) (*Reviews, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = 200, 400 // people wait; what they may ask for at once is bounded elsewhere
	api, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &Reviews{api, audiences, cache.NewLRUExpireCache(most), cache.NewLRUExpireCache(most)}, nil
}

// Known returns who holds a token if the cluster was asked that lately.
func (r *Reviews) Known(token string) (access.Caller, bool) {
	kept, ok := r.callers.Get(tokenHash(sha256.Sum256([]byte(token))))
	if !ok {
		return nil, false
	}
	c, ok := kept.(*caller)
	return c, ok
}

// Authenticate returns who holds a token, or [access.ErrUnknown].
func (r *Reviews) Authenticate(ctx context.Context, token string) (access.Caller, error) {
	hash := tokenHash(sha256.Sum256([]byte(token)))
	if kept, ok := r.callers.Get(hash); ok {
		if c, ok := kept.(*caller); ok {
			return c, nil
		}
		return nil, access.ErrUnknown
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	review, err := r.api.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: r.audiences},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, unavailable("who the token belongs to", err)
	}
	if !review.Status.Authenticated {
		r.callers.Add(hash, nil, remember)
		return nil, access.ErrUnknown
	}
	c := &caller{reviews: r, hash: hash, user: review.Status.User}
	r.callers.Add(hash, c, remember)
	return c, nil
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
	return c.ask(ctx, decision{who: c.hash, what: request}, authorizationv1.SubjectAccessReviewSpec{ResourceAttributes: attributes}, remember)
}

// MayCreatePods implements registry.Requester.
func (c *caller) MayCreatePods(ctx context.Context, kubernetesNamespace string) (bool, error) {
	return c.ask(ctx, claim{c.hash, kubernetesNamespace}, authorizationv1.SubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
		Version: "v1", Resource: "pods", Verb: "create", Namespace: kubernetesNamespace,
	}}, retry)
}

// ask asks the cluster, unless it did lately. A denial is remembered as long as
// is said.
func (c *caller) ask(ctx context.Context, key any, spec authorizationv1.SubjectAccessReviewSpec, denial time.Duration) (bool, error) {
	if allowed, ok := c.reviews.decisions.Get(key); ok {
		return allowed.(bool), nil
	}
	extra := map[string]authorizationv1.ExtraValue{}
	for key, values := range c.user.Extra {
		extra[key] = authorizationv1.ExtraValue(values)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	spec.User, spec.UID, spec.Groups, spec.Extra = c.user.Username, c.user.UID, c.user.Groups, extra
	review, err := c.reviews.api.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		return false, unavailable("what "+c.user.Username+" may do", err)
	}
	if review.Status.Allowed {
		denial = remember
	}
	c.reviews.decisions.Add(key, review.Status.Allowed, denial)
	return review.Status.Allowed, nil
}

// MayGet tells whether who holds a token may get a path of this server, which RBAC
// names in nonResourceURLs; [access.ErrUnknown] if nobody is known by it.
func (r *Reviews) MayGet(ctx context.Context, token, path string) (bool, error) {
	who, err := r.Authenticate(ctx, token)
	if err != nil {
		return false, err
	}
	c := who.(*caller)
	return c.ask(ctx, decision{who: c.hash, path: path}, authorizationv1.SubjectAccessReviewSpec{
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: path, Verb: "get"},
	}, remember)
}

func unavailable(what string, err error) error {
	return fmt.Errorf("%w: %s: %w", &registry.Error{
		Reason:  registry.ReasonClusterUnavailable,
		Message: fmt.Sprintf("the cluster could not be asked %s: try again", what),
	}, "ask the cluster", err)
}
