package registry

import (
	"errors"
	"fmt"
)

// Reason is the machine-readable cause of a refusal, for metrics, tests and documentation.
type Reason string

// The reasons of the registry.
const (
	ReasonNotFound      Reason = "NotFound"      // the object or the platform namespace does not exist
	ReasonAlreadyExists Reason = "AlreadyExists" // an object has the name
	ReasonConflict      Reason = "Conflict"      // the precondition failed
	ReasonImmutableSpec Reason = "ImmutableSpec" // the spec of a target cannot be changed
	ReasonInvalidName   Reason = "InvalidName"   // the name is not valid for the kind
	ReasonInvalidSpec   Reason = "InvalidSpec"   // the spec is not valid for the kind

	ReasonUnknownReference         Reason = "UnknownReference"         // the spec refers to a missing object
	ReasonTargetReferenced         Reason = "TargetReferenced"         // the target is referenced
	ReasonSessionClusterReferenced Reason = "SessionClusterReferenced" // the session cluster is referenced
	ReasonClusterUnavailable       Reason = "ClusterUnavailable"       // a request to the cluster failed
	ReasonNotSupported             Reason = "NotSupported"             // the store does not support it
	ReasonNamespaceInUse           Reason = "NamespaceInUse"           // the platform namespace is not empty, or is the default
	ReasonClaimForbidden           Reason = "ClaimForbidden"           // the user may not create pods in the target's Kubernetes namespace
	ReasonForbidden                Reason = "Forbidden"                // the user lacks the permission in the cluster
	ReasonQuotaExceeded            Reason = "QuotaExceeded"            // the write exceeds the quota of the platform namespace
	ReasonIDTaken                  Reason = "IDTaken"                  // the requested id belongs to another object
)

// Error is the refusal of a request by the rules. Nothing was changed.
type Error struct {
	Reason  Reason
	Message string // what failed: why; how to fix
}

func (e *Error) Error() string { return e.Message }

// ReasonOf returns the reason of the first [*Error] in err's chain; "" if err is a failure, not
// a refusal.
func ReasonOf(err error) Reason {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return ""
}

func refuse(reason Reason, format string, args ...any) error {
	return &Error{Reason: reason, Message: fmt.Sprintf(format, args...)}
}
