package cli

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"drey.dev/drey/cmd/drey/cli/command"
)

// TestCredentialsOverHTTP: a token is sent over https, over loopback, or if the flag insists.
func TestCredentialsOverHTTP(t *testing.T) {
	var got string // the Authorization header
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization")
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"items":[]}`)
	})
	server := httptest.NewServer(handler)
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	redirecting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://drey.example.com"+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer redirecting.Close()
	t.Setenv("HTTP_PROXY", server.URL) // so every host is this server

	for _, c := range []struct {
		rule, server, token string
		args                string
		code                int
		sent                bool
		says                string
	}{
		{"loopback by its address", "http://127.0.0.1:" + port, "secret", "", 0, true, ""},
		{"loopback by its name", "http://localhost:" + port, "secret", "", 0, true, ""},
		{"another host", "http://drey.example.com", "secret", "", command.ExitUsage, false, "--insecure-send-token"},
		{"a name that begins like loopback's", "http://localhost.example.com", "secret", "", command.ExitUsage, false, "--insecure-send-token"},
		{"another host with the flag", "http://drey.example.com", "secret", "--insecure-send-token", 0, true, ""},
		{"another host without a token", "http://drey.example.com", "", "", 0, false, ""},
		{"a password in the URL", "http://me:secret@drey.example.com", "", "", command.ExitUsage, false, "--insecure-send-token"},
		{"a redirect to another host", redirecting.URL, "secret", "", 0, false, ""},
	} {
		t.Run(c.rule, func(t *testing.T) {
			got = ""
			t.Setenv("DREY_TOKEN", c.token)
			out, code := runDrey(t, "", append([]string{"targets", "list", "--server", c.server}, strings.Fields(c.args)...))
			if code != c.code || (got != "") != c.sent || !strings.Contains(out, c.says) || strings.Contains(out, "secret") {
				t.Errorf("it ends with %d, want %d; sent: %q; it prints %s", code, c.code, got, out)
			}
		})
	}
}
