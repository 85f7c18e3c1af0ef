package console

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"drey.dev/drey/console/page"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/access"
)

// user is the user of a request.
type user struct {
	caller     access.Caller // nil without authentication: may do everything
	token      string
	fromCookie bool
}

type userKey struct{}

func (u *user) name() string {
	if u.caller == nil {
		return ""
	}
	return u.caller.Name()
}

// may reports whether the user may do something.
func (u *user) may(ctx context.Context, request access.Request) (bool, error) {
	if u.caller == nil {
		return true, nil
	}
	return u.caller.May(ctx, request)
}

// visible returns a function that reports whether the user may list a kind in a platform
// namespace; "" means objects of none, which require the permission in all.
func (u *user) visible(ctx context.Context, kind registry.Kind) (func(platformNamespace string) (bool, error), error) {
	all, err := u.may(ctx, access.Request{Verb: access.List, Kind: kind, Namespace: registry.Everywhere})
	if err != nil {
		return nil, err
	}
	known := map[string]bool{"": all}
	return func(platformNamespace string) (bool, error) {
		if may, ok := known[platformNamespace]; ok || all {
			return may || all, nil
		}
		may, err := u.may(ctx, access.Request{Verb: access.List, Kind: kind, Namespace: platformNamespace})
		if err == nil {
			known[platformNamespace] = may
		}
		return may, err
	}, nil
}

// withUser authenticates the user of a request: by the header Authorization, which an
// authenticating proxy sends, else by the cookie.
func (c *Console) withUser(h handler) func(*http.Request) (response, error) {
	return func(r *http.Request) (response, error) {
		u, err := c.authenticate(r)
		if errors.Is(err, errNoSession) {
			return redirect(page.Root + "login?next=" + url.QueryEscape(r.URL.RequestURI())), nil
		}
		if err != nil {
			return response{}, err
		}
		if err := c.catalog.fill(); err != nil {
			return response{}, err
		}
		return h(r.WithContext(context.WithValue(r.Context(), userKey{}, u)), u)
	}
}

// errNoSession means that the user has to log in.
var errNoSession = errors.New("no session")

func (c *Console) authenticate(r *http.Request) (*user, error) {
	if c.Access == nil {
		return &user{}, nil
	}
	u := &user{}
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		u.token = strings.TrimSpace(token)
	} else if token, ok := c.tokenOf(r); ok {
		u.token, u.fromCookie = token, true
	} else {
		return nil, errNoSession
	}
	var err error
	if u.caller, err = c.callerOf(r, u.token); err != nil && u.fromCookie && isUnauthorized(err) {
		return nil, errNoSession // the token was deleted, or has expired
	}
	return u, err
}

func isUnauthorized(err error) bool {
	p, ok := errors.AsType[*problem](err)
	return ok && p.status == http.StatusUnauthorized
}

// callerOf returns the caller with a token. Clients with too many wrong tokens are throttled,
// together with their requests to the REST API.
func (c *Console) callerOf(r *http.Request, token string) (access.Caller, error) {
	if caller, ok := c.Access.Known(token); ok {
		return caller, nil
	}
	if wait, blocked := c.Throttle.Blocked(r.RemoteAddr, token); blocked {
		return nil, &problem{status: http.StatusTooManyRequests, reason: "TooManyRequests", retry: wait + time.Second, message: fmt.Sprintf(
			"too many requests with a wrong token from this address: try again in %s with a valid token", wait.Truncate(time.Second)+time.Second)}
	}
	caller, err := c.Access.Authenticate(r.Context(), token)
	if errors.Is(err, access.ErrUnknown) {
		c.Throttle.Failed(r.RemoteAddr, token)
		c.Log.WarnContext(r.Context(), "token refused", "path", r.URL.Path, "client", r.RemoteAddr)
		return nil, &problem{status: http.StatusUnauthorized, reason: "Unauthorized",
			message: "the token is not valid: it is mistyped, expired or deleted: get a new one from an owner of the platform namespace (drey tokens create)"}
	}
	if err == nil {
		c.Throttle.Succeeded(token)
	}
	return caller, err
}

