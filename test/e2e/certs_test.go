package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"drey.dev/drey/certs"
	"drey.dev/drey/certs/rotation"
	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/eventually"
	webhookconfig "drey.dev/drey/webhook/config"
)

// TestCertsForeignObjects has a Secret and a webhook configuration of
// drey's names that somebody else made.
func TestCertsForeignObjects(t *testing.T) {
	c := cluster.Start(t)
	home := c.Namespace(t)
	client := kubernetes.NewForConfigOrDie(c.Config())
	foreign, err := client.CoreV1().Secrets(home).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "drey-certs"}, Data: map[string][]byte{"password": []byte("x")},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	configurations := client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	theirs := webhookconfig.Validating(webhookconfig.ByURL("https://192.0.2.1", nil), webhookconfig.SystemNamespaces)
	theirs.Labels = nil
	kept, err := configurations.Create(t.Context(), theirs, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := runCerts(ctx, t, c.Config(), home)
	eventually.OK(t, 10*time.Second, func() error {
		if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "kubectl delete secret -n "+home+" drey-certs") {
			return fmt.Errorf("got %w, want the command that removes the Secret", err)
		}
		return nil
	})
	if err := client.CoreV1().Secrets(home).Delete(t.Context(), "drey-certs", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually.OK(t, 20*time.Second, func() error {
		if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "kubectl label validatingwebhookconfiguration drey app.kubernetes.io/name=drey") {
			return fmt.Errorf("got %w, want the command that labels the configuration", err)
		}
		return nil
	})
	if now, err := configurations.Get(t.Context(), "drey", metav1.GetOptions{}); err != nil || now.ResourceVersion != kept.ResourceVersion {
		t.Errorf("the configuration has changed: %v, %v", now, err)
	}
	eventually.OK(t, 20*time.Second, func() error {
		if now, err := client.CoreV1().Secrets(home).Get(t.Context(), "drey-certs", metav1.GetOptions{}); err != nil || now.UID == foreign.UID {
			return fmt.Errorf("drey has not made its Secret: %w", err)
		}
		return nil
	})
	if out, err := c.KubectlCommand(t.Context(), "label", "validatingwebhookconfiguration", "drey", "app.kubernetes.io/name=drey").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	eventually.OK(t, 20*time.Second, func() error {
		if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "192.0.2.1") {
			return fmt.Errorf("got %w, want that the certificate is for another host", err)
		}
		return nil
	})
}

// TestCertsLeastPrivilege runs self-signed certificates as a
// user that may do what package certs says, and nothing else. Then the Secret
// is lost, and what is trusted stays trusted.
func TestCertsLeastPrivilege(t *testing.T) {
	c := cluster.Start(t)
	home := c.Namespace(t)
	client := kubernetes.NewForConfigOrDie(c.Config())
	user, err := c.NewUser("drey-of-" + home)
	if err != nil {
		t.Fatal(err)
	}
	grant(t, client, home, "drey-of-"+home,
		[]rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"drey-certs"}, Verbs: []string{"get", "list", "watch", "update"}},
			{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"create"}},
		},
		[]rbacv1.PolicyRule{
			{APIGroups: []string{"admissionregistration.k8s.io"}, Resources: []string{"mutatingwebhookconfigurations", "validatingwebhookconfigurations"}, ResourceNames: []string{"drey"}, Verbs: []string{"get", "list", "watch", "patch"}},
		})
	for _, create := range []func() error{
		func() error {
			_, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(t.Context(), webhookconfig.Mutating(webhookconfig.ByURL("https://127.0.0.1:9443", nil), webhookconfig.SystemNamespaces), metav1.CreateOptions{})
			return err
		},
		func() error {
			_, err := client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(t.Context(), webhookconfig.Validating(webhookconfig.ByURL("https://127.0.0.1:9443", nil), webhookconfig.SystemNamespaces), metav1.CreateOptions{})
			return err
		},
	} {
		if err := create(); err != nil {
			t.Fatal(err)
		}
	}
	s := runCerts(t.Context(), t, user, home)
	eventually.OK(t, 20*time.Second, s.Ready)
	before, err := s.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.CoreV1().Secrets(home).Delete(t.Context(), "drey-certs", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually.OK(t, 30*time.Second, func() error {
		if err := s.Ready(); err != nil {
			t.Fatalf("what was trusted is not any more: %v", err)
		}
		after, err := s.GetCertificate(nil)
		if err != nil || after.Leaf.Equal(before.Leaf) {
			return fmt.Errorf("still the old certificate: %w", err)
		}
		return nil
	})
}

