package client

import (
	"encoding/pem"
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
		{"trusted", server.URL, ca, command.ExitNotFound, "is not the REST API of drey"},
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
