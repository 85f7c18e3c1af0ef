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
	"drey.dev/drey/test/framework/fixtures/crds"
)

// world is a control plane with drey, whose registry is in the cluster.
type world struct {
	*cluster.Cluster
	drey  *drey.Drey
	audit *installed.AuditLog // shows what RBAC forbade drey
}

// shared starts the world of most tests; each test has its own namespaces.
var shared = sync.OnceValues(func() (*world, error) { return newWorld(context.Background(), false) })

// flinkWorld starts a world whose cluster serves Flink's custom resources.
var flinkWorld = sync.OnceValues(func() (*world, error) { return newWorld(context.Background(), true) })

// started are the worlds that tests have started.
var started struct {
	sync.Mutex
	worlds []*world
}

// newWorld runs drey as the manifests do, under its own ServiceAccount. The webhook
// exempts that account alone, so it also checks the administrator of these tests.
func newWorld(ctx context.Context, flink bool) (*world, error) {
	dir, err := os.MkdirTemp("", "drey-audit-")
	if err != nil {
		return nil, err
	}
	audit, err := installed.NewAuditLog(dir)
	if err != nil {
		return nil, err
	}
	c, err := cluster.New(ctx, cluster.Options{APIServerArgs: audit.APIServerArgs(), KeepNamespaces: true})
	if err != nil {
		return nil, err
	}
	if flink {
		if err := crds.Install(ctx, c); err != nil {
			return nil, errors.Join(err, c.Stop())
		}
	}
	w := &world{Cluster: c, audit: audit}
	if err := w.startDrey(ctx); err != nil {
		return nil, err
	}
	started.Lock()
	defer started.Unlock()
	started.worlds = append(started.worlds, w)
	return w, nil
}

// startDrey starts drey, also after it was killed.
func (w *world) startDrey(ctx context.Context) (err error) {
	w.drey, err = installed.Start(ctx, drey.Options{Cluster: w.Cluster, DataDir: w.Dir(), Args: []string{
		"--rest-auth", "cluster", "--platform-namespace-quota", quota, "--ca-propagation-delay", "1s",
	}}, bundle.Defaults())
	return err
}

func TestMain(m *testing.M) {
	cluster.RaiseParallel()
	code := m.Run()
	for _, w := range started.worlds {
		if err := errors.Join(w.drey.Stop(), w.audit.Forbidden(), w.audit.Remove(), w.Stop()); err != nil {
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

// send sends a REST request with the user's token, and returns its status and body.
func (p user) send(t testing.TB, method, path, body string) (int, []byte) {
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
	return response.StatusCode, text
}

// call sends a REST request with the user's token.
func (p user) call(t testing.TB, method, path, body string) (status int, failure apiError) {
	t.Helper()
	status, text := p.send(t, method, path, body)
	if err := json.Unmarshal(text, &failure); err != nil {
		t.Fatalf("%s %s: %v: %s", method, path, err, text)
	}
	return status, failure
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