func (c *Console) loginForm(r *http.Request) (response, error) {
	next := localPath(r.URL.Query().Get("next"))
	if c.Access == nil {
		return redirect(next), nil
	}
	return show("login", page.Login{Frame: c.frame(r, "Log in", "login"), Next: next, Help: c.LoginHelp})
}

// logIn exchanges a token for a cookie.
func (c *Console) logIn(r *http.Request) (response, error) {
	if err := readForm(r, 64<<10); err != nil {
		return response{}, err
	}
	token, next := strings.TrimSpace(r.PostFormValue("token")), localPath(r.PostFormValue("next"))
	if c.Access == nil {
		return redirect(next), nil
	}
	_, err := c.callerOf(r, token)
	var cookie *http.Cookie
	if err == nil {
		cookie, err = c.cookie(token)
	}
	if p, ok := errors.AsType[*problem](err); ok {
		model := page.Login{Frame: c.frame(r, "Log in", "login"), Next: next, Help: c.LoginHelp}
		model.Notice = &page.Notice{Failed: true, Title: "Not logged in", Text: p.message}
		return response{status: p.status, page: "login", model: model}, nil
	}
	if err != nil {
		return response{}, err
	}
	resp := redirect(next)
	resp.cookies = []*http.Cookie{cookie}
	return resp, nil
}

func (c *Console) logOut(*http.Request, *user) (response, error) {
	resp := redirect(page.Root + "login")
	resp.cookies = []*http.Cookie{{Name: cookieName, Path: "/", MaxAge: -1, HttpOnly: true, Secure: true, SameSite: http.SameSiteStrictMode}}
	return resp, nil
}

// localPath returns a path of the console to continue at, / for anything else.
func localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || strings.Contains(next, `\`) || !strings.HasPrefix(u.Path, page.Root) || path.Clean(u.Path) != strings.TrimSuffix(u.Path, "/") {
		return "/"
	}
	return u.RequestURI()
}

const (
	// cookieName has the prefix by which browsers accept a cookie only from the host itself, for
	// all paths and with Secure.
	cookieName = "__Host-drey-console"
	// sessionLifetime ends a session. Every request authenticates the token, too.
	sessionLifetime = 12 * time.Hour
	// maxCookie is the size to which browsers limit a cookie, with its name and attributes.
	maxCookie = 3900
	keySize   = 32
)

// session is the content of a cookie.
type session struct {
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
}

// cookie returns the cookie of a session with a token.
func (c *Console) cookie(token string) (*http.Cookie, error) {
	text, err := json.Marshal(session{token, c.Now().Add(sessionLifetime).UTC()})
	if err != nil {
		return nil, err
	}
	value := base64.RawURLEncoding.EncodeToString(c.sealer.seal(text))
	if len(value) > maxCookie {
		return nil, &problem{status: http.StatusBadRequest, reason: "TokenTooLarge", message: fmt.Sprintf(
			"the token has %d bytes, which do not fit into a cookie: use an API token of drey (drey tokens create), or a proxy that sends the header Authorization", len(token))}
	}
	return &http.Cookie{Name: cookieName, Value: value, Path: "/", MaxAge: int(sessionLifetime.Seconds()), HttpOnly: true, Secure: true, SameSite: http.SameSiteStrictMode}, nil
}

// tokenOf returns the token in the cookie of a request.
func (c *Console) tokenOf(r *http.Request) (string, bool) {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return "", false
	}
	sealed, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil {
		return "", false
	}
	text, ok := c.sealer.open(sealed)
	var s session
	if !ok || json.Unmarshal(text, &s) != nil || !c.Now().Before(s.Expires) {
		return "", false
	}
	return s.Token, true
}

// sealer encrypts and authenticates cookies by AES-256-GCM with random nonces.
type sealer struct{ cipher.AEAD }

func newSealer(key []byte) (sealer, error) {
	if len(key) != keySize {
		return sealer{}, fmt.Errorf("console: the cookie key has %d bytes: want %d", len(key), keySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return sealer{aead}, err
}

func (s sealer) seal(text []byte) []byte {
	return s.Seal(nil, nil, text, []byte(cookieName)) //nolint:gosec // the nonce is random: see newSealer
}

func (s sealer) open(sealed []byte) ([]byte, bool) {
	text, err := s.Open(nil, nil, sealed, []byte(cookieName))
	return text, err == nil
}
