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

// errConflict means that another client has changed the object since it was read.
var errConflict = errors.New("changed since it was read")

// api reads and writes the Secrets and the webhook configurations of the leader. Its
// reads are consistent: they do not come from a cache.
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

// secret returns a Secret, or nil if it does not exist.
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

// write creates the Secret if it has no resourceVersion and updates it otherwise. It
// returns errConflict if the Secret exists, or is not the one that was read.
func (a *api) write(ctx context.Context, s *corev1.Secret) (err error) {
	if s.ResourceVersion == "" {
		_, err = a.core.Secrets(a.namespace).Create(ctx, s, metav1.CreateOptions{FieldManager: fieldManager})
		if apierrors.IsAlreadyExists(err) {
			return errConflict
		}
	} else {
		_, err = a.core.Secrets(a.namespace).Update(ctx, s, metav1.UpdateOptions{FieldManager: fieldManager})
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			return errConflict
		}
	}
	if err != nil {
		return fmt.Errorf("write Secret %s/%s: %w", a.namespace, s.Name, err)
	}
	return nil
}

// configurations returns the existing webhook configurations.
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

// patch applies a JSON patch to a configuration. It returns errConflict if the configuration
// has changed since it was read.
func (a *api) patch(ctx context.Context, c configuration, ops []patchOp) error {
	patch, err := c.jsonPatch(ops...)
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
	case apierrors.IsConflict(err), apierrors.IsNotFound(err), apierrors.IsInvalid(err): // Invalid: a test operation failed
		return fmt.Errorf("%s %s: %w: %w", c.kind, c.meta.Name, errConflict, err)
	}
	return fmt.Errorf("patch %s %s: %w", c.kind, c.meta.Name, err)
}
