package server

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	admissionclient "k8s.io/client-go/kubernetes/typed/admissionregistration/v1"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"

	"drey.dev/drey/certs"
	"drey.dev/drey/registry"
	webhookconfig "drey.dev/drey/webhook/config"
)

// uninstallCommand removes what install writes, and the labels of namespaces.
const uninstallCommand = "drey uninstall"

// serviceAccountPrefix begins the user names of ServiceAccounts.
const serviceAccountPrefix = "system:serviceaccount:"

// install registers the webhooks by URL and the policies, by server-side apply.
// withRegistry includes the webhook for drey's own objects. The leader writes the caBundles
// and the path tokens of certificates that are not in memory.
func (s *server) install(ctx context.Context, c certificates, withRegistry bool) error {
	api, err := admissionclient.NewForConfig(s.cluster)
	if err != nil {
		return err
	}
	self, err := s.username(ctx)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(self, serviceAccountPrefix) {
		s.log.Warn("drey runs as a user: its rules exempt this user, who can set the registered label, register any namespace and write any object of the registry; "+
			"run drey as a ServiceAccount of its own", "user", self, "how", "docs/how-to/install.md#identity-of-drey")
	}
	mode, err := webhookconfig.ParseMode(s.options.config.Webhooks.Mode)
	if err != nil {
		return err
	}
	var caBundle []byte
	var pathToken string
	if m, ok := c.(*certs.Memory); ok {
		caBundle, pathToken = m.CABundle(), m.PathToken()
	}
	client := webhookconfig.ByURL("https://"+s.options.config.Webhooks.BindAddress, caBundle, pathToken)
	objects := webhookconfig.NewObjects(client, withRegistry, webhookconfig.PolicyOptions{
		Exclude: s.options.excludedNamespaces(), Mode: mode, Username: self, OwnNamespace: s.options.config.Namespace, Contact: s.options.config.Webhooks.Contact,
		RegisterCommand: s.registryHint().Command("NAMESPACE", registry.DefaultNamespace),
	})

	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := applyTo(ctx, api.ValidatingWebhookConfigurations().Patch, objects.Validating.Name, objects.Validating); err != nil {
		return fmt.Errorf("register the validating webhooks: %w", err)
	}
	if err := applyTo(ctx, api.MutatingWebhookConfigurations().Patch, objects.Mutating.Name, objects.Mutating); err != nil {
		return fmt.Errorf("register the mutating webhooks: %w", err)
	}
	for _, p := range objects.Policies {
		if err := applyTo(ctx, api.ValidatingAdmissionPolicies().Patch, p.Name, p); err != nil {
			return fmt.Errorf("install policy %s: %w", p.Name, err)
		}
	}
	for _, b := range objects.Bindings {
		if err := applyTo(ctx, api.ValidatingAdmissionPolicyBindings().Patch, b.Name, b); err != nil {
			return fmt.Errorf("install the binding of policy %s: %w", b.Name, err)
		}
	}
	s.log.Info("webhooks registered; while drey is down they deny new Flink workloads", "remove", uninstallCommand)
	return nil
}

// patchFunc is the Patch method of a typed client.
type patchFunc[T any] func(ctx context.Context, name string, pt types.PatchType, data []byte, opts metav1.PatchOptions, subresources ...string) (T, error)

// applyTo writes an object by server-side apply: fields that drey does not state
// stay as others set them.
func applyTo[T any](ctx context.Context, patch patchFunc[T], name string, object T) error {
	text, err := json.Marshal(object)
	if err != nil {
		return err
	}
	_, err = patch(ctx, name, types.ApplyPatchType, text, metav1.PatchOptions{FieldManager: "drey", Force: new(true)})
	return err
}

// username returns the name of drey's own user, by a SelfSubjectReview.
func (s *server) username(ctx context.Context) (string, error) {
	api, err := authenticationclient.NewForConfig(s.cluster)
	if err != nil {
		return "", err
	}
	review, err := api.SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("self subject review: %w", err)
	}
	return review.Status.UserInfo.Username, nil
}
