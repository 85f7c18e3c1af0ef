package tracing

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collector sends spans by OTLP over HTTP. It replaces package otlptracehttp, which links
// gRPC, and reads the same environment variables.
type collector struct {
	endpoint string
	headers  map[string]string
	gzip     bool
	client   *http.Client
}

var _ otlptrace.Client = (*collector)(nil)

// exportTimeout bounds one request. It is the default of OpenTelemetry.
const exportTimeout = 10 * time.Second

// newCollector returns a client of the collector at a URL, with the headers, the
// certificates, the timeout and the compression of OTEL_EXPORTER_OTLP_*.
func newCollector(endpoint string) (*collector, error) {
	c := &collector{endpoint: endpoint, client: &http.Client{Timeout: exportTimeout}}
	var err error
	if c.headers, err = parseHeaders(setting("HEADERS")); err != nil {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_HEADERS: %w", err)
	}
	switch compression := setting("COMPRESSION"); compression {
	case "", "none":
	case "gzip":
		c.gzip = true
	default:
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_COMPRESSION is %q: use gzip or none", compression)
	}
	if text := setting("TIMEOUT"); text != "" {
		milliseconds, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_TIMEOUT is %q: give milliseconds", text)
		}
		c.client.Timeout = time.Duration(milliseconds) * time.Millisecond
	}
	secure, err := tlsConfig()
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = secure
	c.client.Transport = transport
	return c, nil
}

// setting returns an environment variable of the exporter; one for traces has precedence.
func setting(name string) string {
	return cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_"+name), os.Getenv("OTEL_EXPORTER_OTLP_"+name))
}

// parseHeaders parses KEY=VALUE,KEY=VALUE with percent-encoded values.
func parseHeaders(text string) (map[string]string, error) {
	headers := map[string]string{}
	for pair := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		key, value, ok := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if key = strings.TrimSpace(key); !ok || key == "" || err != nil {
			return nil, fmt.Errorf("invalid header %q: give KEY=VALUE, with the value percent-encoded", key)
		}
		headers[key] = value
	}
	return headers, nil
}

// tlsConfig returns the CA and the client certificate of the environment.
func tlsConfig() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if path := setting("CERTIFICATE"); path != "" {
		text, err := os.ReadFile(path) //nolint:gosec // the administrator chooses the file
		if err != nil {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_CERTIFICATE: %w", err)
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_CERTIFICATE: no certificate in %s", path)
		}
	}
	certificate, key := setting("CLIENT_CERTIFICATE"), setting("CLIENT_KEY")
	if certificate == "" && key == "" {
		return c, nil
	}
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and _KEY: %w", err)
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}

// Start implements otlptrace.Client.
func (c *collector) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client.
func (c *collector) Stop(context.Context) error {
	c.client.CloseIdleConnections()
	return nil
}

// UploadTraces implements otlptrace.Client. It retries until ctx ends if the collector is
// overloaded.
func (c *collector) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	// Encodes like ExportTraceServiceRequest, whose package imports gRPC.
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return err
	}
	if c.gzip {
		if body, err = compressed(body); err != nil {
			return err
		}
	}
	for backoff := time.Second; ; backoff = min(2*backoff, maxBackoff) {
		retryAfter, err := c.post(ctx, body)
		if err == nil || retryAfter < 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(max(retryAfter, backoff)):
		}
	}
}

const maxBackoff = 30 * time.Second

// post sends a request once. retryAfter is negative if it is not to be repeated.
func (c *collector) post(ctx context.Context, body []byte) (retryAfter time.Duration, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, bytes.NewReader(body))
	if err != nil {
		return -1, err
	}
	for key, value := range c.headers {
		request.Header.Set(key, value)
	}
	request.Header.Set("Content-Type", "application/x-protobuf")
	if c.gzip {
		request.Header.Set("Content-Encoding", "gzip")
	}
	response, err := c.client.Do(request)
	if err != nil {
		return -1, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1024))
	if response.StatusCode/100 == 2 || err != nil {
		return -1, err
	}
	err = fmt.Errorf("send spans to %s: %s: %s", c.endpoint, response.Status, bytes.TrimSpace(text))
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		seconds, _ := strconv.ParseUint(response.Header.Get("Retry-After"), 10, 16) // 0 if absent
		return time.Duration(seconds) * time.Second, err
	}
	return -1, err
}

func compressed(body []byte) ([]byte, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(body); err != nil {
		return nil, err
	}
	err := w.Close()
	return b.Bytes(), err
}
