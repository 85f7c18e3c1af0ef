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

// failure says what an error of the API server means to the registry. What a
// store answers (not found, exists, conflict) is for the caller to see first.
//
// What passes by itself, or when somebody gives drey a right, is refused with
// [registry.ReasonClusterUnavailable]; what the cluster will not have with
// [registry.ReasonInvalidSpec]; what a person may not do, see [Options], with
// [registry.ReasonForbidden].
func (o Options) failure(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	cause := fmt.Errorf("%s: %w", doing, err)
	refuse := func(reason registry.Reason, format string, args ...any) error {
		return fmt.Errorf("%w: %w", &registry.Error{Reason: reason, Message: fmt.Sprintf(format, args...)}, cause)
	}
	status := apierrors.APIStatus(nil)
	switch {
	case !errors.As(err, &status):
		return refuse(registry.ReasonClusterUnavailable, "the API server, which keeps the registry, could not be asked to %s, or did not answer in time: try again", doing)
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return refuse(registry.ReasonNotFound, "could not %s: the Kubernetes namespace is being deleted", doing)
	case isNamespaceMissing(err):
		name := status.Status().Details.Name
		return refuse(registry.ReasonNotFound, "could not %s: Kubernetes namespace %q does not exist, and the cluster keeps what is in a platform namespace in the Kubernetes namespace of its name: kubectl create namespace %s", doing, name, name)
	case o.Person && apierrors.IsForbidden(err) && strings.Contains(err.Error(), " cannot "):
		return refuse(registry.ReasonForbidden, "you may not %s: %s", doing, status.Status().Message)
	case o.Person && apierrors.IsForbidden(err): // drey's webhook, or another's
		return refuse(registry.ReasonForbidden, "the cluster, which keeps the registry, refuses to %s: %s", doing, status.Status().Message)
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), " cannot "), apierrors.IsUnauthorized(err):
		return refuse(registry.ReasonClusterUnavailable, "drey has no right to %s: %s. Give its ServiceAccount the right, then try again", doing, status.Status().Message)
	case apierrors.IsNotFound(err):
		return refuse(registry.ReasonClusterUnavailable, "the cluster does not know drey's objects: kubectl apply --server-side -k manifests/crds")
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		return refuse(registry.ReasonInvalidSpec, "the cluster, which keeps the registry, refuses to %s: %s", doing, status.Status().Message)
	}
	return refuse(registry.ReasonClusterUnavailable, "the API server, which keeps the registry, could not %s: %s. Try again", doing, status.Status().Message)
}

// isNamespaceMissing reports whether it is the Kubernetes namespace that was not
// found, rather than the object.
func isNamespaceMissing(err error) bool {
	status := apierrors.APIStatus(nil)
	return apierrors.IsNotFound(err) && errors.As(err, &status) && status.Status().Details != nil && status.Status().Details.Kind == "namespaces"
}

// isUnknownResource reports whether the API server has no such kind, rather than
// no such object: then it was not it that made the answer's text.
func isUnknownResource(err error) bool {
	return apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}

// isPathSegment reports whether a name can stand in a path of the API.
func isPathSegment(name string) bool {
	return name != "" && len(content.IsPathSegmentName(name)) == 0
}
