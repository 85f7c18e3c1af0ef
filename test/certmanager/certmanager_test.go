package certmanager

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	cmclient "github.com/cert-manager/cert-manager/pkg/client/clientset/versioned"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"

	"drey.dev/drey/certs"
	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/eventually"
	soak "drey.dev/drey/test/soak/certs"
	"drey.dev/drey/webhook/config"
)

var soakFor = flag.Duration("soak", 30*time.Second, "duration of the rotations under load")

// TestCertManagerRotation renews the CA and the serving certificate every 20 s, as
// `cmctl renew` does, while pods are created. Drey detects cert-manager. No call may fail.
func TestCertManagerRotation(t *testing.T) {
	c := cluster.Start(t)
	Start(t, c)
	program, err := drey.BuildIn(t.Context(), "../..", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	home := c.Namespace(t)
	client := cmclient.NewForConfigOrDie(c.Config())
	soak.Run(t, soak.Options{
		Cluster: c, Program: program, Home: home, Args: []string{"--namespace", home, "--ca-propagation-delay", "1s"},
		For: *soakFor, Rotations: int(*soakFor / (22 * time.Second)),
		Meanwhile: func(ctx context.Context) {
			for tick := time.Tick(20 * time.Second); ctx.Err() == nil; {
				for _, name := range []string{"drey-ca", certs.ServingName} {
					if err := renew(ctx, client, home, name); err != nil && ctx.Err() == nil {
						t.Errorf("renew %s: %v", name, err)
					}
				}
				select {
				case <-tick:
				case <-ctx.Done():
				}
			}
		},
	})
	kept, err := kubernetes.NewForConfigOrDie(c.Config()).AdmissionregistrationV1().MutatingWebhookConfigurations().Get(t.Context(), "drey", metav1.GetOptions{})
	if err != nil || kept.Annotations[cmapi.WantInjectAnnotation] != home+"/"+certs.ServingName {
		t.Errorf("got the annotations %v, %v, want that of cainjector", kept.Annotations, err)
	}
}

// renew triggers the issuance of a certificate, and waits until it is done.
func renew(ctx context.Context, client cmclient.Interface, namespace, name string) error {
	all := client.CertmanagerV1().Certificates(namespace)
	var revision *int
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error { // cert-manager writes the status as well
		c, err := all.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		revision = c.Status.Revision
		now := metav1.Now()
		c.Status.Conditions = append(c.Status.Conditions, cmapi.CertificateCondition{
			Type: cmapi.CertificateConditionIssuing, Status: cmmeta.ConditionTrue, Reason: "ManuallyTriggered", LastTransitionTime: &now, ObservedGeneration: c.Generation,
		})
		_, err = all.UpdateStatus(ctx, c, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return err
	}
	for {
		c, err := all.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if c.Status.Revision != nil && (revision == nil || *c.Status.Revision > *revision) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// TestCertManagerRBAC runs the cert-manager mode as a user with the permissions that
// package certs documents. A foreign Secret with the name of drey's is not changed, and
// deleted Secrets are issued again without a loss of trust.
func TestCertManagerRBAC(t *testing.T) {
	c := cluster.Start(t)
	Start(t, c)
	home := c.Namespace(t)
	client := kubernetes.NewForConfigOrDie(c.Config())
	user, err := c.NewUser("drey")
	if err != nil {
		t.Fatal(err)
	}
	grant(t, client, home, "drey")
	if _, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(t.Context(), config.Mutating(config.ByURL("https://127.0.0.1:9443", nil, ""), config.SystemNamespaces, "drey"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	foreign, err := client.CoreV1().Secrets(home).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "drey-ca"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := certs.NewCertManager(certs.Options{
		Cluster: user, Namespace: home, Configuration: config.Name, Hosts: []string{"127.0.0.1"},
		CAPropagationDelay: time.Second, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var parts sync.WaitGroup
	parts.Go(func() { _ = m.Run(ctx) })
	parts.Go(func() { _ = m.Lead(ctx) })
	t.Cleanup(func() { stop(); parts.Wait() })

	eventually.OK(t, func() error {
		if err := m.Ready(); err == nil || !strings.Contains(err.Error(), "kubectl describe certificate -n "+home) {
			return fmt.Errorf("got %v, want the command that shows the cause", err)
		}
		return nil
	})
	time.Sleep(2 * time.Second) // time for a wrong write
	if now, err := client.CoreV1().Secrets(home).Get(t.Context(), "drey-ca", metav1.GetOptions{}); err != nil || now.ResourceVersion != foreign.ResourceVersion {
		t.Fatalf("got a change of the foreign Secret: %v, %v", now, err)
	}
	if err := client.CoreV1().Secrets(home).Delete(t.Context(), "drey-ca", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually.OK(t, m.Ready)

	// Manual renewal, as documented: the serving certificate stays trusted.
	before, err := m.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"drey-ca", certs.ServingName} {
		old, err := client.CoreV1().Secrets(home).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := client.CoreV1().Secrets(home).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		eventually.OK(t, func() error {
			if err := m.Ready(); err != nil {
				t.Fatalf("got not ready during the renewal: %v", err)
			}
			now, err := client.CoreV1().Secrets(home).Get(t.Context(), name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if now.UID == old.UID || len(now.Data["tls.crt"]) == 0 {
				return fmt.Errorf("got no new Secret %q", name)
			}
			return nil
		})
	}
	eventually.OK(t, func() error {
		if err := m.Ready(); err != nil {
			t.Fatalf("got not ready during the renewal: %v", err)
		}
		if after, err := m.GetCertificate(nil); err != nil || after.Leaf.Equal(before.Leaf) {
			return fmt.Errorf("got the old certificate: %w", err)
		}
		return nil
	})
}

// grant grants a user the permissions that package certs documents.
func grant(t *testing.T, client kubernetes.Interface, namespace, user string) {
	t.Helper()
	subjects := []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}}
	name := metav1.ObjectMeta{Name: user}
	rbac := client.RbacV1()
	_, err := rbac.Roles(namespace).Create(t.Context(), &rbacv1.Role{ObjectMeta: name, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"drey-serving"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"drey-ca"}, Verbs: []string{"get"}},
		{APIGroups: []string{"cert-manager.io"}, Resources: []string{"issuers", "certificates"}, ResourceNames: []string{"drey-bootstrap", "drey-ca", "drey-serving"}, Verbs: []string{"get", "create", "patch"}},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rbac.RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{ObjectMeta: name, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: user}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err = rbac.ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: name, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"admissionregistration.k8s.io"}, Resources: []string{"mutatingwebhookconfigurations", "validatingwebhookconfigurations"}, ResourceNames: []string{"drey"}, Verbs: []string{"get", "list", "watch", "patch"}},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rbac.ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: name, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: user}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}
