// Package console serves the web console, at / of the REST address: targets, workloads and
// denials. Package page renders the pages.
//
// The console uses the REST API's authentication and authorization, and writes through the REST
// API in the same process. It works without scripts; with them it updates by server-sent events.
package console

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"drey.dev/drey/console/page"
	"drey.dev/drey/denials"
	"drey.dev/drey/inventory"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/access"
	"drey.dev/drey/webhook/verdict"
)

// Options configure a console. API, Registry, Store and Log are required.
type Options struct {
	API      http.Handler       // the REST API, which executes the writes
	Registry *registry.Registry // for lists of platform namespaces
	Store    registry.Store     // followed for the lists of objects
	Log      *slog.Logger
	Version  string

	// OwnNamespace is the Kubernetes namespace of targets that name none.
	OwnNamespace string

	// Access authenticates users. Nil: no authentication, for a server that listens on loopback
	// only.
	Access access.Authenticator
	// Throttle limits wrong tokens; nil: a new one. The REST API has it too.
	Throttle *access.Throttle
	// CookieKey encrypts the tokens in cookies, with 32 bytes. Replicas share it; nil: a random
	// one, so sessions end with the process.
	CookieKey []byte
	// LoginHelp says where users get a token, as sentences.
	LoginHelp []string

	Inventory *inventory.Inventory // nil: there is no cluster
	Denials   *denials.History     // nil: there is no cluster

	// Readiness returns whether Flink may run in the Kubernetes namespace of a target; false: that
	// is unknown. Nil: there is no cluster.
	Readiness func(platformNamespace, target, kubernetesNamespace string) (registry.Readiness, bool)

	// Health returns the state of the installation. It may make requests to the cluster.
	Health func(context.Context) page.Health
	// Explain decides on the objects of a manifest. namespace is that of objects without one.
	// Only targets in visible platform namespaces are considered; partial reports that there are
	// others.
	Explain func(ctx context.Context, manifest []byte, namespace string, visible func(platformNamespace string) (bool, error)) (all []verdict.Explanation, partial bool, err error)

	// Closing is closed when the server shuts down, which ends the streams of updates; nil: never.
	Closing <-chan struct{}
	// Now returns the time; nil: time.Now.
	Now func() time.Time
}

// Console is the handler of the console.
type Console struct {
	Options

	pages    *page.Pages
	catalog  *catalog
	sealer   sealer
	origin   *http.CrossOriginProtection
	requests chan struct{} // a slot for each request in flight
	explains chan struct{} // a slot for each manifest in memory
	streams  chan struct{} // a slot for each stream of updates
	routes   *http.ServeMux
}

const (
	maxRequests = 64
	maxExplains = 2
	maxStreams  = 256
	timeout     = 15 * time.Second // of a page
)

// New returns a console that follows the store from the first page of a user until ctx ends.
func New(ctx context.Context, o Options) (*Console, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Throttle == nil {
		o.Throttle = access.NewThrottle()
	}
	if o.CookieKey == nil {
		o.CookieKey = make([]byte, keySize)
		_, _ = rand.Read(o.CookieKey) // never fails
	}
	c := &Console{
		Options: o, origin: http.NewCrossOriginProtection(),
		requests: make(chan struct{}, maxRequests), explains: make(chan struct{}, maxExplains), streams: make(chan struct{}, maxStreams),
	}
	var err error
	if c.pages, err = page.New(); err != nil {
		return nil, err
	}
	if c.sealer, err = newSealer(o.CookieKey); err != nil {
		return nil, err
	}
	c.catalog = newCatalog(o.OwnNamespace, func(kind registry.Kind, observe func(registry.Event)) error { return o.Store.Watch(ctx, kind, observe) })
	c.routes = c.router()
	return c, nil
}

// Mount returns a handler that serves the console beside the REST API: all paths below
// [page.Root], and / for browsers.
func (c *Console) Mount(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, page.Root), r.URL.Path == "/" && acceptsHTML(r.Header.Get("Accept")):
			c.ServeHTTP(w, r)
		default:
			api.ServeHTTP(w, r)
		}
	})
}

