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

// TestCertsForeignObjects has a Secret and a webhook configuration with drey's names and
// without its label: drey leaves them unchanged, is not ready, and names the command that
// resolves each conflict.
func TestCertsForeignObjects(t *testing.T) {
	t.Parallel()
	c := ownCluster(t)
	home := c.Namespace(t)
	client := kubernetes.NewForConfigOrDie(c.Config())
	foreign, err := client.CoreV1().Secrets(home).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "drey-certs"}, Data: map[string][]byte{"password": []byte("x")},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	configurations := client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	unlabeled := webhookconfig.Validating(webhookconfig.ByURL("https://192.0.2.1", nil, ""), webhookconfig.SystemNamespaces)
	unlabeled.Labels = nil
	before, err := configurations.Create(t.Context(), unlabeled, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := runCerts(ctx, t, c.Config(), home)
	eventually.OK(t, func() error {
		if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "kubectl delete secret -n "+home+" drey-certs") {
			return fmt.Errorf("readiness: got %w, want the command that deletes the Secret", err)
		}
		return nil
	})
	if err := client.CoreV1().Secrets(home).Delete(t.Context(), "drey-certs", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually.OK(t, func() error {
		if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "kubectl label validatingwebhookconfiguration drey app.kubernetes.io/name=drey") {
			return fmt.Errorf("readiness: got %w, want the command that labels the configuration", err)
		}
		return nil
	})
	if now, err := configurations.Get(t.Context(), "drey", metav1.GetOptions{}); err != nil || now.ResourceVersion != before.ResourceVersion {
		t.Errorf("webhook configuration: got %v, %v, want it unchanged", now, err)
	}
	eventually.OK(t, func() error {
		if now, err := client.CoreV1().Secrets(home).Get(t.Context(), "drey-certs", metav1.GetOptions{}); err != nil || now.UID == foreign.UID {
			return fmt.Errorf("drey has not created its Secret: %w", err)
		}
		return nil
	})
	if out, err := c.KubectlCommand(t.Context(), "label", "validatingwebhookconfiguration", "drey", "app.kubernetes.io/name=drey").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	eventually.OK(t, func() error {
		if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "192.0.2.1") {
			return fmt.Errorf("readiness: got %w, want that the certificate is not valid for 192.0.2.1", err)
		}
		return nil
	})
}

// TestCertsLeastPrivilege runs self-signed certificates as a user with the rights that
// package certs documents, and no others. After the Secret is deleted, drey issues another
// certificate and stays ready: the CA bundle keeps the old CA.
func TestCertsLeastPrivilege(t *testing.T) {
	t.Parallel()
	c := ownCluster(t)
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
			_, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(t.Context(), webhookconfig.Mutating(webhookconfig.ByURL("https://127.0.0.1:9443", nil, ""), webhookconfig.SystemNamespaces, "drey"), metav1.CreateOptions{})
			return err
		},
		func() error {
			_, err := client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(t.Context(), webhookconfig.Validating(webhookconfig.ByURL("https://127.0.0.1:9443", nil, ""), webhookconfig.SystemNamespaces), metav1.CreateOptions{})
			return err
		},
	} {
		if err := create(); err != nil {
			t.Fatal(err)
		}
	}
	s := runCerts(t.Context(), t, user, home)
	eventually.OK(t, s.Ready)
	before, err := s.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.CoreV1().Secrets(home).Delete(t.Context(), "drey-certs", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually.OK(t, func() error {
		if err := s.Ready(); err != nil {
			t.Fatalf("not ready after the Secret was deleted: %v", err)
		}
		after, err := s.GetCertificate(nil)
		if err != nil || after.Leaf.Equal(before.Leaf) {
			return fmt.Errorf("the certificate is still the old one: %w", err)
		}
		return nil
	})
}

// runCerts runs self-signed certificates as replica and as leader until ctx ends.
func runCerts(ctx context.Context, t *testing.T, config *rest.Config, home string) *certs.SelfSigned {
	t.Helper()
	s, err := certs.NewSelfSigned(certs.Options{
		Cluster: config, Namespace: home, Configuration: webhookconfig.Name, Hosts: []string{"127.0.0.1"},
		CAPropagationDelay: time.Second, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
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

// grant binds a Role in a namespace and a ClusterRole to a user.
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

// TestWebhookClientCertificate has an API server that presents a client certificate to
// webhooks, and a drey that requires it: other clients get 401.
func TestWebhookClientCertificate(t *testing.T) {
	t.Parallel()
	program, err := buildDrey()
	if err != nil {
		t.Fatal(err)
	}
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
	d, err := drey.Start(t.Context(), drey.Options{Program: program, Cluster: c, DataDir: dir, Args: []string{"--webhook-client-ca", file("ca.crt", string(ca)), "--webhook-client-name", "apiserver"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Stop() })
	namespace := c.Namespace(t)
	checkDenied := func(args ...string) error {
		cmd := c.KubectlCommand(t.Context(), append([]string{"apply", "-n", namespace, "-f", "-"}, args...)...)
		cmd.Stdin = strings.NewReader(jobManager)
		// A failed call has another message.
		if out, err := cmd.CombinedOutput(); err == nil && len(args) == 0 || !strings.Contains(string(out), "has no DeploymentTarget") {
			return fmt.Errorf("got %w: %s, want a denial by drey", err, out)
		}
		return nil
	}
	eventually.OK(t, func() error { return checkDenied("--dry-run=server") }) // the API server follows configurations by a watch
	if err := checkDenied(); err != nil {
		t.Error(err)
	}
	anonymous := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	response, err := anonymous.Post(d.Webhook+webhookconfig.PathValidateWorkloads, "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		t.Errorf("client without a certificate: got %s, want 401", response.Status)
	}
}

// clientCertificate issues a client certificate and its CA, in PEM.
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
