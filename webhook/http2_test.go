package webhook_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"testing"

	"drey.dev/drey/test/framework/fixtures"
	"drey.dev/drey/webhook"
	"drey.dev/drey/webhook/config"
)

// TestHTTP2: HTTP/2 is off by default, and connections are reused with and without it.
func TestHTTP2(t *testing.T) {
	for want, secure := range map[string]webhook.TLS{"HTTP/1.1": {}, "HTTP/2.0": {HTTP2: true}} {
		t.Run(want, func(t *testing.T) {
			url := serveTLS(t, secure) + config.PathLabelPods
			transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
			defer transport.CloseIdleConnections()
			for i := range 3 {
				reused := false
				trace := &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { reused = c.Reused }}
				request, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodPost, url, bytes.NewReader(reviewOf(t, pod(), "flink")))
				if err != nil {
					t.Fatal(err)
				}
				request.Header.Set("Content-Type", "application/json")
				response, err := transport.RoundTrip(request)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, response.Body)
				response.Body.Close()
				if response.Proto != want || response.StatusCode != http.StatusOK || reused != (i > 0) {
					t.Errorf("call %d: %s %s, on a connection that was there: %t", i+1, response.Proto, response.Status, reused)
				}
			}
		})
	}
}

// TestDraining: during shutdown each connection is closed after its next answer, so that none is
// closed while a request arrives.
func TestDraining(t *testing.T) {
	draining := false
	handler := webhook.New(webhook.Options{
		Registry: fixtures.Index(t, "flink", nil), Log: slog.New(slog.DiscardHandler), Draining: func() bool { return draining },
	}).Handlers()[config.PathLabelPods]
	for _, draining = range []bool{false, true} {
		response := send(handler, reviewOf(t, pod(), "flink"))
		if got := response.Header().Get("Connection"); response.Code != http.StatusOK || (got == "close") != draining {
			t.Errorf("draining: %t: %d, Connection: %q", draining, response.Code, got)
		}
	}
}