// acceptsHTML reports whether an Accept header names HTML, as those of browsers do.
func acceptsHTML(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		mediaType, parameters, err := mime.ParseMediaType(part)
		if err != nil || mediaType != "text/html" {
			continue
		}
		q, err := strconv.ParseFloat(parameters["q"], 64)
		return err != nil || q > 0
	}
	return false
}

// response is the result of a handler: a page, or a redirect if location is set.
type response struct {
	status   int
	page     string
	model    any
	location string
	cookies  []*http.Cookie
}

func show(name string, model any) (response, error) {
	return response{status: http.StatusOK, page: name, model: model}, nil
}

func redirect(location string) response {
	return response{status: http.StatusSeeOther, location: location}
}

// problem is an error for the user.
type problem struct {
	status  int
	reason  string
	message string // what failed: why; how to fix
	retry   time.Duration
}

func (p *problem) Error() string { return p.message }

type handler func(*http.Request, *user) (response, error)

// router returns the routes. Every page but the login requires a user.
func (c *Console) router() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+page.Root+"static/{file}", c.static)
	mux.HandleFunc("GET "+page.Root+"events", c.events)
	for pattern, h := range map[string]handler{
		"GET /{$}": c.overview,
		"GET " + page.Root + "targets/{namespace}/{name}":          c.target,
		"GET " + page.Root + "targets/{namespace}/{name}/delete":   c.previewDelete,
		"POST " + page.Root + "targets/{namespace}/{name}/delete":  c.deleteTarget,
		"GET " + page.Root + "targets":                             c.targets,
		"GET " + page.Root + "targets/new":                         c.newTarget,
		"POST " + page.Root + "targets/new":                        c.createTarget,
		"GET " + page.Root + "workloads":                           c.workloads,
		"GET " + page.Root + "workloads/{namespace}/{kind}/{name}": c.workload,
		"GET " + page.Root + "denials":                             c.denials,
		"GET " + page.Root + "deployments":                         c.objects(registry.Deployment),
		"GET " + page.Root + "sessionclusters":                     c.objects(registry.SessionCluster),
		"GET " + page.Root + "deployments/{namespace}/{name}":      c.object(registry.Deployment),
		"GET " + page.Root + "sessionclusters/{namespace}/{name}":  c.object(registry.SessionCluster),
		"GET " + page.Root + "explain":                             c.explainForm,
		"POST " + page.Root + "explain":                            c.explain,
		"POST " + page.Root + "logout":                             c.logOut,
		"GET " + page.Root + "{$}":                                 func(*http.Request, *user) (response, error) { return redirect("/"), nil },
		page.Root: func(*http.Request, *user) (response, error) {
			return response{}, &problem{status: http.StatusNotFound, reason: "NotFound", message: "the page does not exist: follow a link of the navigation"}
		},
	} {
		mux.Handle(pattern, c.endpoint(c.withUser(h)))
	}
	mux.Handle("GET "+page.Root+"login", c.endpoint(c.loginForm))
	mux.Handle("POST "+page.Root+"login", c.endpoint(c.logIn))
	return mux
}

// ServeHTTP implements http.Handler.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept, Cookie")
	c.routes.ServeHTTP(w, r)
}

// static serves the stylesheet, the script and the icon. Their paths change with their content.
func (c *Console) static(w http.ResponseWriter, r *http.Request) {
	asset, ok := c.pages.Asset(r.URL.Path)
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", asset.Type)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(asset.Text)
}

// endpoint calls a handler and writes its page, or that of its error.
func (c *Console) endpoint(handle func(*http.Request) (response, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := c.Now()
		resp, err := c.guarded(handle, r)
		if err != nil {
			resp = c.failure(w, r, err)
		}
		c.write(w, r, resp)
		c.Log.DebugContext(r.Context(), "console", "method", r.Method, "path", r.URL.Path, "status", resp.status, "duration", c.Now().Sub(start))
	})
}

