package server

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"drey.dev/drey/certs/rotation"
	configv1alpha1 "drey.dev/drey/config/v1alpha1"
)

// TestWebhookTLS checks the TLS configuration of the webhooks from their options.
func TestWebhookTLS(t *testing.T) {
	ca, err := rotation.NewCA(time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	valid, empty := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "empty")
	if err := os.WriteFile(valid, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(empty, []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	for rule, c := range map[string]struct {
		minVersion, file string
		want             uint16
		ca               bool
		says             string // an error
	}{
		"default":             {"", "", tls.VersionTLS13, false, ""},
		"TLS 1.3":             {"1.3", "", tls.VersionTLS13, false, ""},
		"TLS 1.2":             {"1.2", "", tls.VersionTLS12, false, ""},
		"client CA":           {"", valid, tls.VersionTLS13, true, ""},
		"file does not exist": {"", filepath.Join(dir, "none"), 0, false, "--webhook-client-ca: open "},
		"no certificate":      {"", empty, 0, false, "no certificate in it; want PEM"},
	} {
		t.Run(rule, func(t *testing.T) {
			o := &Options{}
			o.config.Webhooks.TLS.MinVersion, o.config.Webhooks.TLS.ClientCAFile, o.config.Webhooks.TLS.ClientName = c.minVersion, c.file, "apiserver"
			got, err := o.webhookTLS(nil)
			if (err != nil) != (c.says != "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v, want %s", err, c.says)
			}
			if err == nil && (got.MinVersion != c.want || (got.ClientCAs != nil) != c.ca || got.ClientName != "apiserver") {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// TestLogFormat checks the format and the level of the log.
func TestLogFormat(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		log, err := newLogger(&out, configv1alpha1.LoggingConfiguration{Level: "warn", Format: format})
		if err != nil {
			t.Fatal(err)
		}
		log.Info("not logged")
		log.Warn("logged", "namespace", "flink")
		var line map[string]any
		if isJSON := json.Unmarshal(out.Bytes(), &line) == nil; isJSON != (format == "json") || !strings.Contains(out.String(), "flink") || strings.Contains(out.String(), "not logged") {
			t.Errorf("%s: %s", format, &out)
		}
	}
	if _, err := newLogger(&bytes.Buffer{}, configv1alpha1.LoggingConfiguration{Level: "loud"}); err == nil {
		t.Error("unknown level")
	}
}

// TestCookieKey checks that replicas share the key of the console's cookies.
func TestCookieKey(t *testing.T) {
	secret := func(key string) *corev1.Secret {
		return &corev1.Secret{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, Data: map[string][]byte{cookieKeyField: []byte(key)}}
	}
	stored := strings.Repeat("k", 32)
	for rule, c := range map[string]struct {
		found   *corev1.Secret
		another bool // replica creates it first
		says    string
	}{
		"of another replica": {secret(stored), false, ""},
		"first replica":      {nil, false, ""},
		"created meanwhile":  {nil, true, ""},
		"too short":          {secret("short"), false, "has 5 bytes in cookie-key, want 32: delete it, and restart drey"},
	} {
		t.Run(rule, func(t *testing.T) {
			var created []byte
			found := c.found
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				status := func(code int, reason metav1.StatusReason) {
					w.WriteHeader(code)
					_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: "Failure", Code: int32(code), Reason: reason})
				}
				switch {
				case r.Method == http.MethodGet && found == nil:
					status(http.StatusNotFound, metav1.StatusReasonNotFound)
				case r.Method == http.MethodPost && c.another:
					found = secret(stored)
					status(http.StatusConflict, metav1.StatusReasonAlreadyExists)
				case r.Method == http.MethodPost:
					found = &corev1.Secret{}
					_ = json.NewDecoder(r.Body).Decode(found)
					created = found.Data[cookieKeyField]
					_ = json.NewEncoder(w).Encode(found)
				default:
					_ = json.NewEncoder(w).Encode(found)
				}
			}))
			defer api.Close()
			s := &server{cluster: &rest.Config{Host: api.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}, options: Options{}}
			key, err := s.cookieKey(t.Context())
			if (err != nil) != (c.says != "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v, want %s", err, c.says)
			}
			want := stored
			if rule == "first replica" {
				want = string(created)
			}
			if err == nil && (string(key) != want || len(key) != 32) {
				t.Errorf("got %q, want %q", key, want)
			}
		})
	}
}
