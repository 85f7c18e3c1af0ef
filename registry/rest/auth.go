package rest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"drey.dev/drey/inflight"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/access"
)

// filter authenticates and authorizes requests, and limits those in flight.
type filter struct {
	access   access.Authenticator // nil: every caller may do everything
	throttle *access.Throttle
	inFlight *limiter // requests
	lookups  *limiter // requests that are being authenticated
	bodies   *inflight.Budget
	timeout  time.Duration // of a handler
	log      *slog.Logger
}

// resource is what a path addresses. The zero value needs no authentication.
type resource struct {
	kind registry.Kind
	name string // the path variable with the name of one object; "": the path is a list

	perItem bool // callers need a valid token, and the handler authorizes each item
}

var public resource

// anonymous is the user name in logs of a request without authentication.
const anonymous = "anonymous"

// requestInfo is the auth filter's state of a request.
type requestInfo struct {
	id     string
	user   string
	caller access.Caller // nil: may do everything
	body   []byte        // of POST, PUT and PATCH

	release func() // releases limits and memory; nil: none are held
}

// close is called when the response has been sent.
func (i *requestInfo) close() {
	if i.release != nil {
		i.release()
	}
}

type requestInfoKey struct{}

func infoOf(r *http.Request) *requestInfo {
	return r.Context().Value(requestInfoKey{}).(*requestInfo)
}

// allowed reports whether the caller of a request may do something.
func allowed(r *http.Request, request access.Request) (bool, error) {
	caller := infoOf(r).caller
	if caller == nil {
		return true, nil
	}
	return caller.May(r.Context(), request)
}

// requester is the caller of a request as a registry.Requester.
type requester struct {
	access.Caller
	filter  filter
	request *http.Request
}

// requester returns the user of a request; nil without authentication.
func (f filter) requester(r *http.Request) registry.Requester {
	if caller := infoOf(r).caller; caller != nil {
		return requester{caller, f, r}
	}
	return nil
}

// MayCreatePods implements registry.Requester. It logs denials.
func (c requester) MayCreatePods(ctx context.Context, kubernetesNamespace string) (bool, error) {
	may, err := c.Caller.MayCreatePods(ctx, kubernetesNamespace)
	if err == nil && !may {
		c.filter.log.WarnContext(ctx, "claim forbidden", "user", c.Name(), "namespace", kubernetesNamespace,
			"client", c.request.RemoteAddr, "id", infoOf(c.request).id)
	}
	return may, err
}

// wrap returns a handler that passes permitted requests within the limits to next.
func (f filter) wrap(res resource, method string, next func(*http.Request) (response, error)) func(*http.Request) (response, error) {
	return func(r *http.Request) (response, error) {
		var shares []inflight.Share
		switch {
		case f.access == nil:
			if err := checkLocal(r); err != nil {
				return response{}, err
			}
			shares = []inflight.Share{{Key: "address " + host(r.RemoteAddr), Parts: 2}}
		case res == public:
			return next(r) // static and in memory: needs no limit
		default:
			if resp, err := f.authenticate(r); err != nil {
				return resp, err
			}
			shares = sharesOf(r)
		}
		info := infoOf(r)
		release, resp, err := f.inFlight.acquire(shares...)
		if err != nil {
			return resp, err
		}
		info.release = release
		if err := f.authorize(res, method, r); err != nil {
			return response{}, err
		}
		if res != public {
			if err := checkQuery(method, r); err != nil {
				return response{}, err
			}
		}
		if method != http.MethodGet && (method != http.MethodDelete || r.ContentLength != 0) {
			body, reservation, err := f.receive(r, shares)
			info.release = func() {
				reservation.Release()
				release()
			}
			if err != nil {
				return response{}, err
			}
			info.body = body
			if resp, err := f.reauthorize(res, method, r); err != nil {
				return resp, err
			}
		}
		ctx, cancel := context.WithTimeout(r.Context(), f.timeout)
		defer cancel()
		return next(r.WithContext(ctx))
	}
}

// sharesOf returns the shares of requests in flight and of memory for bodies that a request
// counts against: that of its caller, and that of its platform namespace, whose owner can create
// any number of tokens.
func sharesOf(r *http.Request) []inflight.Share {
	shares := []inflight.Share{{Key: infoOf(r).user, Parts: 4}}
	if namespace := mux.Vars(r)["namespace"]; namespace != "" {
		shares = append(shares, inflight.Share{Key: "platform namespace " + strconv.Quote(namespace), Parts: 2})
	}
	return shares
}

// authorize refuses a request that its caller may not make.
func (f filter) authorize(res resource, method string, r *http.Request) error {
	if f.access == nil {
		return nil
	}
	for _, request := range res.accessRequests(r, method) {
		ok, err := allowed(r, request)
		if err != nil {
			return err
		}
		if !ok {
			return f.forbid(r, request)
		}
	}
	return nil
}

// reauthorize authenticates and authorizes again once the body has been received: a slow client
// could otherwise use a token that was deleted meanwhile.
func (f filter) reauthorize(res resource, method string, r *http.Request) (response, error) {
	if f.access == nil {
		return response{}, nil
	}
	if resp, err := f.authenticate(r); err != nil {
		return resp, err
	}
	return response{}, f.authorize(res, method, r)
}