// runCerts runs both halves of self-signed certificates until ctx ends.
func runCerts(ctx context.Context, t *testing.T, config *rest.Config, home string) *certs.SelfSigned {
	t.Helper()
	s, err := certs.NewSelfSigned(certs.Options{
		Cluster: config, Namespace: home, Configuration: webhookconfig.Name, Hosts: []string{"127.0.0.1"},
		Settle: time.Second, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(ctx)
	var parts sync.WaitGroup
	parts.Go(func() { _ = s.Run(ctx) })
	parts.Go(func() { _ = s.Lead(ctx) })
	t.Cleanup(func() { stop(); parts.Wait() })
	return s
}

// grant binds rules in a namespace, and rules for the cluster, to a user.
func grant(t *testing.T, client kubernetes.Interface, namespace, user string, local, global []rbacv1.PolicyRule) {
	t.Helper()
	subjects := []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}}
	name := metav1.ObjectMeta{Name: user, Namespace: namespace}
	rbac := client.RbacV1()
	if _, err := rbac.Roles(namespace).Create(t.Context(), &rbacv1.Role{ObjectMeta: name, Rules: local}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := rbac.RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{ObjectMeta: name, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: user}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	name.Namespace = ""
	if _, err := rbac.ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: name, Rules: global}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := rbac.ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: name, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: user}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// TestWebhookClientCertificate has one API server that shows
// webhooks a certificate, and a drey that takes no other.
func TestWebhookClientCertificate(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca, cert, key := clientCertificate(t, "apiserver")
	kubeconfig := file("kubeconfig", fmt.Sprintf(`apiVersion: v1
kind: Config
users:
- name: "*"
  user: {client-certificate-data: %s, client-key-data: %s}
`, base64.StdEncoding.EncodeToString(cert), base64.StdEncoding.EncodeToString(key)))
	admission := "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n"
	for _, plugin := range []string{"MutatingAdmissionWebhook", "ValidatingAdmissionWebhook"} {
		admission += fmt.Sprintf("- name: %s\n  configuration: {apiVersion: apiserver.config.k8s.io/v1, kind: WebhookAdmissionConfiguration, kubeConfigFile: %s}\n", plugin, kubeconfig)
	}
	c := cluster.StartWith(t, cluster.Options{APIServerArgs: []string{"--admission-control-config-file=" + file("admission.yaml", admission)}})
	d, err := drey.Start(t.Context(), drey.Options{Cluster: c, DataDir: dir, Args: []string{"--webhook-client-ca", file("ca.crt", string(ca)), "--webhook-client-name", "apiserver"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Stop() })
	namespace := c.Namespace(t)
	isDenied := func(args ...string) error {
		cmd := c.KubectlCommand(t.Context(), append([]string{"apply", "-n", namespace, "-f", "-"}, args...)...)
		cmd.Stdin = strings.NewReader(jobManager)
		// The denial is drey's own: it answered.
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "has no DeploymentTarget") {
			return fmt.Errorf("got %w: %s", err, out)
		}
		return nil
	}
	eventually.OK(t, 30*time.Second, func() error { return isDenied("--dry-run=server") }) // the API server learns of a webhook within a second or so
	if err := isDenied(); err != nil {
		t.Error(err)
	}
	stranger := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	response, err := stranger.Post(d.Webhook+webhookconfig.PathValidateWorkloads, "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		t.Errorf("a stranger got %s", response.Status)
	}
}

// clientCertificate makes a client certificate, and the CA that vouches for it,
// in PEM.
func clientCertificate(t *testing.T, name string) (ca, cert, key []byte) {
	t.Helper()
	signer, err := rotation.NewCA(time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, signer.Cert, private.Public(), signer.Key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	text := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	return text("CERTIFICATE", signer.Cert.Raw), text("CERTIFICATE", der), text("PRIVATE KEY", keyDER)
}
