package serving

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"drey.dev/drey/certs"
)

// TestReadTimeout: a slow sender is disconnected, and the timeout starts with each review.
func TestReadTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
			}
		})
		body, w := io.Pipe()
		defer w.Close()
		go func() { _, _ = io.WriteString(w, `{"kind":`) }() // and no more
		client, began := s.client(t), time.Now()
		if response := s.post(t, client, "/review", body); response.StatusCode != http.StatusBadRequest || time.Since(began) != readTimeout {
			t.Errorf("got %s after %s", response.Status, time.Since(began))
		}

		reused := 0
		trace := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) {
			if c.Reused {
				reused++
			}
		}})
		for range 3 {
			request, err := http.NewRequestWithContext(trace, http.MethodPost, "https://drey/review", strings.NewReader("a"))
			if err != nil {
				t.Fatal(err)
			}
			if response := do(t, client, request); response.StatusCode != http.StatusOK {
				t.Errorf("got %s", response.Status)
			}
			time.Sleep(readTimeout - time.Second)
		}
		if reused != 2 {
			t.Errorf("%d of 2 reviews on the first connection", reused)
		}
	})
}

// TestSilentClients: a connection without a request ends after its timeout.
func TestSilentClients(t *testing.T) {
	for rule, c := range map[string]struct {
		connect func(net.Conn) (net.Conn, error)
		sends   string
		want    time.Duration
	}{
		"no handshake":      {func(c net.Conn) (net.Conn, error) { return c, nil }, "", readTimeout},
		"half a handshake":  {func(c net.Conn) (net.Conn, error) { return c, nil }, "\x16\x03\x01", readTimeout},
		"no request":        {handshake, "", readTimeout},
		"half a header":     {handshake, "POST /review HTTP/1.1\r\nHost: dr", readTimeout},
		"after a request":   {handshake, "GET /none HTTP/1.1\r\nHost: drey\r\n\r\n", idleTimeout},
		"half of a second":  {handshake, "GET /none HTTP/1.1\r\nHost: drey\r\n\r\nGET /n", readTimeout},
		"connection: close": {handshake, "GET /none HTTP/1.1\r\nHost: drey\r\nConnection: close\r\n\r\n", rstAvoidanceDelay},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := start(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was handled") })
				conn, err := c.connect(s.dial())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				began := time.Now()
				go func() { _, _ = io.WriteString(conn, c.sends) }()
				_, _ = io.Copy(io.Discard, conn)
				if took := time.Since(began); took > c.want || took < c.want-rstAvoidanceDelay {
					t.Errorf("ended after %s, want %s", took, c.want)
				}
			})
		})
	}
}

// rstAvoidanceDelay is the delay of package http before it closes a connection that it does not
// read to its end.
const rstAvoidanceDelay = 500 * time.Millisecond

// TestIdleTimeout: drey keeps idle connections longer than the API server does, which closes
// them after the default of package http.
func TestIdleTimeout(t *testing.T) {
	if client := http.DefaultTransport.(*http.Transport).IdleConnTimeout; idleTimeout <= client {
		t.Errorf("drey closes idle connections after %s, the API server after %s", idleTimeout, client)
	}
}

// TestOversizeHeader: a header beyond the limit is rejected, and not read to its end.
func TestOversizeHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, func(http.ResponseWriter, *http.Request) {})
		for bytes, want := range map[int]int{maxHeaderBytes / 2: http.StatusOK, 2 * maxHeaderBytes: http.StatusRequestHeaderFieldsTooLarge} {
			conn, err := handshake(s.dial())
			if err != nil {
				t.Fatal(err)
			}
			sent := make(chan int, 1)
			go func() {
				n, _ := fmt.Fprintf(conn, "POST /review HTTP/1.1\r\nHost: drey\r\nContent-Length: 0\r\nX: %s\r\n\r\n", strings.Repeat("x", bytes))
				sent <- n
			}()
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || response.StatusCode != want {
				t.Errorf("%d bytes: got %v, %v, want %d", bytes, response, err, want)
			}
			conn.Close()
			if n := <-sent; (n < bytes) != (want != http.StatusOK) {
				t.Errorf("%d bytes of %d were read", n, bytes)
			}
		}
	})
}

