package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"drey.dev/drey/registry/access"
	"drey.dev/drey/registry/reviews"
	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/test/framework/page"
)

// TestRegistryRBAC sends REST requests with tokens of ServiceAccounts: the RBAC of the cluster
// authorizes them.
func TestRegistryRBAC(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel() // the second drey does not lead: the shared one holds the lease
	program, err := buildDrey()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	webhookAddress := listener.Addr().String()
	listener.Close()
	d, err := drey.Start(t.Context(), drey.Options{Program: program, DataDir: t.TempDir(), Args: []string{
		"--kubeconfig", w.Kubeconfig(), "--webhook-bind-address", webhookAddress, "--certs", "memory", "--rest-auth", "cluster,tokens", "--platform-namespace", "team-a",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
	})
	home := w.Namespace(t)
	w.MustKubectl(t, strings.ReplaceAll(rbac, "HOME", home), "apply", "-f", "-")
	blocks, err := page.CheckedBy("../..", t.Name())
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range blocks {
		w.MustKubectl(t, role, "apply", "-f", "-")
	}
	token := func(name string, args ...string) string {
		return strings.TrimSpace(w.MustKubectl(t, "", append([]string{"create", "token", name, "-n", home}, args...)...))
	}
	call := func(method, path, token, body string) (int, string) {
		request, err := http.NewRequestWithContext(t.Context(), method, d.REST+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
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
		return response.StatusCode, string(text)
	}

	viewer, owner, admin, lister := token("viewer"), token("owner"), token("admin"), token("lister")
	const target, otherTarget = `{"spec":{"kubernetes":{"namespace":"team-a"}}}`, `{"spec":{"kubernetes":{"namespace":"default"}}}`
	for _, c := range []struct {
		caller, token, method, path, body string
		status                            int
	}{
		{"viewer", viewer, "GET", "/api/v1/namespaces/team-a/deployment-targets", "", 200},
		{"viewer", viewer, "PUT", "/api/v1/namespaces/team-a/deployment-targets/a", target, 403},
		{"viewer", viewer, "GET", "/api/v1/namespaces/default/deployment-targets", "", 403},
		{"viewer", viewer, "GET", "/api/v1/namespaces/team-a/deployments", "", 403},
		{"viewer", viewer, "GET", "/namespaces/v1/namespaces/team-a", "", 403},
		{"viewer", viewer, "GET", "/namespaces/v1/namespaces", "", 403},
		{"lister", lister, "GET", "/namespaces/v1/namespaces", "", 200},
		{"lister", lister, "GET", "/namespaces/v1/namespaces/team-a", "", 200},
		{"lister", lister, "GET", "/api/v1/namespaces/team-a/deployment-targets", "", 403},
		{"owner", owner, "PUT", "/api/v1/namespaces/team-a/deployment-targets/a", otherTarget, 403},
		{"owner", owner, "PUT", "/api/v1/namespaces/team-a/deployment-targets/a", target, 201},
		{"owner", owner, "GET", "/api/v1/namespaces/team-a/jobs", "", 200},
		{"owner", owner, "DELETE", "/api/v1/namespaces/team-a/deployment-targets/a", "", 200},
		{"owner", owner, "POST", "/namespaces/v1/namespaces", `{"name":"team-c"}`, 403},
		{"owner", owner, "POST", "/apitokens/v1/namespaces/team-a/apitokens", `{"name":"ci","role":"editor"}`, 200},
		{"owner", owner, "POST", "/apitokens/v1/namespaces/*/apitokens", `{"name":"ci","role":"editor"}`, 403},
		{"admin", admin, "POST", "/namespaces/v1/namespaces", `{"name":"team-c"}`, 201},
		{"admin", admin, "POST", "/apitokens/v1/namespaces/*/apitokens", `{"name":"ci","role":"editor"}`, 200},
		{"anonymous", "", "GET", "/api/v1/namespaces/team-a/deployments", "", 401},
		{"invalid token", viewer + "x", "GET", "/api/v1/namespaces/team-a/deployments", "", 401},
		{"token for another audience", token("viewer", "--audience", "elsewhere"), "GET", "/api/v1/namespaces/team-a/deployment-targets", "", 401},
	} {
		if status, body := call(c.method, c.path, c.token, c.body); status != c.status {
			t.Errorf("%s: %s %s: got %d, want %d: %s", c.caller, c.method, c.path, status, c.status, body)
		}
	}
	if want := fmt.Sprintf(`user=system:serviceaccount:%s:owner verb=create kind=DeploymentTarget`, home); !strings.Contains(d.Log(), want) {
		t.Errorf("log: want a line with %s", want)
	}

	t.Run("audience", func(t *testing.T) {
		r, err := reviews.New(w.Config(), "drey", "another")
		if err != nil {
			t.Fatal(err)
		}
		for rule, c := range map[string]struct {
			token string
			want  error
		}{
			"of drey":           {token("viewer", "--audience", "drey"), nil},
			"of the API server": {viewer, access.ErrUnknown},
			"of another":        {token("viewer", "--audience", "elsewhere"), access.ErrUnknown},
		} {
			if _, err := r.Authenticate(t.Context(), c.token); !errors.Is(err, c.want) {
				t.Errorf("token %s: got %v, want %v", rule, err, c.want)
			}
		}
	})
	t.Run("revoked access is denied", func(t *testing.T) {
		w.MustKubectl(t, "", "delete", "rolebinding", "viewer", "-n", "team-a")
		eventually.OK(t, func() error {
			if status, body := call("GET", "/api/v1/namespaces/team-a/deployment-targets", viewer, ""); status != http.StatusForbidden {
				return fmt.Errorf("got %d: %s, want 403", status, body)
			}
			return nil
		})
	})
	t.Run("invalid tokens are rate limited", func(t *testing.T) {
		limited := false
		for i := range 15 {
			status, _ := call("GET", "/api/v1/namespaces/team-a/deployments", fmt.Sprintf("guess-%d", i), "")
			limited = limited || status == http.StatusTooManyRequests
		}
		if status, body := call("GET", "/api/v1/namespaces/team-a/deployments", owner, ""); !limited || status != http.StatusOK {
			t.Errorf("invalid tokens limited: got %t, want true; valid token: got %d: %s, want 200", limited, status, body)
		}
	})
}

// rbac has four ServiceAccounts in the namespace HOME, with different rights on the platform
// namespace team-a. The lister has the ClusterRole of docs/how-to/access.md.
const rbac = `
apiVersion: v1
kind: Namespace
metadata: {name: team-a}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: viewer, namespace: HOME}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: owner, namespace: HOME}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: admin, namespace: HOME}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: lister, namespace: HOME}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: drey-namespaces}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: drey-namespaces}
subjects:
- {kind: ServiceAccount, name: lister, namespace: HOME}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: viewer, namespace: team-a}
rules:
- {apiGroups: [drey.dev], resources: [deploymenttargets], verbs: [get, list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: viewer, namespace: team-a}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: viewer}
subjects:
- {kind: ServiceAccount, name: viewer, namespace: HOME}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: owner, namespace: team-a}
rules:
- {apiGroups: [drey.dev], resources: ["*"], verbs: ["*"]}
- {apiGroups: [""], resources: [pods], verbs: [create]} # the right to create pods in a namespace allows to register it
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: owner, namespace: team-a}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: owner}
subjects:
- {kind: ServiceAccount, name: owner, namespace: HOME}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: drey-admin}
rules:
- {apiGroups: [drey.dev], resources: ["*"], verbs: ["*"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: drey-admin}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: drey-admin}
subjects:
- {kind: ServiceAccount, name: admin, namespace: HOME}
`
