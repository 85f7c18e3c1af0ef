package cluster

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Start starts a cluster for one test and stops it when the test ends. The logs
// of a test that fails end with those of the components.
func Start(t testing.TB) *Cluster {
	t.Helper()
	return StartWith(t, Options{})
}

// StartWith is Start for a test that needs something special of its cluster.
func StartWith(t testing.TB, o Options) *Cluster {
	t.Helper()
	c, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.reportTo(t)
		if err := c.Stop(); err != nil {
			t.Errorf("stop the control plane: %v", err)
		}
	})
	return c
}

// shared is started by the first test that wants it.
var shared = sync.OnceValues(func() (*Cluster, error) {
	return New(context.Background(), Options{})
})

// Shared returns the cluster that all tests of a package share. It starts when
// the first test asks for it, so a run of other tests does not pay for it, and
// needs no TestMain: the end of the test process is its end.
func Shared(t testing.TB) *Cluster {
	t.Helper()
	c, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.reportTo(t) })
	return c
}

func (c *Cluster) reportTo(t testing.TB) {
	if t.Failed() {
		t.Log(c.Logs())
	}
}

// kubectlLimit is how long one kubectl may take.
const kubectlLimit = time.Minute

// RunKubectl runs kubectl with a text on its standard input, and returns all that it
// prints.
func (c *Cluster) RunKubectl(t testing.TB, input string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), kubectlLimit)
	defer cancel()
	cmd := c.KubectlCommand(ctx, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// MustKubectl is RunKubectl of what is to succeed.
func (c *Cluster) MustKubectl(t testing.TB, input string, args ...string) string {
	t.Helper()
	out, err := c.RunKubectl(t, input, args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// namespaceLimit is how long a namespace may take to get its ServiceAccount,
// which is a matter of milliseconds.
const namespaceLimit = 30 * time.Second

// Namespace makes a namespace for a test, named after it, in which pods can be
// created at once. It is deleted when the test ends; nobody waits for that.
func (c *Cluster) Namespace(t testing.TB) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), namespaceLimit)
	defer cancel()
	namespaces := c.client.CoreV1().Namespaces()
	made, err := namespaces.Create(ctx, &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: namePrefix(t.Name())},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("make a namespace: %v", err)
	}
	t.Cleanup(func() {
		err := namespaces.Delete(context.Background(), made.Name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Logf("delete namespace %s: %v", made.Name, err)
		}
	})
	for hasAccount := c.serviceAccountIn(made.Name); ; time.Sleep(10 * time.Millisecond) {
		if err = hasAccount(ctx); err == nil {
			return made.Name
		}
		if ctx.Err() != nil {
			t.Fatalf("namespace %s got no default ServiceAccount: %v", made.Name, err)
		}
	}
}

// namePrefix makes the start of a namespace's name from that of a test:
// "TestGate/no target" becomes "testgate-no-target-".
func namePrefix(test string) string {
	words := strings.FieldsFunc(strings.ToLower(test), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	name := strings.Join(words, "-")
	return fmt.Sprintf("%.40s-", name)
}
