package tracing

import (
	"compress/gzip"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	collecttrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// TestCollectorRequest: the body is an ExportTraceServiceRequest, sent with the headers, the
// compression and the CA of the environment.
func TestCollectorRequest(t *testing.T) {
	var got collecttrace.ExportTraceServiceRequest
	var header http.Header
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		header = r.Header
		plain, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		body, err := io.ReadAll(plain)
		if err == nil {
			err = proto.Unmarshal(body, &got)
		}
		if err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", ca)
	t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "a=overridden")
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "authorization=Bearer%20b, c = d")

	c := newTestCollector(t, server.URL)
	want := []*tracepb.ResourceSpans{{SchemaUrl: "s", ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{{Name: "n"}}}}}}
	if err := c.UploadTraces(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(&got, &collecttrace.ExportTraceServiceRequest{ResourceSpans: want}) {
		t.Errorf("got %v", &got)
	}
	if header.Get("Authorization") != "Bearer b" || header.Get("C") != "d" || header.Get("A") != "" || header.Get("Content-Type") != "application/x-protobuf" {
		t.Errorf("got the header %v", header)
	}
}

// TestCollectorRetry: a request is repeated if the collector is overloaded, and not if the
// collector rejects it.
func TestCollectorRetry(t *testing.T) {
	for status, want := range map[int]int{http.StatusServiceUnavailable: 2, http.StatusTooManyRequests: 2, http.StatusBadRequest: 1, http.StatusInternalServerError: 1} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			calls := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if calls++; calls == 1 {
					http.Error(w, "reason", status)
				}
			}))
			t.Cleanup(server.Close)
			err := newTestCollector(t, server.URL).UploadTraces(t.Context(), nil)
			if calls != want || (err == nil) != (want == 2) || err != nil && !strings.Contains(err.Error(), "reason") {
				t.Errorf("got %d requests and %v, want %d requests", calls, err, want)
			}
		})
	}
}

// TestCollectorTimeout: OTEL_EXPORTER_OTLP_TIMEOUT bounds a request, in milliseconds.
func TestCollectorTimeout(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "20")
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(hang) })
	began := time.Now()
	if err := newTestCollector(t, server.URL).UploadTraces(t.Context(), nil); err == nil || time.Since(began) >= exportTimeout {
		t.Errorf("got %v after %s, want a timeout", err, time.Since(began))
	}
}

// TestCollectorInvalidEnvironment: an invalid variable is an error that names it.
func TestCollectorInvalidEnvironment(t *testing.T) {
	for name, value := range map[string]string{"HEADERS": "a", "COMPRESSION": "zstd", "TIMEOUT": "10s", "CERTIFICATE": "/nonexistent", "CLIENT_KEY": "/nonexistent"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_"+name, value)
			if _, err := newCollector("http://127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "OTEL_EXPORTER_OTLP_") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func newTestCollector(t *testing.T, url string) *collector {
	t.Helper()
	c, err := newCollector(url)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
