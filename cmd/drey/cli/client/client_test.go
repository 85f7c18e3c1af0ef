package client

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drey.dev/drey/cmd/drey/cli/command"
)

// TestCredentialsAfterRedirect: a redirect from https to http of the same host would send the
// token in the clear.
func TestCredentialsAfterRedirect(t *testing.T) {
	for to, sent := range map[string]bool{"https://drey.example.com/": true, "http://drey.example.com/": false, "http://127.0.0.1/": true} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, to, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer secret")
		for _, insists := range []bool{false, true} {
			if err := (&Client{sendToken: insists}).checkCredentials(request); (err == nil) != (sent || insists) {
				t.Errorf("to %s, with the flag: %t: %v", to, insists, err)
			}
		}
	}
}

// TestCertificateErrors: an error of TLS says what is wrong with the certificate, names the flag,
// and is no reason to retry.
func TestCertificateErrors(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	ca := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	for _, c := range []struct {
		rule, server, authority string
		code                    int
		want                    string
	}{
		{"unknown CA", server.URL, "", command.ExitUsage, "not trusted: tls: failed to verify certificate: x509: certificate signed by unknown authority; give its CA with --certificate-authority FILE"},
		{"another name", "https://localhost:" + port, ca, command.ExitUsage, "set --server to a name of the certificate"},
		{"trusted", server.URL, ca, command.ExitNotFound, "is not of drey's REST API: 404 Not Found"},
		{"http server", strings.Replace(plain.URL, "http:", "https:", 1), "", command.ExitUsage, "does not speak TLS: set --server " + plain.URL},
		{"no server", "http://127.0.0.1:1", "", command.ExitUnavailable, "http://127.0.0.1:1 unreachable: dial tcp"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			_, _, err := (&Client{Server: c.server, authority: c.authority}).Do(t.Context(), http.MethodGet, "/", nil)
			if command.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "Get ") {
				t.Errorf("got exit code %d: %v\nwant %d: %s", command.CodeOf(err), err, c.code, c.want)
			}
		})
	}
}

// TestForeignResponses: a response of another server, such as the login page of a proxy, a cut or a
// missing one is stated with the server, and an interruption as such.
func TestForeignResponses(t *testing.T) {
	page := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "<html><title>Sign in</title></html>") // a failure fails the test
		}
	}
	for rule, c := range map[string]struct {
		handler http.HandlerFunc
		code    int
		want    string // with the address for ADDRESS
	}{
		"login page":             {page(200), command.ExitUnavailable, "response of ADDRESS is not of drey's REST API: 200 OK, text/html; check --server, and the login of a proxy before it"},
		"login required":         {page(401), command.ExitRefused, "response of ADDRESS is not of drey's REST API: 401 Unauthorized, text/html; check --server, and the login of a proxy before it"},
		"proxy without a server": {page(502), command.ExitUnavailable, "response of ADDRESS is not of drey's REST API: 502 Bad Gateway, text/html; check --server, and the login of a proxy before it"},
		"redirect to itself": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) },
			command.ExitUnavailable, "http://ADDRESS unreachable: more than 10 redirects, the last to http://ADDRESS/login; set --server or $DREY_SERVER"},
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "{") // a failure fails the test
		}, command.ExitUnavailable, "http://ADDRESS unreachable: read the response: unexpected EOF; set --server or $DREY_SERVER"},
	} {
		t.Run(rule, func(t *testing.T) {
			server := httptest.NewServer(c.handler)
			defer server.Close()
			_, _, err := (&Client{Server: server.URL}).Do(t.Context(), http.MethodGet, "/", nil)
			if want := strings.ReplaceAll(c.want, "ADDRESS", server.Listener.Addr().String()); command.CodeOf(err) != c.code || err.Error() != want {
				t.Errorf("got exit code %d: %v\nwant %d: %s", command.CodeOf(err), err, c.code, want)
			}
		})
	}
	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			cancel(errors.New("interrupt signal received"))
			<-r.Context().Done()
		}))
		defer server.Close()
		if _, _, err := (&Client{Server: server.URL}).Do(ctx, http.MethodGet, "/", nil); command.CodeOf(err) != command.ExitInterrupted || err.Error() != "interrupted" {
			t.Errorf("got exit code %d: %v, want %d: interrupted", command.CodeOf(err), err, command.ExitInterrupted)
		}
	})
}