// authenticate sets the caller of a request. Clients with too many wrong tokens are throttled.
func (f filter) authenticate(r *http.Request) (response, error) {
	token := bearerToken(r)
	info := infoOf(r)
	caller, known := access.Caller(nil), false
	if token != "" {
		caller, known = f.access.Known(token)
	}
	if !known {
		if wait, blocked := f.throttle.Blocked(r.RemoteAddr, token); blocked && token != "" {
			seconds := strconv.Itoa(int(wait.Seconds()) + 1)
			return response{header: http.Header{"Retry-After": {seconds}}}, &problem{http.StatusTooManyRequests, ReasonTooManyRequests,
				"too many requests with a wrong token from this address: try again in " + seconds + " seconds with a valid token"}
		}
		challenge := response{header: http.Header{"Www-Authenticate": {`Bearer realm="drey"`}}}
		if token == "" {
			return challenge, &problem{http.StatusUnauthorized, ReasonUnauthorized,
				"authentication required: send the header Authorization: Bearer TOKEN; an owner of the platform namespace creates tokens (drey tokens create)"}
		}
		release, resp, err := f.lookups.acquire(inflight.Share{Key: "unauthenticated callers at " + host(r.RemoteAddr), Parts: 4})
		if err != nil {
			return resp, err
		}
		caller, err = f.access.Authenticate(r.Context(), token)
		release()
		if errors.Is(err, access.ErrUnknown) {
			f.throttle.Failed(r.RemoteAddr, token)
			f.log.WarnContext(r.Context(), "token refused", "method", r.Method, "path", r.URL.Path, "client", r.RemoteAddr, "id", info.id)
			return challenge, &problem{http.StatusUnauthorized, ReasonUnauthorized,
				"the token is not valid: it is mistyped, expired or deleted: get a new one from an owner of the platform namespace (drey tokens create)"}
		}
		if err != nil {
			return response{}, err
		}
		f.throttle.Succeeded(token)
	}
	info.caller, info.user = caller, caller.Name()
	return response{}, nil
}

// host returns the host of a host:port.
func host(address string) string {
	h, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return h
}

// forbid logs and returns the refusal of a request that its caller may not make.
func (f filter) forbid(r *http.Request, request access.Request) error {
	info := infoOf(r)
	f.log.WarnContext(r.Context(), "request forbidden", "user", info.user, "verb", string(request.Verb), "kind", string(request.Kind),
		"namespace", request.Namespace, "name", request.Name, "client", r.RemoteAddr, "id", info.id)
	return &problem{http.StatusForbidden, ReasonForbidden, fmt.Sprintf(
		"%s may not %s: get a token with a sufficient role from an owner, or the verb %s on %s from an admin of the cluster", info.user, request, request.Verb, request.Kind)}
}

// accessRequests returns what a method does to the resource of a path.
func (res resource) accessRequests(r *http.Request, method string) []access.Request {
	if res.perItem {
		return nil
	}
	vars := mux.Vars(r)
	request := access.Request{Kind: res.kind, Namespace: vars["namespace"]}
	if res.name != "" && res.kind != registry.Namespace {
		request.Name = vars[res.name]
	}
	with := func(verbs ...access.Verb) (all []access.Request) {
		for _, v := range verbs {
			request.Verb = v
			all = append(all, request)
		}
		return all
	}
	switch {
	case method == http.MethodPost:
		return with(access.Create)
	case method == http.MethodPut && res.kind == registry.Namespace: // creates none
		return with(access.Update)
	case method == http.MethodPut:
		return with(access.Update, access.Create)
	case method == http.MethodPatch:
		return with(access.Patch)
	case method == http.MethodDelete:
		return with(access.Delete)
	case res.name == "":
		return with(access.List)
	}
	return with(access.Get)
}

// bearerToken returns the token of a request; "" if it has none.
func bearerToken(r *http.Request) string {
	scheme, token, _ := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// checkLocal protects a server without authentication against web pages in a browser on this
// machine: against DNS rebinding by the host, and cross-site requests by the origin.
func checkLocal(r *http.Request) error {
	called := host(r.Host)
	if ip, err := netip.ParseAddr(strings.Trim(called, "[]")); called != "localhost" && called != "" && (err != nil || !ip.IsLoopback()) {
		return &problem{http.StatusForbidden, ReasonForbidden, fmt.Sprintf(
			"the host of the request is %q, but without authentication only 127.0.0.1 and localhost are allowed: use one of these, or run drey with --rest-auth", r.Host)}
	}
	if err := crossOrigin.Check(r); err != nil {
		return &problem{http.StatusForbidden, ReasonForbidden, "cross-origin requests are not allowed without authentication: run drey with --rest-auth"}
	}
	return nil
}

var crossOrigin = http.NewCrossOriginProtection()

// audit logs a write: the user, the verb, the object and the client. before is the object's
// version before the write, 0 for a new object.
func (s *server) audit(r *http.Request, verb access.Verb, o registry.Object, before int32) {
	after := o.Metadata.ResourceVersion
	if verb == access.Delete {
		after = 0
	}
	info := infoOf(r)
	s.log.LogAttrs(context.WithoutCancel(r.Context()), slog.LevelInfo, "audit",
		slog.String("user", info.user), slog.String("verb", string(verb)),
		slog.String("kind", string(o.Kind)), slog.String("namespace", o.Metadata.Namespace), slog.String("name", o.Metadata.Name),
		slog.Int("oldResourceVersion", int(before)), slog.Int("resourceVersion", int(after)),
		slog.String("client", r.RemoteAddr), slog.String("id", info.id))
}
