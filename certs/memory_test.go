package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"drey.dev/drey/certs"
)

// TestMemoryTrusted: a client with the caBundle accepts the serving certificate.
func TestMemoryTrusted(t *testing.T) {
	c := newMemory(t, "127.0.0.1")
	server := serve(t, c)
	response, err := clientTrusting(c).Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, _ := io.ReadAll(response.Body); string(body) != "served" {
		t.Errorf("got %q", body)
	}
}

// TestMemoryForeignCA: a client with the caBundle of another CA rejects it.
func TestMemoryForeignCA(t *testing.T) {
	server := serve(t, newMemory(t, "127.0.0.1"))
	_, err := clientTrusting(newMemory(t, "127.0.0.1")).Get(server.URL)
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v, want a certificate error", err)
	}
}

// TestMemoryHosts: the certificate names the given hosts and no others.
func TestMemoryHosts(t *testing.T) {
	c := newMemory(t, "drey.example", "10.1.2.3")
	_, err := clientTrusting(c).Get(serve(t, c).URL)
	if err == nil || !strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("got %v, want a hostname error for 127.0.0.1", err)
	}
	certificate, err := c.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(certificate.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"drey.example", "10.1.2.3"} {
		if err := leaf.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	if leaf.IsCA {
		t.Error("the serving certificate is a CA")
	}
}

// TestMemoryNoHosts: a certificate without hosts is an error.
func TestMemoryNoHosts(t *testing.T) {
	if _, err := certs.NewMemory(); err == nil {
		t.Error("no error")
	}
}

func newMemory(t *testing.T, hosts ...string) *certs.Memory {
	t.Helper()
	c, err := certs.NewMemory(hosts...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func serve(t *testing.T, c *certs.Memory) *httptest.Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{
		Listener: tls.NewListener(listener, &tls.Config{GetCertificate: c.GetCertificate}),
		Config: &http.Server{
			Handler:  http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "served") }),
			ErrorLog: nil,
		},
	}
	server.Start()
	server.URL = "https://" + listener.Addr().String()
	t.Cleanup(server.Close)
	return server
}

func clientTrusting(c *certs.Memory) *http.Client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(c.CABundle())
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
}
