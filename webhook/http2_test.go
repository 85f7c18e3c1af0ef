package webhook_test

import (
	"log/slog"
	"net/http"
	"testing"

	"drey.dev/drey/test/framework/fixtures"
	"drey.dev/drey/webhook"
	"drey.dev/drey/webhook/config"
)

// TestDraining: during shutdown each connection is closed after its next answer, so that none is
// closed while a request arrives.
func TestDraining(t *testing.T) {
	draining := false
	handler := webhook.New(webhook.Options{
		Registry: fixtures.Index(t, "flink", nil), Log: slog.New(slog.DiscardHandler), Draining: func() bool { return draining },
	}).Handlers()[config.PathLabelPods]
	for _, draining = range []bool{false, true} {
		for want, body := range map[int][]byte{http.StatusOK: reviewOf(t, pod(), "flink"), http.StatusBadRequest: []byte("{")} {
			response := send(handler, body)
			if got := response.Header().Get("Connection"); response.Code != want || (got == "close") != draining {
				t.Errorf("draining: %t: %d, want %d, Connection: %q", draining, response.Code, want, got)
			}
		}
	}
}
