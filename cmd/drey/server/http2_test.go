package server

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"testing"

	"drey.dev/drey/certs"
	configv1alpha1 "drey.dev/drey/config/v1alpha1"
)

// TestServeHTTP2: the servers beside the webhooks offer HTTP/2 with --enable-http2 alone.
func TestServeHTTP2(t *testing.T) {
	serving, err := certs.NewMemory("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	for want, enabled := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		t.Run(want, func(t *testing.T) {
			address := "127.0.0.1:0"
			s := &server{options: Options{config: configv1alpha1.DreyConfiguration{EnableHTTP2: enabled}}, log: slog.New(slog.DiscardHandler)}
			_, fail := context.WithCancelCause(t.Context())
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) })
			if err := s.serveHTTP(fail, &address, handler, &tls.Config{GetCertificate: serving.GetCertificate, MinVersion: tls.VersionTLS13}); err != nil {
				t.Fatal(err)
			}
			transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
			response, err := (&http.Client{Transport: transport}).Get("https://" + address)
			if err != nil {
				t.Fatal(err)
			}
			got, _ := io.ReadAll(response.Body)
			response.Body.Close()
			transport.CloseIdleConnections()
			if string(got) != want {
				t.Errorf("got %s", got)
			}
			if err := s.close(); err != nil {
				t.Error(err)
			}
		})
	}
}
