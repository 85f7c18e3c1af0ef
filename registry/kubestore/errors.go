package kubestore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"drey.dev/drey/registry"
)

// toRegistryError maps an error of a request to the API server to an error of the registry.
// Callers handle not found, exists and conflict before.
//
// Failures that a retry or a permission for drey resolves become
// [registry.ReasonClusterUnavailable], objects that the cluster rejects
// [registry.ReasonInvalidSpec], and with [Options.UserCredentials] missing permissions
// [registry.ReasonForbidden]. operation completes "cannot ...".
func (o Options) toRegistryError(ctx context.Context, operation string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	cause := fmt.Errorf("%s: %w", operation, err)
	refuse := func(reason registry.Reason, format string, args ...any) error {
		return fmt.Errorf("%w: %w", &registry.Error{Reason: reason, Message: fmt.Sprintf(format, args...)}, cause)
	}
	status := apierrors.APIStatus(nil)
	switch {
	case !errors.As(err, &status):
		return refuse(registry.ReasonClusterUnavailable, "cannot %s: the API server is not reachable or timed out: try again", operation)
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return refuse(registry.ReasonNotFound, "cannot %s: the Kubernetes namespace is terminating", operation)
	case isNamespaceMissing(err):
		name := status.Status().Details.Name
		return refuse(registry.ReasonNotFound, "cannot %s: Kubernetes namespace %q does not exist, and the objects of a platform namespace are stored in the Kubernetes namespace of the same name: kubectl create namespace %s", operation, name, name)
	case o.UserCredentials && apierrors.IsForbidden(err) && strings.Contains(err.Error(), " cannot "): // RBAC
		return refuse(registry.ReasonForbidden, "not permitted to %s: %s", operation, status.Status().Message)
	case o.UserCredentials && apierrors.IsForbidden(err): // an admission webhook or policy
		return refuse(registry.ReasonForbidden, "the cluster refused to %s: %s", operation, status.Status().Message)
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), " cannot "), apierrors.IsUnauthorized(err):
		return refuse(registry.ReasonClusterUnavailable, "drey is not permitted to %s: %s: grant its ServiceAccount the permission, then try again", operation, status.Status().Message)
	case apierrors.IsNotFound(err):
		return refuse(registry.ReasonClusterUnavailable, "cannot %s: the cluster does not serve drey's custom resources: kubectl apply --server-side -k manifests/crds", operation)
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		return refuse(registry.ReasonInvalidSpec, "the cluster refused to %s: %s", operation, status.Status().Message)
	}
	return refuse(registry.ReasonClusterUnavailable, "cannot %s: %s: try again", operation, status.Status().Message)
}

// isNamespaceMissing reports whether a 404 is about the Kubernetes namespace, not the object.
func isNamespaceMissing(err error) bool {
	status := apierrors.APIStatus(nil)
	return apierrors.IsNotFound(err) && errors.As(err, &status) && status.Status().Details != nil && status.Status().Details.Kind == "namespaces"
}

// isUnknownResource reports whether a 404 is about the kind, not the object: it has no Status
// of the API server then.
func isUnknownResource(err error) bool {
	return apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}

// isPathSegment reports whether a name can be a segment of a URL path.
func isPathSegment(name string) bool {
	return name != "" && len(content.IsPathSegmentName(name)) == 0
}
