package webhook

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

// Server serves the handlers over TLS.
type Server struct {
	server ctrlwebhook.Server
}

// TLS says with whom a server talks, and how.
type TLS struct {
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error) // asked at each handshake
	MinVersion  uint16                                               // 0: TLS 1.3
	ClientCAs   *x509.CertPool                                       // who signed the API server's client certificate; nil: callers need none
	ClientName  string                                               // the common name in it; empty: any
	HTTP2       bool                                                 // offer HTTP/2 beside HTTP/1.1
}

// NewServer prepares a server at address, a host and a port that is not 0; an
// empty host means every interface.
func NewServer(address string, secure TLS, w *Webhooks) (*Server, error) {
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
				// Who has none is told so over HTTP: see known.
				c.ClientAuth = tls.VerifyClientCertIfGiven
			}
		}},
	})
	for path, handler := range w.Handlers() {
		s.Register(path, secure.known(handler))
	}
	return &Server{s}, nil
}

// known lets only callers through whose certificate is as it must be. Nothing of
// the request of another is read.
func (t TLS) known(handler http.Handler) http.Handler {
	if t.ClientCAs == nil {
		return handler
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.TLS == nil || len(r.TLS.VerifiedChains) == 0:
			http.Error(w, "the webhooks of this server need a client certificate, such as the API server has with --admission-control-config-file", http.StatusUnauthorized)
		case t.ClientName != "" && r.TLS.VerifiedChains[0][0].Subject.CommonName != t.ClientName:
			http.Error(w, fmt.Sprintf("the client certificate is that of %q, and the webhooks of this server are for another", r.TLS.VerifiedChains[0][0].Subject.CommonName), http.StatusForbidden)
		default:
			handler.ServeHTTP(w, r)
		}
	})
}

// Run serves until ctx ends, then lets the calls under way finish.
func (s *Server) Run(ctx context.Context) error { return s.server.Start(ctx) }

// Ready returns nil once the server answers a TLS handshake.
func (s *Server) Ready() error { return s.server.StartedChecker()(nil) }
