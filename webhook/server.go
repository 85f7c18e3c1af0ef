package webhook

import (
	"context"
	"crypto/tls"
	"net"
	"strconv"

	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"
)

// Server serves the handlers over TLS.
type Server struct {
	server ctrlwebhook.Server
}

// NewServer prepares a server at address, a host and a port that is not 0; an
// empty host means every interface. certificate is asked at each handshake.
func NewServer(address string, certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error), w *Webhooks) (*Server, error) {
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
			c.MinVersion = tls.VersionTLS13
			c.GetCertificate = certificate
		}},
	})
	for path, handler := range w.Handlers() {
		s.Register(path, handler)
	}
	return &Server{s}, nil
}

// Run serves until ctx ends, then lets the calls under way finish.
func (s *Server) Run(ctx context.Context) error { return s.server.Start(ctx) }

// Ready returns nil once the server answers a TLS handshake.
func (s *Server) Ready() error { return s.server.StartedChecker()(nil) }
