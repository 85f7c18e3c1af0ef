package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"drey.dev/drey/registry"
)

// The reasons that the API adds to those of the registry.
const (
	ReasonBadRequest           registry.Reason = "BadRequest"
	ReasonUnauthorized         registry.Reason = "Unauthorized"
	ReasonForbidden                            = registry.ReasonForbidden
	ReasonTooLarge             registry.Reason = "BodyTooLarge"
	ReasonUnsupportedMediaType registry.Reason = "UnsupportedMediaType"
	ReasonMethodNotAllowed     registry.Reason = "MethodNotAllowed"
	ReasonTooManyRequests      registry.Reason = "TooManyRequests"
	ReasonUnavailable          registry.Reason = "Unavailable"
	ReasonInternal             registry.Reason = "Internal"
)

// problem is an error that the HTTP side finds.
type problem struct {
	status  int
	reason  registry.Reason
	message string
}

func (p *problem) Error() string { return p.message }

func badRequest(format string, args ...any) error {
	return &problem{http.StatusBadRequest, ReasonBadRequest, fmt.Sprintf(format, args...)}
}

// statusOf is the HTTP status of each reason of the registry.
var statusOf = map[registry.Reason]int{
	registry.ReasonNotFound:      http.StatusNotFound,
	registry.ReasonAlreadyExists: http.StatusConflict,
	registry.ReasonConflict:      http.StatusConflict,
	registry.ReasonImmutableSpec: http.StatusConflict,
	registry.ReasonInvalidName:   http.StatusBadRequest,
	registry.ReasonInvalidSpec:   http.StatusBadRequest,

	registry.ReasonUnknownReference:         http.StatusBadRequest,
	registry.ReasonTargetReferenced:         http.StatusConflict,
	registry.ReasonSessionClusterReferenced: http.StatusConflict,
	registry.ReasonClusterUnavailable:       http.StatusServiceUnavailable,
	registry.ReasonNamespaceInUse:           http.StatusConflict,
	registry.ReasonNotSupported:             http.StatusConflict,
	registry.ReasonClaimForbidden:           http.StatusForbidden,
	registry.ReasonForbidden:                http.StatusForbidden,
	registry.ReasonQuotaExceeded:            http.StatusForbidden, // as a ResourceQuota
	registry.ReasonIDTaken:                  http.StatusConflict,
}

// errorBody is what every error looks like on the wire. One client fails on a
// message that is not a string, and on a body that is not an object.
type errorBody struct {
	Timestamp string          `json:"timestamp"`
	Status    int             `json:"status"`
	Error     string          `json:"error"`
	Reason    registry.Reason `json:"reason"`
	Message   string          `json:"message"`
	Path      string          `json:"path"`
}

// problemOf turns any error into one that can be told to a client. What is
// neither a refusal nor the client's fault is logged and not told.
func (s *server) problemOf(r *http.Request, err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if e, ok := errors.AsType[*registry.Error](err); ok {
		if status := statusOf[e.Reason]; status >= http.StatusInternalServerError {
			s.log.WarnContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		}
		return &problem{statusOf[e.Reason], e.Reason, e.Message}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.WarnContext(r.Context(), "request took too long", "method", r.Method, "path", r.URL.Path, "error", err)
		return &problem{http.StatusServiceUnavailable, ReasonUnavailable, "the registry's store did not answer in time: GET the object, for a change may have been made or not, then try again"}
	}
	if errors.Is(err, registry.ErrClosed) || errors.Is(err, context.Canceled) {
		return &problem{http.StatusServiceUnavailable, ReasonUnavailable, "drey is shutting down or too busy: try again"}
	}
	s.log.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	return &problem{http.StatusInternalServerError, ReasonInternal, "the registry could not do this: drey's log says why"}
}

func (p *problem) body(r *http.Request) errorBody {
	return errorBody{
		Timestamp: time.Now().UTC().Format(time.RFC3339),
		Status:    p.status,
		Error:     http.StatusText(p.status),
		Reason:    p.reason,
		Message:   validText(p.message),
		Path:      validText(r.URL.Path),
	}
}

// validText is a text that JSON can have: a client may send any bytes in a path.
func validText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// noSuchMethod answers what a path has no method for. OPTIONS asks just that.
func (s *server) noSuchMethod(m methods) func(*http.Request) (answer, error) {
	allowed := []string{http.MethodOptions}
	for method := range m {
		allowed = append(allowed, method)
	}
	slices.Sort(allowed)
	allow := strings.Join(allowed, ", ")
	return func(r *http.Request) (answer, error) {
		a := answer{status: http.StatusOK, header: http.Header{"Allow": {allow}}, body: struct{}{}}
		if r.Method == http.MethodOptions {
			return a, nil
		}
		what := fmt.Sprintf("%s is not a method of this path: it has %s", r.Method, allow)
		if r.Method == http.MethodPatch {
			what += ". PUT the whole object with other labels or annotations; the spec of a target never changes"
		}
		return a, &problem{http.StatusMethodNotAllowed, ReasonMethodNotAllowed, what}
	}
}
