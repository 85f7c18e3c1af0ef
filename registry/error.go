package registry

import (
	"errors"
	"fmt"
)

// Reason is one word for what is wrong with a request: the closed list that
// metrics, tests and documents use. The message beside it is for people.
type Reason string

// The reasons that the registry itself gives.
const (
	ReasonNotFound      Reason = "NotFound"      // no such object, or no such platform namespace
	ReasonAlreadyExists Reason = "AlreadyExists" // a new object has the name of an existing one
	ReasonConflict      Reason = "Conflict"      // the stated version is not the current one
	ReasonImmutableSpec Reason = "ImmutableSpec" // the spec of a target never changes
	ReasonInvalidName   Reason = "InvalidName"   // the name is not one for this kind
	ReasonInvalidSpec   Reason = "InvalidSpec"   // the spec does not describe an object of this kind

	ReasonUnknownReference         Reason = "UnknownReference"         // the spec refers to what does not exist
	ReasonTargetReferenced         Reason = "TargetReferenced"         // something stands on the target
	ReasonSessionClusterReferenced Reason = "SessionClusterReferenced" // something runs on the session cluster
	ReasonClusterUnavailable       Reason = "ClusterUnavailable"       // what runs in the cluster cannot be told
	ReasonNotSupported             Reason = "NotSupported"             // the store that drey was started with has no such thing
	ReasonNamespaceInUse           Reason = "NamespaceInUse"           // the platform namespace is not empty, or always exists
	ReasonClaimForbidden           Reason = "ClaimForbidden"           // who registers the target may not run pods in its Kubernetes namespace
	ReasonForbidden                Reason = "Forbidden"                // who asks may not do that in the cluster
	ReasonQuotaExceeded            Reason = "QuotaExceeded"            // the write exceeds the quota of the platform namespace
	ReasonIDTaken                  Reason = "IDTaken"                  // the object states the id of something else
)

// Error is a request that the rules refuse. Nothing was changed.
type Error struct {
	Reason  Reason
	Message string // names the thing, what is wrong with it, and what to do
}

func (e *Error) Error() string { return e.Message }

// ReasonOf returns the reason of the first [*Error] in err's chain, "" if
// there is none: then err is a failure, not a refusal.
func ReasonOf(err error) Reason {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return ""
}

func refuse(reason Reason, format string, args ...any) error {
	return &Error{Reason: reason, Message: fmt.Sprintf(format, args...)}
}
