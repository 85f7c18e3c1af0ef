package cluster

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Start starts a cluster and stops it when the test ends. If the test fails, it logs the end
// of the components' logs.
func Start(t testing.TB) *Cluster {
	t.Helper()
	return StartWith(t, Options{})
}

// StartWith is [Start] with options.
func StartWith(t testing.TB, o Options) *Cluster {
	t.Helper()
	c, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.logOnFailure(t)
		if err := c.Stop(); err != nil {
			t.Errorf("stop the control plane: %v", err)
		}
	})
	return c
}

// parallelTests is the number of parallel tests of a package, which mostly wait for the control
// plane.
const parallelTests = "6"

// RaiseParallel sets the flag -parallel of go test, unless the command line states it. TestMain calls
// it before it runs the tests.
func RaiseParallel() {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set(parallelTests) // is a number
	}
}

// shared starts the cluster of [Shared].
var shared = sync.OnceValues(func() (*Cluster, error) {
	return New(context.Background(), Options{})
})

// Shared returns the cluster that all tests of a package share. The first call starts it; it
// stops with the test process and needs no TestMain.
func Shared(t testing.TB) *Cluster {
	t.Helper()
	c, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.logOnFailure(t) })
	return c
}

func (c *Cluster) logOnFailure(t testing.TB) {
	if t.Failed() {
		t.Log(c.Logs())
	}
}

// kubectlTimeout bounds one kubectl command.
const kubectlTimeout = 3 * time.Minute

// waitTimeout replaces the 30 s of kubectl wait, which are not much on a slow, busy machine.
const waitTimeout = "--timeout=2m"

// RunKubectl runs kubectl with input on standard input and returns its combined output.
func (c *Cluster) RunKubectl(t testing.TB, input string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), kubectlTimeout)
	defer cancel()
	if slices.Contains(args, "wait") {
		args = append(slices.Clip(args), waitTimeout)
	}
	cmd := c.KubectlCommand(ctx, args...)
	if strings.HasPrefix(input, "{") && !json.Valid([]byte(input)) {
		input = "---\n" + input // kubectl 1.30 decodes input that begins with a brace as JSON
	}
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// MustKubectl is [Cluster.RunKubectl] that fails the test after an error.
func (c *Cluster) MustKubectl(t testing.TB, input string, args ...string) string {
	t.Helper()
	out, err := c.RunKubectl(t, input, args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// namespaceTimeout bounds the creation of a namespace and its ServiceAccount, which takes
// milliseconds.
const namespaceTimeout = 2 * time.Minute

// Namespace creates a namespace with a name derived from the test's. It returns when pods can
// be created there. The namespace is deleted, without waiting, when the test ends, unless the cluster
// has [Options.KeepNamespaces].
func (c *Cluster) Namespace(t testing.TB) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), namespaceTimeout)
	defer cancel()
	namespaces := c.core.Namespaces()
	created, err := namespaces.Create(ctx, &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: namePrefix(t.Name())},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("create namespace: %v", err)
	}
	t.Cleanup(func() {
		if c.options.KeepNamespaces {
			return
		}
		err := namespaces.Delete(context.Background(), created.Name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Logf("delete namespace %s: %v", created.Name, err)
		}
	})
	for hasAccount := c.serviceAccountIn(created.Name); ; time.Sleep(10 * time.Millisecond) {
		if err = hasAccount(ctx); err == nil {
			return created.Name
		}
		if ctx.Err() != nil {
			t.Fatalf("namespace %s has no default ServiceAccount: %v", created.Name, err)
		}
	}
}

// namePrefix returns the generateName for a test: "testgate-no-target-" for
// "TestGate/no target".
func namePrefix(test string) string {
	words := strings.FieldsFunc(strings.ToLower(test), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	name := strings.Join(words, "-")
	return fmt.Sprintf("%.40s-", name)
}
