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

func TestWhoMayCallTheWebhooks(t *testing.T) {
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
		"without a CA of clients, anybody may":        {anybody, &tls.Config{}, "400"},
		"a certificate that nobody asked for is fine": {anybody, client(t, other, "anyone"), "400"},
		"with one, who has no certificate may not":    {vouched, &tls.Config{}, "401"},
		"who has one of another CA may not":           {vouched, client(t, other, "apiserver"), "certificate"},
		"who has one of that CA may":                  {vouched, client(t, ca, "anyone"), "400"},
		"with a name, another may not":                {named, client(t, ca, "anyone"), "403"},
		"and who has that name may":                   {named, client(t, ca, "apiserver"), "400"},
		"TLS 1.2 is refused":                          {anybody, &tls.Config{MaxVersion: tls.VersionTLS12}, "protocol version"},
		"unless it is asked for":                      {old, &tls.Config{MaxVersion: tls.VersionTLS12}, "400"},
	} {
		t.Run(rule, func(t *testing.T) {
			c.client.InsecureSkipVerify = true // whom the caller trusts is not what this is about
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
