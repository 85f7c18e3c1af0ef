package webhook_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"drey.dev/drey/certs"
	"drey.dev/drey/certs/rotation"
	"drey.dev/drey/webhook"
	"drey.dev/drey/webhook/config"
)

func TestServerClientCertificate(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	pool := x509.NewCertPool()
	pool.AddCert(ca.Cert)
	anybody := serveTLS(t, webhook.TLS{})
	vouched := serveTLS(t, webhook.TLS{ClientCAs: pool})
	named := serveTLS(t, webhook.TLS{ClientCAs: pool, ClientName: "apiserver"})
	old := serveTLS(t, webhook.TLS{MinVersion: tls.VersionTLS12})
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

// serveTLS returns the URL of a server.
func serveTLS(t *testing.T, secure webhook.TLS) string {
	t.Helper()
	serving, err := certs.NewMemory("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	secure.Certificate = serving.GetCertificate
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	server, err := webhook.NewServer(address, secure, newWebhooks(t, nil, webhook.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Run(t.Context()) }()
	for deadline := time.Now().Add(10 * time.Second); server.Ready() != nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(server.Ready())
		}
	}
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
