package serving

import (
	"context"
	"net"
)

// Serve is [Server.Run] on a listener, whose port no other process can take.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	return s.serve(ctx, listener)
}
