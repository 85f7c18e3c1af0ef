package server

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"drey.dev/drey/certs"
	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/eventually"
)

var secretPattern = regexp.MustCompile(`drey_[0-9A-Za-z_.-]{40,}`)

// TestOwnerTokenBootstrap: the token is printed on the first start alone, has all rights,
// and is revoked by --new-owner-token.
func TestOwnerTokenBootstrap(t *testing.T) {
	dir := t.TempDir()
	tokens := func(args ...string) (d *drey.Drey, secret string) {
		d = startWith(t, dir, append(args, "--rest-auth", "tokens")...)
		return d, secretPattern.FindString(d.Log())
	}
	stop := func(d *drey.Drey) {
		if err := d.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	d, first := tokens()
	t.Setenv("DREY_SERVER", d.REST)
	for _, c := range []struct {
		token, command string
		code           int
		prints         string
	}{
		{"", "targets list", exitRefused, "(Unauthorized)"},
		{first, "targets create a --kubernetes-namespace b", 0, "created"},
		{first, "tokens list --platform-namespace *", 0, "owner   owner"},
		{first, "tokens create ci --role editor", 0, "drey_"},
		{first, "tokens create ci --role editor", exitRefused, "(AlreadyExists)"},
		{first, "tokens create x --role king", exitUsage, "viewer, editor or owner"},
		{first, "tokens list", 0, "ci     editor"},
		{first, "tokens delete ci", 0, "apitoken/ci deleted"},
		{first, "tokens delete ci", exitNotFound, "does not exist"},
	} {
		t.Setenv("DREY_TOKEN", c.token)
		if out, code := drey.Run(t, program, "", strings.Fields(c.command)...); code != c.code || !strings.Contains(out, c.prints) {
			t.Errorf("drey %s: %d, want %d and %q: %s", c.command, code, c.code, c.prints, out)
		}
	}
	stop(d)
	if d, again := tokens(); again != "" {
		t.Errorf("the second start prints a token, too: %s", d.Log())
	} else {
		stop(d)
	}
	d, second := tokens("--new-owner-token")
	t.Setenv("DREY_SERVER", d.REST)
	for token, want := range map[string]int{first: exitRefused, second: 0} {
		t.Setenv("DREY_TOKEN", token)
		if out, code := drey.Run(t, program, "", "targets", "list"); code != want {
			t.Errorf("got %d, want %d: %s", code, want, out)
		}
	}
}

func TestRESTCertificateReload(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	first := writeCertificate(t, certFile, keyFile)
	d := startWith(t, dir, "--rest-bind-address", "0.0.0.0:0", "--rest-auth", "tokens", "--rest-tls-cert", certFile, "--rest-tls-key", keyFile)
	address := "127.0.0.1:" + chosenPort(t, d)
	t.Setenv("DREY_SERVER", "https://"+address)
	t.Setenv("DREY_TOKEN", secretPattern.FindString(d.Log()))
	t.Setenv("DREY_CERTIFICATE_AUTHORITY", certFile)
	if out, code := drey.Run(t, program, "", "targets", "list"); code != 0 {
		t.Fatalf("%d: %s", code, out)
	}
	if _, err := http.Get("http://" + address + "/api/v1/status"); err == nil {
		response, _ := http.Get("http://" + address + "/api/v1/status")
		if response.StatusCode == http.StatusOK {
			t.Error("it answers without TLS as well")
		}
	}
	second := writeCertificate(t, certFile, keyFile)
	served := func(pool *x509.CertPool) error {
		client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
		response, err := client.Get("https://" + address + "/api/v1/status")
		if err == nil {
			err = response.Body.Close()
		}
		return err
	}
	eventually.OK(t, func() error {
		if err := served(second); err != nil {
			return fmt.Errorf("the new certificate is not served: %w\n%s", err, d.Log())
		}
		return nil
	})
	if served(first) == nil {
		t.Error("the old certificate is trusted still: nothing was tested")
	}
}

// TestRESTSlowClients opens many connections that send a byte now and then, in the
// header and in the body: other requests are served before their timeouts end them. They have no
// token: slow bodies of authenticated callers count as in flight.
func TestRESTSlowClients(t *testing.T) {
	t.Parallel() // it waits for the timeouts
	d := startWith(t, t.TempDir(), "--rest-auth", "tokens")
	address := strings.TrimPrefix(d.REST, "http://")
	const slow = 800
	ended := make(chan error, slow)
	for i := range slow {
		connection, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		if i%2 == 0 {
			fmt.Fprintf(connection, "GET /api/v1/status HTTP/1.1\r\nHost: %s\r\nX-Slow: ", address)
		} else {
			fmt.Fprintf(connection, "PUT /api/v1/namespaces/default/deployments/slow HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000\r\n\r\n", address)
		}
		go func() {
			for {
				if _, err := io.WriteString(connection, "x"); err != nil {
					ended <- nil
					return
				}
				time.Sleep(500 * time.Millisecond)
			}
		}()
	}
	start := time.Now()
	worst := time.Duration(0)
	left, beside := slow, 0
	for left > 0 && time.Since(start) < 3*time.Minute {
		at := time.Now()
		response, err := http.Get(d.REST + "/api/v1/status")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Fatalf("got %s", response.Status)
		}
		worst = max(worst, time.Since(at))
		for more := true; more; {
			select {
			case <-ended:
				left--
			default:
				more = false
			}
		}
		if left >= slow/2 { // those with slow bodies
			beside++
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Logf("%d of %d slow connections were ended after %v; the slowest answer to others took %v", slow-left, slow, time.Since(start).Round(time.Second), worst)
	if left > 0 {
		t.Errorf("%d slow connections were still open", left)
	}
	if beside == 0 {
		t.Error("others waited until the slow connections were ended")
	}
}

func writeCertificate(t *testing.T, certFile, keyFile string) *x509.CertPool {
	t.Helper()
	serving, err := certs.NewMemory("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := serving.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	var chain []byte
	for _, der := range certificate.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	chain = append(chain, serving.CABundle()...)
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(certFile, chain, 0o600); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(serving.CABundle())
	return pool
}
