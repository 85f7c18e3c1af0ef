package serving_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"drey.dev/drey/certs"
	"drey.dev/drey/certs/rotation"
	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/test/framework/fixtures"
	"drey.dev/drey/webhook"
	"drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/serving"
)

func TestServerClientCertificate(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	pool := x509.NewCertPool()
	pool.AddCert(ca.Cert)
	anybody := serveTLS(t, serving.TLS{})
	vouched := serveTLS(t, serving.TLS{ClientCAs: pool})
	named := serveTLS(t, serving.TLS{ClientCAs: pool, ClientName: "apiserver"})
	old := serveTLS(t, serving.TLS{MinVersion: tls.VersionTLS12})
	for rule, c := range map[string]struct {
		server string
		client *tls.Config
		want   string // a status, or a part of the error
	}{
		"no client CA":                         {anybody, &tls.Config{}, "400"},
		"no client CA, client certificate":     {anybody, client(t, other, "anyone"), "400"},
		"client CA, no certificate":            {vouched, &tls.Config{}, "401"},
		"client CA, certificate of another CA": {vouched, client(t, other, "apiserver"), "certificate"},
		"client CA, its certificate":           {vouched, client(t, ca, "anyone"), "400"},
		"client name, another name":            {named, client(t, ca, "anyone"), "403"},
		"client name, its name":                {named, client(t, ca, "apiserver"), "400"},
		"TLS 1.2":                              {anybody, &tls.Config{MaxVersion: tls.VersionTLS12}, "protocol version"},
		"TLS 1.2, minimum 1.2":                 {old, &tls.Config{MaxVersion: tls.VersionTLS12}, "400"},
	} {
		t.Run(rule, func(t *testing.T) {
			c.client.InsecureSkipVerify = true // the server certificate is not under test
			transport := &http.Transport{TLSClientConfig: c.client}
			defer transport.CloseIdleConnections()
			response, err := (&http.Client{Transport: transport}).Post(c.server+config.PathLabelPods, "application/json", strings.NewReader("no review"))
			if err != nil {
				if !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %s", err, c.want)
				}
				return
			}
			defer response.Body.Close()
			body, _ := io.ReadAll(response.Body)
			if got := fmt.Sprint(response.StatusCode); got != c.want {
				t.Errorf("got %s, want %s: %s", got, c.want, body)
			}
		})
	}
}

// TestHTTP2: HTTP/2 is off by default, and connections are reused with and without it.
func TestHTTP2(t *testing.T) {
	for want, secure := range map[string]serving.TLS{"HTTP/1.1": {}, "HTTP/2.0": {HTTP2: true}} {
		t.Run(want, func(t *testing.T) {
			url := serveTLS(t, secure) + config.PathLabelPods
			transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
			defer transport.CloseIdleConnections()
			for i := range 3 {
				reused := false
				trace := &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { reused = c.Reused }}
				request, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodPost, url, strings.NewReader(review))
				if err != nil {
					t.Fatal(err)
				}
				request.Header.Set("Content-Type", "application/json")
				response, err := transport.RoundTrip(request)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, response.Body)
				response.Body.Close()
				if response.Proto != want || response.StatusCode != http.StatusOK || reused != (i > 0) {
					t.Errorf("call %d: %s %s, on a connection that was there: %t", i+1, response.Proto, response.Status, reused)
				}
			}
		})
	}
}

// review is of a pod that is not Flink's.
const review = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","namespace":"flink","operation":"CREATE","object":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"}}}}`

// serveTLS returns the URL of a server.
func serveTLS(t *testing.T, secure serving.TLS) string {
	t.Helper()
	certificate, err := certs.NewMemory("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	secure.Certificate = certificate.GetCertificate
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	handlers := webhook.New(webhook.Options{Registry: fixtures.Index(t, "flink", nil), Log: slog.New(slog.DiscardHandler)}).Handlers()
	server, err := serving.New(address, secure, slog.New(slog.DiscardHandler), handlers)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(t.Context(), listener) }()
	eventually.OK(t, server.Ready)
	t.Cleanup(func() {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "https://" + address
}

func newCA(t *testing.T) *rotation.Signer {
	t.Helper()
	ca, err := rotation.NewCA(time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// client returns the configuration of a client with a certificate.
func client(t *testing.T, ca *rotation.Signer, name string) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, ca.Cert, key.Public(), ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	// It is shown whether or not the server names its CA.
	return &tls.Config{GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
	}}
}