// TestRunDrains: after the end of the context requests in flight are answered, with their context
// alive, and no new ones are accepted.
func TestRunDrains(t *testing.T) {
	for rule, c := range map[string]struct {
		takes time.Duration
		want  string // the error of Run
	}{
		"within the timeout": {shutdownTimeout - time.Second, ""},
		"beyond it":          {shutdownTimeout + time.Minute, "requests in flight not answered within 1m0s: context deadline exceeded"},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				entered := make(chan struct{})
				s := start(t, func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/review/idle" {
						return
					}
					close(entered)
					time.Sleep(c.takes)
					if r.Context().Err() != nil {
						http.Error(w, "the context of the request has ended", http.StatusInternalServerError)
					}
				})
				idle := s.client(t)
				s.post(t, idle, "/review/idle", nil)
				answered, began := make(chan struct{}), time.Now()
				go func() {
					defer close(answered)
					response := s.post(t, s.client(t), "/review", strings.NewReader("a"))
					if response.StatusCode != http.StatusOK || !response.Close || time.Since(began) != c.takes {
						t.Errorf("got %s after %s, last of its connection: %t", response.Status, time.Since(began), response.Close)
					}
				}()
				<-entered
				s.stop()
				synctest.Wait()
				if _, err := idle.Post("https://drey/review/idle", "", nil); !errors.Is(err, net.ErrClosed) {
					t.Errorf("a request at the end: %v", err)
				}
				err := <-s.ended
				if err == nil && c.want != "" || err != nil && (err.Error() != c.want || time.Since(began) != shutdownTimeout) {
					t.Errorf("got %v after %s, want %s", err, time.Since(began), c.want)
				}
				<-answered
			})
		})
	}
}

// TestPaths: a handler serves its path, and that with a token.
func TestPaths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, func(http.ResponseWriter, *http.Request) {})
		client := s.client(t)
		for path, want := range map[string]int{"": 200, "/token": 200, "/": 404, "/token/": 404, "/token/more": 404, "x": 404, "/../review": 404} {
			if response := s.post(t, client, "/review"+path, strings.NewReader("a")); response.StatusCode != want {
				t.Errorf("%s: got %s, want %d", path, response.Status, want)
			}
		}
	})
}

// TestCertificateRotation: a new connection has the new certificate, and one that is open stays
// so. A handshake without a certificate fails, and the next does not.
func TestCertificateRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, func(http.ResponseWriter, *http.Request) {})
		first, second := s.client(t), s.client(t)
		serial := func(client *http.Client) string {
			t.Helper()
			return s.post(t, client, "/review", nil).TLS.PeerCertificates[0].SerialNumber.String()
		}
		old := serial(first)
		s.certificate.Store(nil)
		if _, err := second.Post("https://drey/review", "", nil); err == nil || !strings.Contains(err.Error(), "internal error") {
			t.Errorf("without a certificate: %v", err)
		}
		s.rotate(t)
		if got := serial(first); got != old {
			t.Error("the certificate of an open connection changed")
		}
		if got := serial(second); got == old {
			t.Error("a new connection has the old certificate")
		}
		if line := s.logged(); !strings.Contains(line, "level=WARN") || !strings.Contains(line, "TLS handshake error") || !strings.Contains(line, "no certificate yet") {
			t.Errorf("logged %q", line)
		}
	})
}

