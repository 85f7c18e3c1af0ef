package serving

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"drey.dev/drey/certs"
)

// TestReadTimeout: a slow sender is disconnected, and the timeout starts with each review.
func TestReadTimeout(t *testing.T) {
	url := serve(t, func(s *Server) { s.http.ReadTimeout = 500 * time.Millisecond }, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	body, w := io.Pipe()
	defer w.Close()
	go func() { _, _ = io.WriteString(w, `{"kind":`) }() // and no more
	client := newClient(t)
	if response := post(t, client, url, body); response.StatusCode != http.StatusBadRequest {
		t.Errorf("got %s", response.Status)
	}

	// The timeout of the next review on the connection starts with it.
	for range 3 {
		time.Sleep(300 * time.Millisecond)
		if response := post(t, client, url, strings.NewReader("a")); response.StatusCode != http.StatusOK {
			t.Errorf("got %s", response.Status)
		}
	}
}

// TestIdleTimeout: drey keeps idle connections longer than the API server does, which closes
// them after the default of package http.
func TestIdleTimeout(t *testing.T) {
	if client := http.DefaultTransport.(*http.Transport).IdleConnTimeout; idleTimeout <= client {
		t.Errorf("drey closes idle connections after %s, the API server after %s", idleTimeout, client)
	}
}

// TestRunDrains: requests in flight at the end are answered, with their context alive.
func TestRunDrains(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	entered := make(chan struct{})
	url := serveUntil(t, ctx, func(*Server) {}, func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-ctx.Done()
		time.Sleep(100 * time.Millisecond) // Shutdown has begun
		if r.Context().Err() != nil {
			http.Error(w, "the context of the request has ended", http.StatusInternalServerError)
		}
	})
	go func() {
		<-entered
		stop()
	}()
	if response := post(t, newClient(t), url, strings.NewReader("a")); response.StatusCode != http.StatusOK {
		t.Errorf("got %s", response.Status)
	}
}

// TestPaths: a handler serves its path, and that with a token.
func TestPaths(t *testing.T) {
	url := serve(t, func(*Server) {}, func(http.ResponseWriter, *http.Request) {})
	client := newClient(t)
	for path, want := range map[string]int{"": 200, "/token": 200, "/": 404, "/token/": 404, "/token/more": 404, "x": 404, "/../review": 404} {
		if response := post(t, client, url+path, strings.NewReader("a")); response.StatusCode != want {
			t.Errorf("%s: got %s, want %d", path, response.Status, want)
		}
	}
}

func serve(t *testing.T, set func(*Server), handler http.HandlerFunc) (url string) {
	t.Helper()
	return serveUntil(t, t.Context(), set, handler)
}

// serveUntil serves a handler until ctx ends, and returns its URL.
func serveUntil(t *testing.T, ctx context.Context, set func(*Server), handler http.HandlerFunc) (url string) {
	t.Helper()
	certificate, err := certs.NewMemory("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	s, err := New(address, TLS{Certificate: certificate.GetCertificate}, map[string]http.Handler{"/review": handler})
	if err != nil {
		t.Fatal(err)
	}
	set(s)
	if s.Ready() == nil {
		t.Error("ready before it runs")
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	for deadline := time.Now().Add(10 * time.Second); s.Ready() != nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(s.Ready())
		}
	}
	t.Cleanup(func() {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "https://" + address + "/review"
}

func newClient(t *testing.T) *http.Client {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // the server certificate is not under test
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func post(t *testing.T, client *http.Client, url string, body io.Reader) *http.Response {
	t.Helper()
	response, err := client.Post(url, "text/plain", body)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	response.Body.Close()
	return response
}
