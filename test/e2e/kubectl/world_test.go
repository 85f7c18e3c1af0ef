// Package kubectl tests access to drey's custom resources: the real program keeps the
// registry in the cluster, and users with limited RBAC write to it through kubectl and
// the REST API.
package kubectl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/drey/installed"
)

// world is a control plane with drey, whose registry is in the cluster.
type world struct {
	*cluster.Cluster
	drey *drey.Drey
}

// shared starts the world of most tests; each test has its own namespaces.
var shared = sync.OnceValues(func() (*world, error) {
	var err error
	started, err = newWorld(context.Background())
	return started, err
})

// started is the shared world, nil until a test starts it.
var started *world

// newWorld runs drey as the manifests do, under its own ServiceAccount. The webhook
// exempts that account alone, so it also checks the administrator of these tests.
func newWorld(ctx context.Context) (*world, error) {
	dir, err := os.MkdirTemp("", "drey-audit-")
	if err != nil {
		return nil, err
	}
	if audit, err = installed.NewAuditLog(dir); err != nil {
		return nil, err
	}
	c, err := cluster.New(ctx, cluster.Options{APIServerArgs: audit.APIServerArgs()})
	if err != nil {
		return nil, err
	}
	d, err := installed.Start(ctx, drey.Options{Cluster: c, DataDir: c.Dir(), Args: []string{"--rest-auth", "cluster", "--platform-namespace-quota", quota}}, bundle.Defaults())
	return &world{c, d}, err
}

// audit is the API server's audit log, which shows what RBAC forbade drey.
var audit *installed.AuditLog

func TestMain(m *testing.M) {
	code := m.Run()
	if started != nil {
		if err := errors.Join(started.drey.Stop(), audit.Forbidden(), audit.Remove(), started.Stop()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// sharedWorld returns the shared world. A test that fails ends with drey's log.
func sharedWorld(t *testing.T) *world {
	t.Helper()
	w, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	w.drey.LogOnFailure(t)
	return w
}

// wantDenied runs kubectl, and fails the test unless kubectl fails and prints want.
func (w *world) wantDenied(t testing.TB, want, manifest string, args ...string) string {
	t.Helper()
	out, err := w.RunKubectl(t, manifest, args...)
	if err == nil || !strings.Contains(out, want) {
		t.Errorf("kubectl %s: got %v\n%s\nwant a denial with %q", strings.Join(args, " "), err, out, want)
	}
	return out
}

// user is a ServiceAccount that acts through kubectl (impersonation) and REST (token).
type user struct {
	*world
	name  string // user name in Kubernetes
	token string
}

// admin creates a user with the ClusterRole admin, and all verbs on drey's resources, in
// one namespace.
func (w *world) admin(t testing.TB, namespace string) user {
	t.Helper()
	w.MustKubectl(t, strings.ReplaceAll(namespaceAdmin, "HOME", namespace), "apply", "-f", "-")
	return user{w, "system:serviceaccount:" + namespace + ":admin", strings.TrimSpace(w.MustKubectl(t, "", "create", "token", "admin", "-n", namespace))}
}

const namespaceAdmin = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: admin, namespace: HOME}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: admin, namespace: HOME}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}
subjects: [{kind: ServiceAccount, name: admin, namespace: HOME}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: registry, namespace: HOME}
rules:
- {apiGroups: [drey.dev], resources: ["*"], verbs: ["*"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: registry, namespace: HOME}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: registry}
subjects: [{kind: ServiceAccount, name: admin, namespace: HOME}]
`

// as prepends the flags that impersonate the user in a namespace.
func (p user) as(namespace string, args ...string) []string {
	return append([]string{"--as=" + p.name, "-n", namespace}, args...)
}

// apiError is the error of a REST response.
type apiError struct {
	Reason, Message string
}

// call sends a REST request with the user's token.
func (p user) call(t testing.TB, method, path, body string) (status int, failure apiError) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, p.drey.REST+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+p.token)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &failure); err != nil {
		t.Fatalf("%s %s: %v: %s", method, path, err, text)
	}
	return response.StatusCode, failure
}

// targetYAML returns a DeploymentTarget. restName and namespace may be empty.
func targetYAML(name, restName, namespace string) string {
	spec := "kubernetes: {}"
	if namespace != "" {
		spec = "kubernetes: {namespace: " + namespace + "}"
	}
	if restName != "" {
		spec += ", name: " + restName
	}
	return fmt.Sprintf("apiVersion: drey.dev/v1\nkind: DeploymentTarget\nmetadata: {name: %s}\nspec: {%s}\n---\n", name, spec)
}

// objectYAML returns a Deployment or a SessionCluster of drey.dev.
func objectYAML(kind, name, spec string) string {
	return fmt.Sprintf("apiVersion: drey.dev/v1\nkind: %s\nmetadata: {name: %s}\nspec: {%s}\n---\n", kind, name, spec)
}