// guarded calls a handler if the request is one of the console's own pages, within the limits.
func (c *Console) guarded(handle func(*http.Request) (response, error), r *http.Request) (resp response, err error) {
	if err := c.checkOrigin(r); err != nil {
		return response{}, err
	}
	select {
	case c.requests <- struct{}{}:
		defer func() { <-c.requests }()
	default:
		return response{}, busy("%d pages are being rendered, which is the limit", maxRequests)
	}
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	return handle(r.WithContext(ctx))
}

func busy(format string, args ...any) error {
	return &problem{status: http.StatusServiceUnavailable, reason: "TooManyRequests", message: fmt.Sprintf(format, args...) + ": try again in a second", retry: time.Second}
}

// checkOrigin refuses requests from other sites, and without authentication also those to
// another host than this machine, which DNS rebinding could cause.
func (c *Console) checkOrigin(r *http.Request) error {
	if err := c.origin.Check(r); err != nil {
		return &problem{status: http.StatusForbidden, reason: "CrossOrigin", message: "the request comes from another site, so nothing was changed: open the console and repeat the action there"}
	}
	if c.Access == nil && !isLoopback(r.Host) {
		return &problem{status: http.StatusForbidden, reason: "Forbidden", message: fmt.Sprintf(
			"the host of the request is %q, but without authentication only 127.0.0.1 and localhost are allowed: use one of these, or run drey with --rest-auth", r.Host)}
	}
	return nil
}

// isLoopback reports whether the Host of a request is this machine.
func isLoopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// failure returns the page of an error. It logs failures, whose details users do not get.
func (c *Console) failure(w http.ResponseWriter, r *http.Request, err error) response {
	p, ok := errors.AsType[*problem](err)
	if refusal, isRefusal := errors.AsType[*registry.Error](err); !ok && isRefusal {
		p, ok = &problem{status: http.StatusConflict, reason: string(refusal.Reason), message: refusal.Message}, true
		switch refusal.Reason {
		case registry.ReasonNotFound:
			p.status = http.StatusNotFound
		case registry.ReasonForbidden:
			p.status = http.StatusForbidden
		case registry.ReasonClusterUnavailable:
			p.status, p.retry = http.StatusServiceUnavailable, 5*time.Second
		}
	}
	if !ok && errors.Is(err, context.DeadlineExceeded) {
		p, ok = &problem{status: http.StatusServiceUnavailable, reason: "Unavailable", message: "the page took too long: the API server or the store is slow; try again", retry: 5 * time.Second}, true
	}
	if !ok {
		c.Log.ErrorContext(r.Context(), "console page failed", "method", r.Method, "path", r.URL.Path, "error", err)
		p = &problem{status: http.StatusInternalServerError, reason: "Internal", message: "internal error: see drey's log"}
	}
	if p.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(p.retry.Seconds())))
	}
	title := map[int]string{
		http.StatusNotFound: "Not found", http.StatusForbidden: "Not permitted", http.StatusServiceUnavailable: "Try again", http.StatusTooManyRequests: "Try again",
	}[p.status]
	if title == "" {
		title = "Failed"
	}
	return response{status: p.status, page: "error", model: page.Error{Frame: c.frame(r, title, ""), Status: p.status, Reason: p.reason, Message: p.message}}
}

// frame returns the frame of a page for the user of a request.
func (c *Console) frame(r *http.Request, title, section string) page.Frame {
	f := page.Frame{Title: title, Section: section, Version: c.Version, Now: c.Now()}
	if u, ok := r.Context().Value(userKey{}).(*user); ok {
		f.User, f.LogOut = u.name(), u.fromCookie
	}
	return f
}

// write renders a page completely before it is sent, so that a failure has its status.
func (c *Console) write(w http.ResponseWriter, r *http.Request, resp response) {
	for _, cookie := range resp.cookies {
		http.SetCookie(w, cookie)
	}
	if resp.location != "" {
		http.Redirect(w, r, resp.location, resp.status)
		return
	}
	var b bytes.Buffer
	if err := c.pages.Render(&b, resp.page, resp.model); err != nil {
		c.Log.ErrorContext(r.Context(), "console page failed", "path", r.URL.Path, "error", err)
		http.Error(w, "the page could not be rendered: see drey's log", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(resp.status)
	_, _ = w.Write(b.Bytes())
}
