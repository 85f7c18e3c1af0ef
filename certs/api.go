package certs

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	admissionclient "k8s.io/client-go/kubernetes/typed/admissionregistration/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
)

// errChanged means that another writer was faster.
var errChanged = errors.New("it has changed meanwhile")

// api is what the leader reads and writes. It reads from the API server's store,
// not from a cache.
type api struct {
	core          coreclient.CoreV1Interface
	admission     admissionclient.AdmissionregistrationV1Interface
	namespace     string
	configuration string
}

func newAPI(config *rest.Config, namespace, configuration string) (*api, error) {
	core, err := coreclient.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	admission, err := admissionclient.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &api{core, admission, namespace, configuration}, nil
}

// secret returns nil without error if there is none.
func (a *api) secret(ctx context.Context, name string) (*corev1.Secret, error) {
	s, err := a.core.Secrets(a.namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Secret %s/%s: %w", a.namespace, name, err)
	}
	return s, nil
}

// write creates the Secret if it has never been read, and updates the one that
// was read otherwise: errChanged if that is gone or another by now.
func (a *api) write(ctx context.Context, s *corev1.Secret) (err error) {
	if s.ResourceVersion == "" {
		_, err = a.core.Secrets(a.namespace).Create(ctx, s, metav1.CreateOptions{FieldManager: fieldManager})
		if apierrors.IsAlreadyExists(err) {
			return errChanged
		}
	} else {
		_, err = a.core.Secrets(a.namespace).Update(ctx, s, metav1.UpdateOptions{FieldManager: fieldManager})
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			return errChanged
		}
	}
	if err != nil {
		return fmt.Errorf("write Secret %s/%s: %w", a.namespace, s.Name, err)
	}
	return nil
}

// configurations returns those that there are.
func (a *api) configurations(ctx context.Context) ([]configuration, error) {
	var all []configuration
	switch c, err := a.admission.MutatingWebhookConfigurations().Get(ctx, a.configuration, metav1.GetOptions{}); {
	case err == nil:
		all = append(all, mutating(c))
	case !apierrors.IsNotFound(err):
		return nil, fmt.Errorf("read mutatingwebhookconfiguration %s: %w", a.configuration, err)
	}
	switch c, err := a.admission.ValidatingWebhookConfigurations().Get(ctx, a.configuration, metav1.GetOptions{}); {
	case err == nil:
		all = append(all, validating(c))
	case !apierrors.IsNotFound(err):
		return nil, fmt.Errorf("read validatingwebhookconfiguration %s: %w", a.configuration, err)
	}
	return all, nil
}

// change makes the changes to the configuration as it was read: errChanged if
// it is another by now.
func (a *api) change(ctx context.Context, c configuration, changes []change) error {
	patch, err := c.patch(changes...)
	if err != nil {
		return err
	}
	options := metav1.PatchOptions{FieldManager: fieldManager}
	if c.kind == "mutatingwebhookconfiguration" {
		_, err = a.admission.MutatingWebhookConfigurations().Patch(ctx, c.meta.Name, types.JSONPatchType, patch, options)
	} else {
		_, err = a.admission.ValidatingWebhookConfigurations().Patch(ctx, c.meta.Name, types.JSONPatchType, patch, options)
	}
	switch {
	case err == nil:
		return nil
	case apierrors.IsConflict(err), apierrors.IsNotFound(err), apierrors.IsInvalid(err): // Invalid: a test of the patch failed
		return fmt.Errorf("%s %s: %w: %w", c.kind, c.meta.Name, errChanged, err)
	}
	return fmt.Errorf("change %s %s: %w", c.kind, c.meta.Name, err)
}
