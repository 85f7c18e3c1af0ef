package certs

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"
)

// A webhook's URL path is its base path and a token, such as /label/pods/TOKEN. Only the
// API server, and users who can read webhook configurations, have the token, so it proves
// that the API server sends a review: see docs/explanation/decisions/018.

// pathTokenLifetime bounds the use of a token that a failed call has disclosed: the API
// server reports the URL of such a call to its user.
const pathTokenLifetime = time.Hour

// newPathToken returns 130 random bits as a segment of a path. The API server accepts only
// lower-case letters, digits and hyphens.
func newPathToken() string { return strings.ToLower(rand.Text()) }

var pathTokenFormat = regexp.MustCompile(`^[a-z2-7]{26}$`)

// HasPathToken reports whether a path is a base path and a token.
func HasPathToken(path, base string) bool {
	token, ok := strings.CutPrefix(path, base+"/")
	return ok && pathTokenFormat.MatchString(token)
}

// pathRenewer gives the webhooks paths with new tokens, in the leader.
type pathRenewer struct {
	base    map[string]string // base path of each webhook, by name
	renewed time.Time         // zero: this leader has not renewed them
}

// due reports whether all tokens are to be renewed. A new leader renews them, since the
// calls that failed before it may have disclosed them.
func (p *pathRenewer) due(now time.Time) bool { return !now.Before(p.next()) }

func (p *pathRenewer) next() time.Time { return p.renewed.Add(pathTokenLifetime) }

// ops returns the operations that set the paths of a configuration: all, or those without
// a token. Webhooks with unknown names are not changed.
func (p *pathRenewer) ops(c configuration, all bool) []patchOp {
	var out []patchOp
	for i, w := range c.webhooks {
		base, known := p.base[w.name]
		if !known || !all && HasPathToken(w.path, base) {
			continue
		}
		path := base + "/" + newPathToken()
		if w.url == nil {
			out = append(out, patchOp{"add", fmt.Sprintf("/webhooks/%d/clientConfig/service/path", i), path})
			continue
		}
		to := *w.url
		to.Path, to.RawPath = path, ""
		out = append(out, patchOp{"add", fmt.Sprintf("/webhooks/%d/clientConfig/url", i), to.String()})
	}
	return out
}

// statedPaths are the paths that the webhook configurations state, and those that they have
// stated within the propagation delay. Keys are hashes, so that the time of a lookup does
// not depend on the token.
type statedPaths struct {
	mu    sync.RWMutex
	until map[[sha256.Size]byte]time.Time // zero: stated now
}

// observe replaces the stated paths. Previous ones stay for keep.
func (s *statedPaths) observe(all []configuration, keep time.Duration, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until == nil {
		s.until = map[[sha256.Size]byte]time.Time{}
	}
	for key, until := range s.until {
		switch {
		case until.IsZero():
			s.until[key] = now.Add(keep)
		case !now.Before(until):
			delete(s.until, key)
		}
	}
	for _, c := range all {
		for _, w := range c.webhooks {
			s.until[sha256.Sum256([]byte(w.path))] = time.Time{}
		}
	}
}

func (s *statedPaths) has(path string, now time.Time) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	until, ok := s.until[sha256.Sum256([]byte(path))]
	return ok && (until.IsZero() || now.Before(until))
}

// Limits of the reads for unknown paths, which any client of the port can cause.
const (
	pathReadInterval = time.Second
	pathReadTimeout  = 2 * time.Second // less than the timeout of a webhook
	pathReadWaiters  = 64
)

// StatesPath reports whether a webhook configuration states a path. The API server may use
// a path before this replica's watch has delivered it, so an unknown one is looked up by a
// consistent read: at most one a second, which all waiting requests share.
func (r *replica) StatesPath(ctx context.Context, path string) bool {
	if r.paths.has(path, time.Now()) {
		return true
	}
	select {
	case r.pathWaiters <- struct{}{}:
		defer func() { <-r.pathWaiters }()
	default:
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, pathReadTimeout)
	defer cancel()
	arrived := time.Now()
	select {
	case r.pathReader <- struct{}{}:
		defer func() { <-r.pathReader }()
	case <-ctx.Done():
		return false
	}
	if r.pathsRead.Before(arrived) && !r.readPaths(ctx) {
		return false
	}
	return r.paths.has(path, time.Now())
}

// readPaths reads the configurations from the API server, pathReadInterval after the last
// read. The caller holds pathReader.
func (r *replica) readPaths(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Until(r.pathsRead.Add(pathReadInterval))):
	}
	began := time.Now()
	all, err := r.api.configurations(ctx)
	if err != nil {
		r.log.Warn("read the paths of the webhook configurations: review with an unknown path rejected", "error", err)
		return false
	}
	r.pathsRead = began
	r.paths.observe(all, r.propagationDelay, began)
	return true
}

// PathToken returns the token of the paths that this process installs.
func (m *Memory) PathToken() string { return m.pathToken }

// StatesPath reports whether a path ends with the token.
func (m *Memory) StatesPath(_ context.Context, path string) bool {
	token := path[strings.LastIndex(path, "/")+1:]
	return subtle.ConstantTimeCompare([]byte(token), []byte(m.pathToken)) == 1
}
