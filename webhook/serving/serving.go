// Package serving serves the webhooks over TLS.
package serving

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Server serves handlers by path.
type Server struct {
	address string
	tls     *tls.Config
	http    *http.Server
	started atomic.Bool
}

// TLS configures the TLS of a server.
type TLS struct {
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error) // called per handshake
	MinVersion  uint16                                               // 0: TLS 1.3
	ClientCAs   *x509.CertPool                                       // CAs of client certificates; nil: none is required
	ClientName  string                                               // common name of the client certificate; empty: any
	HTTP2       bool                                                 // offer HTTP/2 in addition to HTTP/1.1
}

// The timeouts of a connection. See docs/explanation/decisions/026-http1.md.
const (
	// readTimeout bounds reading a review. It is longer than the API server waits.
	readTimeout = 10 * time.Second

	// idleTimeout is longer than that of the API server, 90 s, so that the API server closes an
	// idle connection: a review that arrives while drey closes one fails.
	idleTimeout = 3 * time.Minute

	shutdownTimeout = time.Minute
	dialTimeout     = 10 * time.Second // of Ready
)

// maxHeaderBytes bounds the header of a request, which the budget for bodies does not cover. The
// API server sends less than 1 KiB.
const maxHeaderBytes = 64 << 10

// New returns a server that is not running. Each handler serves its path, and that followed
// by another segment, the token. address is a host and a port that is not 0;
// an empty host means every interface. log gets failed TLS handshakes and panics of handlers.
func New(address string, secure TLS, log *slog.Logger, handlers map[string]http.Handler) (*Server, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return nil, fmt.Errorf("invalid port %q: use a number from 1 to 65535", port)
	}
	config := &tls.Config{
		MinVersion: cmp.Or(secure.MinVersion, tls.VersionTLS13), GetCertificate: secure.Certificate, ClientCAs: secure.ClientCAs, NextProtos: []string{"http/1.1"},
	}
	if secure.ClientCAs != nil {
		config.ClientAuth = tls.VerifyClientCertIfGiven // a missing certificate is an HTTP error: see requireClientCertificate
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	if secure.HTTP2 {
		config.NextProtos = []string{"h2", "http/1.1"}
		protocols.SetHTTP2(true)
	}
	return &Server{address: address, tls: config, http: &http.Server{
		Handler: secure.requireClientCertificate(paths(handlers)), Protocols: &protocols, ReadTimeout: readTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}}, nil
}

// paths routes requests by path, with or without a token as another segment. It takes the place
// of http.ServeMux, which allocates for each match.
type paths map[string]http.Handler

func (p paths) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	handler, ok := p[r.URL.Path]
	if end := strings.LastIndexByte(r.URL.Path, '/'); !ok && end >= 0 && end < len(r.URL.Path)-1 {
		handler, ok = p[r.URL.Path[:end]]
	}
	if !ok {
		http.NotFound(w, r)
		return
	}
	handler.ServeHTTP(w, r)
}

// requireClientCertificate rejects requests without a valid client certificate, before it
// reads them.
func (t TLS) requireClientCertificate(handler http.Handler) http.Handler {
	if t.ClientCAs == nil {
		return handler
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.TLS == nil || len(r.TLS.VerifiedChains) == 0:
			http.Error(w, "client certificate required: configure the API server with --admission-control-config-file", http.StatusUnauthorized)
		case t.ClientName != "" && r.TLS.VerifiedChains[0][0].Subject.CommonName != t.ClientName:
			http.Error(w, fmt.Sprintf("client certificate of %q not allowed: use the one of the API server", r.TLS.VerifiedChains[0][0].Subject.CommonName), http.StatusForbidden)
		default:
			handler.ServeHTTP(w, r)
		}
	})
}

// Run serves until ctx ends, then waits for in-flight requests.
func (s *Server) Run(ctx context.Context) error {
	listener, err := net.Listen("tcp", s.address)
	if err != nil {
		return err
	}
	return s.serve(ctx, listener)
}

func (s *Server) serve(ctx context.Context, listener net.Listener) error {
	drained := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		drained <- s.http.Shutdown(bounded)
	})
	s.started.Store(true)
	if err := s.http.Serve(tls.NewListener(listener, s.tls)); !errors.Is(err, http.ErrServerClosed) {
		stop()
		return err
	}
	if err := <-drained; err != nil {
		return fmt.Errorf("requests in flight not answered within %s: %w", shutdownTimeout, err)
	}
	return nil
}

// Ready returns nil if the server completes a TLS handshake.
func (s *Server) Ready() error {
	if !s.started.Load() {
		return errors.New("webhook server not started")
	}
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: dialTimeout}, "tcp", s.address, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // no data is sent
	if err != nil {
		return fmt.Errorf("webhook server not reachable: %w", err)
	}
	return conn.Close()
}