// TestRejectedConnections: a client that fails is logged by the logger of drey, and affects no
// other one.
func TestRejectedConnections(t *testing.T) {
	for rule, c := range map[string]struct {
		send   func(*testing.T, *running)
		logged string
	}{
		"no TLS": {func(t *testing.T, s *running) {
			conn := s.dial()
			defer conn.Close()
			go func() { _, _ = io.WriteString(conn, "POST /review HTTP/1.1\r\nHost: drey\r\n\r\n") }()
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || response.StatusCode != http.StatusBadRequest {
				t.Errorf("got %v, %v", response, err)
			}
		}, "client sent an HTTP request to an HTTPS server"},
		"no TLS version in common": {func(t *testing.T, s *running) {
			conn := tls.Client(s.dial(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
			defer conn.Close()
			if err := conn.Handshake(); err == nil {
				t.Error("handshake of TLS 1.2")
			}
		}, "unsupported versions"},
		"closed in the handshake": {func(_ *testing.T, s *running) { s.dial().Close() }, "EOF"},
		"panic of the handler": {func(t *testing.T, s *running) {
			if _, err := s.client(t).Post("https://drey/review/panic", "", nil); !errors.Is(err, io.EOF) {
				t.Errorf("got %v", err)
			}
		}, "a handler's fault"},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := start(t, func(_ http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/review/panic" {
						panic("a handler's fault")
					}
				})
				c.send(t, s)
				synctest.Wait()
				if line := s.logged(); !strings.Contains(line, "level=WARN") || !strings.Contains(line, c.logged) {
					t.Errorf("logged %q, want %s", line, c.logged)
				}
				if response := s.post(t, s.client(t), "/review", nil); response.StatusCode != http.StatusOK {
					t.Errorf("the next request: %s", response.Status)
				}
			})
		})
	}
}

// TestRunListenerFailure: Run ends with the error of its listener, or of the address.
func TestRunListenerFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, nil)
		s.listener.fail <- errors.New("out of order")
		if err := <-s.ended; err == nil || err.Error() != "out of order" {
			t.Errorf("got %v", err)
		}
	})
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s, err := New(taken.Addr().String(), TLS{}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("address of another: %v", err)
	}
	if s.Ready() == nil {
		t.Error("ready without a listener")
	}
}

func TestNewInvalidAddress(t *testing.T) {
	for _, address := range []string{"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:https", "127.0.0.1:65536", "::1:443"} {
		if _, err := New(address, TLS{}, slog.New(slog.DiscardHandler), nil); err == nil {
			t.Errorf("%q is valid", address)
		}
	}
}

// running is a server on a listener in memory, with the time of a synctest bubble.
type running struct {
	listener    *pipeListener
	certificate atomic.Pointer[certs.Memory]
	stop        context.CancelFunc
	ended       chan error // result of Run
	log         syncBuffer
}

// start serves a handler until the end of the test.
func start(t *testing.T, handler http.HandlerFunc) *running {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r := &running{listener: &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{}), fail: make(chan error)}, stop: stop, ended: make(chan error, 1)}
	r.rotate(t)
	s, err := New("drey:443", TLS{Certificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if c := r.certificate.Load(); c != nil {
			return c.GetCertificate(hello)
		}
		return nil, errors.New("no certificate yet")
	}}, slog.New(slog.NewTextHandler(&r.log, nil)), map[string]http.Handler{"/review": handler})
	if err != nil {
		t.Fatal(err)
	}
	if s.Ready() == nil {
		t.Error("ready before it runs")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.ended <- s.serve(ctx, r.listener)
	}()
	t.Cleanup(func() { stop(); <-done })
	return r
}

func (r *running) rotate(t *testing.T) {
	t.Helper()
	certificate, err := certs.NewMemory("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	r.certificate.Store(certificate)
}

func (r *running) logged() string { return r.log.String() }

func (r *running) dial() net.Conn {
	conn, _ := r.listener.dial()
	return conn
}

// client returns a client with a connection pool of its own.
func (r *running) client(t *testing.T) *http.Client {
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // the server certificate is not under test
		DialContext:     func(context.Context, string, string) (net.Conn, error) { return r.listener.dial() },
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func (r *running) post(t *testing.T, client *http.Client, path string, body io.Reader) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://drey"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, client, request)
}

func do(t *testing.T, client *http.Client, request *http.Request) *http.Response {
	t.Helper()
	response, err := client.Do(request)
	if err != nil {
		t.Error(err)
		return &http.Response{}
	}
	_, _ = io.Copy(io.Discard, response.Body)
	response.Body.Close()
	return response
}

// handshake returns a TLS connection on another one.
func handshake(conn net.Conn) (net.Conn, error) {
	secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	return secure, secure.Handshake()
}

// pipeListener accepts connections in memory.
type pipeListener struct {
	conns  chan net.Conn
	fail   chan error
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) dial() (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case err := <-l.fail:
		return nil, err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error { l.once.Do(func() { close(l.closed) }); return nil }

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// syncBuffer is a buffer for concurrent writes.
type syncBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
