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

// The reasons of the API, in addition to those of the registry.
const (
	ReasonBadRequest           registry.Reason = "BadRequest"   // the body or a header is malformed, or contradicts the path
	ReasonUnauthorized         registry.Reason = "Unauthorized" // no token, or an invalid one
	ReasonForbidden                            = registry.ReasonForbidden
	ReasonTooLarge             registry.Reason = "BodyTooLarge"         // the body has more than 1 MiB
	ReasonUnsupportedMediaType registry.Reason = "UnsupportedMediaType" // the body is neither JSON nor YAML
	ReasonMethodNotAllowed     registry.Reason = "MethodNotAllowed"     // the path does not have the method; Allow lists those that it has
	ReasonTooManyRequests      registry.Reason = "TooManyRequests"      // too many requests in flight, or repeated invalid tokens; Retry-After is set
	ReasonUnavailable          registry.Reason = "Unavailable"          // the server is stopping, or the request took too long; a write may have been stored
	ReasonInternal             registry.Reason = "Internal"             // a bug or a disk failure; the log has the cause
	ReasonNotImplemented       registry.Reason = "NotImplemented"       // only Ververica Platform itself executes it
)

// problem is an error of the HTTP layer.
type problem struct {
	status  int
	reason  registry.Reason
	message string
}

func (p *problem) Error() string { return p.message }

func badRequest(format string, args ...any) error {
	return &problem{http.StatusBadRequest, ReasonBadRequest, fmt.Sprintf(format, args...)}
}

// statusOf maps the reasons of the registry to HTTP statuses.
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

// errorBody is the body of an error, a superset of Ververica Platform's. Clients depend on an
// object with a string message, and read .status.state of every response: it has no status.
type errorBody struct {
	Kind       string          `json:"kind"`
	APIVersion string          `json:"apiVersion"`
	StatusCode int             `json:"statusCode"`
	Error      string          `json:"error"`
	Reason     registry.Reason `json:"reason"`
	Message    string          `json:"message"`
	Context    struct{}        `json:"context"`
	Timestamp  string          `json:"timestamp"`
	Path       string          `json:"path"`
}

// problemOf converts an error for the client. It logs failures, whose details clients do not get.
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
		return &problem{http.StatusServiceUnavailable, ReasonUnavailable, "the store timed out: a write may or may not have happened: GET the object, then try again"}
	}
	if errors.Is(err, registry.ErrClosed) || errors.Is(err, context.Canceled) {
		return &problem{http.StatusServiceUnavailable, ReasonUnavailable, "drey is shutting down: try again"}
	}
	s.log.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	return &problem{http.StatusInternalServerError, ReasonInternal, "internal error: see drey's log"}
}

func (p *problem) body(r *http.Request) errorBody {
	return errorBody{
		Kind:       "Error",
		APIVersion: apiVersion,
		StatusCode: p.status,
		Error:      http.StatusText(p.status),
		Reason:     p.reason,
		Message:    validText(p.message),
		Timestamp:  time.Now().UTC().Format(time.RFC3339),
		Path:       validText(r.URL.Path),
	}
}

// validText replaces invalid UTF-8, which a path may have.
func validText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// methodNotAllowed handles the methods that a path does not have, and OPTIONS.
func (s *server) methodNotAllowed(m methods) func(*http.Request) (response, error) {
	allowed := []string{http.MethodOptions}
	for method := range m {
		allowed = append(allowed, method)
	}
	slices.Sort(allowed)
	allow := strings.Join(allowed, ", ")
	return func(r *http.Request) (response, error) {
		resp := response{status: http.StatusOK, header: http.Header{"Allow": {allow}}, body: struct{}{}}
		if r.Method == http.MethodOptions {
			return resp, nil
		}
		message := fmt.Sprintf("method %s is not allowed: use %s", r.Method, allow)
		if r.Method == http.MethodPatch {
			message += ": PUT the whole object to change labels or annotations; the spec of a target is immutable"
		}
		return resp, &problem{http.StatusMethodNotAllowed, ReasonMethodNotAllowed, message}
	}
}
