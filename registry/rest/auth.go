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

// door lets requests in, or does not.
type door struct {
	access   access.Authenticator // nil: all may enter
	throttle *access.Throttle
	places   *places // for requests
	lookups  *places // for those of which it has yet to be found out whose they are
	bodies   *inflight.Budget
	patience time.Duration
	log      *slog.Logger
}

// subject is what a path is about. The zero value is open to all.
type subject struct {
	kind registry.Kind
	one  string // the variable of the path that names one object
}

var open subject

// anonymous is how logs call somebody whom nobody asked for a name.
const anonymous = "anonymous"

// visitor is who makes a request, once that is known.
type visitor struct {
	name    string
	caller  access.Caller // nil: may do everything
	request string        // its id
	body    []byte        // of a method that has one, once it is there

	left func() // frees the visitor's place; nil: it has none
}

// leave is called when the answer has been sent.
func (v *visitor) leave() {
	if v.left != nil {
		v.left()
	}
}

type visitorKey struct{}

func visitorOf(r *http.Request) *visitor {
	return r.Context().Value(visitorKey{}).(*visitor)
}

// may tells whether who makes a request may do something.
func may(r *http.Request, what access.Request) (bool, error) {
	caller := visitorOf(r).caller
	if caller == nil {
		return true, nil
	}
	return caller.May(r.Context(), what)
}

// claimant is who makes a request, as the registry asks about them.
type claimant struct {
	access.Caller
	door    door
	request *http.Request
}

// requester returns the user of a request; nil without authentication.
func (d door) requester(r *http.Request) registry.Requester {
	if caller := visitorOf(r).caller; caller != nil {
		return claimant{caller, d, r}
	}
	return nil
}

// MayCreatePods implements registry.Requester. A log has a denial too.
func (c claimant) MayCreatePods(ctx context.Context, kubernetesNamespace string) (bool, error) {
	may, err := c.Caller.MayCreatePods(ctx, kubernetesNamespace)
	if err == nil && !may {
		c.door.log.WarnContext(ctx, "claim forbidden", "user", c.Name(), "namespace", kubernetesNamespace,
			"client", c.request.RemoteAddr, "id", visitorOf(c.request).request)
	}
	return may, err
}

// guard calls handle for those who may do to the subject what a method means.
func (d door) guard(about subject, method string, handle func(*http.Request) (answer, error)) func(*http.Request) (answer, error) {
	return func(r *http.Request) (answer, error) {
		var shares []inflight.Share
		switch {
		case d.access == nil:
			if err := checkLocal(r); err != nil {
				return answer{}, err
			}
			shares = []inflight.Share{{Key: "address " + host(r.RemoteAddr), Parts: 2}}
		case about == open:
			return handle(r) // what it says is the same for all, and there already
		default:
			if a, err := d.identify(r); err != nil {
				return a, err
			}
			shares = sharesOf(r)
		}
		who := visitorOf(r)
		leave, a, err := d.places.take(shares...)
		if err != nil {
			return a, err
		}
		who.left = leave
		if err := d.permit(about, method, r); err != nil {
			return answer{}, err
		}
		if method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch {
			body, held, err := d.receive(r, shares)
			leave := who.left
			who.left = func() {
				held.Release()
				leave()
			}
			if err != nil {
				return answer{}, err
			}
			who.body = body
			if a, err := d.again(about, method, r); err != nil {
				return a, err
			}
		}
		ctx, cancel := context.WithTimeout(r.Context(), d.patience)
		defer cancel()
		return handle(r.WithContext(ctx))
	}
}

// sharesOf are the shares of requests and of memory for their bodies that a request counts
// to: of its caller, and of its platform namespace, whose owner makes any number of tokens.
func sharesOf(r *http.Request) []inflight.Share {
	shares := []inflight.Share{{Key: visitorOf(r).name, Parts: 4}}
	if namespace := mux.Vars(r)["namespace"]; namespace != "" {
		shares = append(shares, inflight.Share{Key: "platform namespace " + strconv.Quote(namespace), Parts: 2})
	}
	return shares
}

// permit refuses who may not do to the subject what a method means.
func (d door) permit(about subject, method string, r *http.Request) error {
	if d.access == nil {
		return nil
	}
	for _, what := range about.requests(r, method) {
		allowed, err := may(r, what)
		if err != nil {
			return err
		}
		if !allowed {
			return d.forbid(r, what)
		}
	}
	return nil
}

// again asks anew when the body is there, for which the client may take its
// time: the token may have been deleted meanwhile.
func (d door) again(about subject, method string, r *http.Request) (answer, error) {
	if d.access == nil {
		return answer{}, nil
	}
	if a, err := d.identify(r); err != nil {
		return a, err
	}
	return answer{}, d.permit(about, method, r)
}

