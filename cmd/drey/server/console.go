package server

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"

	"drey.dev/drey/cmd/drey/explain"
	configv1alpha1 "drey.dev/drey/config/v1alpha1"
	"drey.dev/drey/console"
	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/registry/rest"
	"drey.dev/drey/webhook/verdict"
)

// newConsole returns the console over the REST API with its options.
func (s *server) newConsole(ctx context.Context, api http.Handler, o rest.Options) (*console.Console, error) {
	s.health = newHealthReader(s)
	options := console.Options{
		API: api, Registry: s.rules, Store: s.store, Log: s.log, Version: s.options.Build.Version, OwnNamespace: s.options.config.Namespace,
		Access: o.Access, Throttle: o.Throttle, Inventory: s.inventory, Readiness: o.Readiness,
		Health: s.health.read, Explain: s.explain, LoginHelp: s.loginHelp(), Closing: s.closing,
	}
	if s.cluster != nil {
		options.Denials = s.denials // nothing is denied without
	}
	if o.Access != nil && s.cluster != nil && s.options.config.Registry.Store == configv1alpha1.StoreKubernetes {
		key, err := s.cookieKey(ctx)
		if err != nil { // the console works without: an installation from before it lacks the permission
			s.log.Warn("console: sessions are valid in this replica only: apply the current Role drey", "error", err)
		}
		options.CookieKey = key
	}
	return console.New(context.Background(), options)
}

// explain is for [console.Options].
func (s *server) explain(ctx context.Context, text []byte, namespace string, visible func(string) (bool, error)) ([]verdict.Explanation, bool, error) {
	x := explain.Explainer{State: verdict.Caches{Registry: s.index}, OwnNamespace: s.options.config.Namespace, Hint: s.registryHint()}
	if caches := s.caches.Load(); caches != nil {
		x.State = *caches
	}
	return x.Explain(ctx, text, namespace, visible)
}

// loginHelp says where users of the console get a token.
func (s *server) loginHelp() (all []string) {
	if slices.Contains(s.options.config.REST.Auth, configv1alpha1.AuthTokens) {
		all = append(all, "An API token of drey. An owner of the platform namespace issues it: drey tokens create NAME --role viewer --platform-namespace NAMESPACE")
	}
	if slices.Contains(s.options.config.REST.Auth, configv1alpha1.AuthCluster) {
		all = append(all, "A token of the cluster, whose RBAC applies: kubectl create token SERVICEACCOUNT -n NAMESPACE")
	}
	return append(all, "It is kept in this browser, encrypted, for 12 hours.")
}

// cookieKeyField is the field of the Secret with the key.
const cookieKeyField = "cookie-key"

// cookieKey returns the key that encrypts the cookies of the console. The first replica writes
// it to a Secret that all share.
func (s *server) cookieKey(ctx context.Context) ([]byte, error) {
	client, err := coreclient.NewForConfig(s.cluster)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	secrets := client.Secrets(s.options.config.Namespace)
	found, err := secrets.Get(ctx, bundle.ConsoleSecret, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		key := make([]byte, 32)
		_, _ = rand.Read(key) // never fails
		found, err = secrets.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: bundle.ConsoleSecret, Labels: map[string]string{"app.kubernetes.io/name": bundle.Name}}, Data: map[string][]byte{cookieKeyField: key},
		}, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) { // by another replica
			found, err = secrets.Get(ctx, bundle.ConsoleSecret, metav1.GetOptions{})
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cookie key: %w", err)
	}
	key := found.Data[cookieKeyField]
	if len(key) != 32 {
		return nil, fmt.Errorf("cookie key: Secret %s/%s has %d bytes in %s, want 32: delete it, and restart drey", s.options.config.Namespace, bundle.ConsoleSecret, len(key), cookieKeyField)
	}
	return key, nil
}
