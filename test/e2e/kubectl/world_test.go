// Package kubectl has the tests of what people may do with drey's own objects in
// the cluster: the real program keeps the registry there, and kubectl and REST
// write to it, as users who may do only so much.
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

// world is a control plane that keeps the registry, with drey on it.
type world struct {
	*cluster.Cluster
	drey *drey.Drey
}

// shared is the world that most tests use; each has namespaces of its own.
var shared = sync.OnceValues(func() (*world, error) {
	var err error
	started, err = newWorld(context.Background())
	return started, err
})

// started is the shared world once a test has asked for it.
var started *world

// newWorld runs drey as its manifests do, as its own ServiceAccount, for whom alone the
// webhook does not hold: the administrator of these tests is checked like others.
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

// audit is the API server's record of what the shared world's drey was refused.
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

// inWorld returns the shared world. A test that fails ends with what drey said.
func inWorld(t *testing.T) *world {
	t.Helper()
	w, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	w.drey.LogOnFailure(t)
	return w
}

// refused runs kubectl, and fails the test unless it is refused in these words.
func (w *world) refused(t testing.TB, want, manifest string, args ...string) string {
	t.Helper()
	out, err := w.RunKubectl(t, manifest, args...)
	if err == nil || !strings.Contains(out, want) {
		t.Errorf("kubectl %s: %v\n%s\nwant %s", strings.Join(args, " "), err, out, want)
	}
	return out
}

// person is somebody whom the cluster knows.
type person struct {
	*world
	name  string // of the user
	token string
}

// admin makes somebody who may do anything in a namespace, and drey's objects in
// it too, but nothing elsewhere.
func (w *world) admin(t testing.TB, namespace string) person {
	t.Helper()
	w.MustKubectl(t, strings.ReplaceAll(namespaceAdmin, "HOME", namespace), "apply", "-f", "-")
	return person{w, "system:serviceaccount:" + namespace + ":admin", strings.TrimSpace(w.MustKubectl(t, "", "create", "token", "admin", "-n", namespace))}
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

// as are the flags by which kubectl acts as a person, in a namespace.
func (p person) as(namespace string, args ...string) []string {
	return append([]string{"--as=" + p.name, "-n", namespace}, args...)
}

// problem is what REST says of a refusal.
type problem struct {
	Reason, Message string
}

// call makes a request of the REST API.
func (p person) call(t testing.TB, method, path, body string) (status int, said problem) {
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
	if err := json.Unmarshal(text, &said); err != nil {
		t.Fatalf("%s %s: %v: %s", method, path, err, text)
	}
	return response.StatusCode, said
}

// targetYAML is a target. restName and namespace may be empty.
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

// objectYAML is a Deployment or a SessionCluster.
func objectYAML(kind, name, spec string) string {
	return fmt.Sprintf("apiVersion: drey.dev/v1\nkind: %s\nmetadata: {name: %s}\nspec: {%s}\n---\n", kind, name, spec)
}