// identify finds out who makes a request. A client that shows wrong tokens again
// and again is not looked up any more, for a while.
func (d door) identify(r *http.Request) (answer, error) {
	token := bearer(r)
	who := visitorOf(r)
	caller, known := access.Caller(nil), false
	if token != "" {
		caller, known = d.access.Known(token)
	}
	if !known {
		if wait, blocked := d.throttle.Blocked(r.RemoteAddr, token); blocked && token != "" {
			seconds := strconv.Itoa(int(wait.Seconds()) + 1)
			return answer{header: http.Header{"Retry-After": {seconds}}}, &problem{http.StatusTooManyRequests, ReasonTooManyRequests,
				"too many requests with a wrong token came from this address: try again in " + seconds + " seconds, with a right one"}
		}
		challenge := answer{header: http.Header{"Www-Authenticate": {`Bearer realm="drey"`}}}
		if token == "" {
			return challenge, &problem{http.StatusUnauthorized, ReasonUnauthorized,
				"this drey wants to know who calls: send the header Authorization: Bearer TOKEN. An owner of the platform namespace makes tokens (drey tokens create)"}
		}
		leave, a, err := d.lookups.take(inflight.Share{Key: "unknown callers at " + host(r.RemoteAddr), Parts: 4})
		if err != nil {
			return a, err
		}
		caller, err = d.access.Authenticate(r.Context(), token)
		leave()
		if errors.Is(err, access.ErrUnknown) {
			d.throttle.Failed(r.RemoteAddr, token)
			d.log.WarnContext(r.Context(), "token refused", "method", r.Method, "path", r.URL.Path, "client", r.RemoteAddr, "id", who.request)
			return challenge, &problem{http.StatusUnauthorized, ReasonUnauthorized,
				"the token is not known: it is mistyped, or has expired, or was deleted. An owner of the platform namespace makes another (drey tokens create)"}
		}
		if err != nil {
			return answer{}, err
		}
		d.throttle.Succeeded(token)
	}
	who.caller, who.name = caller, caller.Name()
	return answer{}, nil
}

// host is that of a host:port.
func host(address string) string {
	h, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return h
}

// forbid says what is missing. A log has it too: people ask admins why.
func (d door) forbid(r *http.Request, what access.Request) error {
	who := visitorOf(r)
	d.log.WarnContext(r.Context(), "request forbidden", "user", who.name, "verb", string(what.Verb), "kind", string(what.Kind),
		"namespace", what.Namespace, "name", what.Name, "client", r.RemoteAddr, "id", who.request)
	return &problem{http.StatusForbidden, ReasonForbidden, fmt.Sprintf(
		"%s may not %s: ask an owner of it for a token with a role that may, or an admin of the cluster for the verb %s on %s", who.name, what, what.Verb, what.Kind)}
}

// requests are what a method does to the subject of a path.
func (s subject) requests(r *http.Request, method string) []access.Request {
	vars := mux.Vars(r)
	what := access.Request{Kind: s.kind, Namespace: vars["namespace"]}
	if s.one != "" && s.kind != registry.Namespace {
		what.Name = vars[s.one]
	}
	with := func(verbs ...access.Verb) (all []access.Request) {
		for _, v := range verbs {
			what.Verb = v
			all = append(all, what)
		}
		return all
	}
	switch {
	case method == http.MethodPost:
		return with(access.Create)
	case method == http.MethodPut:
		return with(access.Update, access.Create)
	case method == http.MethodPatch:
		return with(access.Patch)
	case method == http.MethodDelete:
		return with(access.Delete)
	case s.one == "":
		return with(access.List)
	}
	return with(access.Get)
}

// bearer is the token of a request, empty if it has none.
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// checkLocal keeps web pages out of a server that asks nobody who they are: one
// in a browser on this machine could call it, by a name that it makes point to
// this machine, or without reading the answer.
func checkLocal(r *http.Request) error {
	called := host(r.Host)
	if ip, err := netip.ParseAddr(strings.Trim(called, "[]")); called != "localhost" && called != "" && (err != nil || !ip.IsLoopback()) {
		return &problem{http.StatusForbidden, ReasonForbidden, fmt.Sprintf(
			"the request is for the host %q, and without authentication drey answers to 127.0.0.1 and localhost alone: use one of them, or give drey --rest-auth", r.Host)}
	}
	if err := crossOrigin.Check(r); err != nil {
		return &problem{http.StatusForbidden, ReasonForbidden, "the request comes from a web page of another origin: without authentication drey takes none"}
	}
	return nil
}

var crossOrigin = http.NewCrossOriginProtection()

// audit writes the line that every write leaves: who did what to which object,
// and from where. was is the object's version before, 0 if it was not there.
func (s *server) audit(r *http.Request, verb access.Verb, o registry.Object, was int32) {
	now := o.Metadata.ResourceVersion
	if verb == access.Delete {
		now = 0
	}
	who := visitorOf(r)
	s.log.LogAttrs(context.WithoutCancel(r.Context()), slog.LevelInfo, "audit",
		slog.String("user", who.name), slog.String("verb", string(verb)),
		slog.String("kind", string(o.Kind)), slog.String("namespace", o.Metadata.Namespace), slog.String("name", o.Metadata.Name),
		slog.Int("oldResourceVersion", int(was)), slog.Int("resourceVersion", int(now)),
		slog.String("client", r.RemoteAddr), slog.String("id", who.request))
}
