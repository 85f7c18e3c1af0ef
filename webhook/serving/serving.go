// Package serving serves the webhooks over TLS, with the server of controller-runtime.
package serving

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"strconv"

	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"
)

// Server serves handlers by path.
type Server struct {
	server ctrlwebhook.Server
}

// TLS configures the TLS of a server.
type TLS struct {
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error) // called per handshake
	MinVersion  uint16                                               // 0: TLS 1.3
	ClientCAs   *x509.CertPool                                       // CAs of client certificates; nil: none is required
	ClientName  string                                               // common name of the client certificate; empty: any
	HTTP2       bool                                                 // offer HTTP/2 in addition to HTTP/1.1
}

// New returns a server that is not running. Each handler serves its path, and that followed
// by another segment, the token. address is a host and a port that is not 0;
// an empty host means every interface.
func New(address string, secure TLS, handlers map[string]http.Handler) (*Server, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, err
	}
	s := ctrlwebhook.NewServer(ctrlwebhook.Options{
		Host: host, Port: int(number),
		TLSOpts: []func(*tls.Config){func(c *tls.Config) {
			c.MinVersion = cmp.Or(secure.MinVersion, tls.VersionTLS13)
			c.GetCertificate = secure.Certificate
			if c.NextProtos = []string{"http/1.1"}; secure.HTTP2 {
				c.NextProtos = []string{"h2", "http/1.1"}
			}
			if c.ClientCAs = secure.ClientCAs; c.ClientCAs != nil {
				// A missing certificate is an HTTP error: see requireClientCertificate.
				c.ClientAuth = tls.VerifyClientCertIfGiven
			}
		}},
	})
	for path, handler := range handlers {
		handler = secure.requireClientCertificate(handler)
		s.Register(path, handler)
		s.Register(path+"/{token}", handler)
	}
	return &Server{s}, nil
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
func (s *Server) Run(ctx context.Context) error { return s.server.Start(ctx) }

// Ready returns nil if the server completes a TLS handshake.
func (s *Server) Ready() error { return s.server.StartedChecker()(nil) }
