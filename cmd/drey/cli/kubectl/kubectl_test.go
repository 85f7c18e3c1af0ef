package kubectl

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"drey.dev/drey/cmd/drey/cli/command"
)

// TestReferences checks the arguments that name objects.
func TestReferences(t *testing.T) {
	for args, want := range map[string]string{
		"pod/a":                 "[pod/a]",
		"pod a":                 "[pod/a]",
		"pod a b":               "[pod/a pod/b]",
		"pod/a flinkdep/b":      "[pod/a flinkdep/b]",
		"deployments.v1.apps/a": "[deployments.v1.apps/a]",
		"":                      "[]",
		"pod":                   `"pod" is no object`,
		"pod/":                  `"pod/" is no object`,
		"/a":                    `"/a" is no object`,
		"pod/a/b":               `"pod/a/b" is no object`,
		"pod/a b":               `"b" is no object`,
	} {
		all, err := References(strings.Fields(args))
		got := fmt.Sprint(all)
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, want) || (err != nil) != (command.CodeOf(err) == command.ExitUsage) {
			t.Errorf("%q: got %s, want %s", args, got, want)
		}
	}
}

// kubeconfig has two contexts of a server.
const kubeconfig = `
apiVersion: v1
kind: Config
current-context: test
contexts:
- {name: test, context: {cluster: c, namespace: team-a}}
- {name: production, context: {cluster: c}}
clusters:
- {name: c, cluster: {server: "SERVER"}}
`

// newCluster returns the cluster of a context at a URL.
func newCluster(t *testing.T, url, context string) *Cluster {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(kubeconfig, "SERVER", url)), 0o600); err != nil {
		t.Fatal(err)
	}
	k := &Cluster{}
	cmd := &cobra.Command{}
	k.Bind(cmd, cmd.Flags())
	if err := cmd.ParseFlags([]string{"--kubeconfig", file, "--context", context}); err != nil {
		t.Fatal(err)
	}
	return k
}

// TestContexts checks the context that is used, and the completion of contexts.
func TestContexts(t *testing.T) {
	for context, want := range map[string]string{"": "team-a", "test": "team-a", "production": "default", "none": "default"} {
		k := newCluster(t, "https://127.0.0.1:1", context)
		if got := k.Namespace(); got != want {
			t.Errorf("context %q: namespace %s, want %s", context, got, want)
		}
		if _, err := k.Config(); (err == nil) != (context != "none") || err != nil && (command.CodeOf(err) != command.ExitUsage || !strings.Contains(err.Error(), "set --kubeconfig, $KUBECONFIG or --context")) {
			t.Errorf("context %q: %v", context, err)
		}
		if got, directive := k.completeContexts(nil, nil, ""); !slices.Equal(got, []string{"production", "test"}) || directive != cobra.ShellCompDirectiveNoFileComp {
			t.Errorf("completed %v, %d", got, directive)
		}
	}
	missing := &Cluster{kubeconfig: filepath.Join(t.TempDir(), "none")}
	if _, directive := missing.completeContexts(nil, nil, ""); directive != cobra.ShellCompDirectiveError {
		t.Errorf("completion without the file: %d", directive)
	}
	if _, err := missing.Config(); err == nil {
		t.Error("configuration without the file")
	}
	if got := missing.Namespace(); got != "default" {
		t.Errorf("namespace without the file: %s", got)
	}
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	if _, err := new(Cluster).Config(); err == nil || !strings.Contains(err.Error(), "no kubeconfig, or it is empty") {
		t.Errorf("without a kubeconfig: %v", err)
	}
}

// responses are those of an API server by path: a JSON document, or a status code.
type responses map[string]any

func serve(t *testing.T, all responses) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer, ok := all[r.URL.Path]
		if !ok {
			answer = http.StatusNotFound
		}
		if code, failed := answer.(int); failed {
			reasons := map[int]string{http.StatusNotFound: "NotFound", http.StatusForbidden: "Forbidden"}
			w.WriteHeader(code)
			answer = map[string]any{"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reasons[code], "message": "failed: " + r.URL.Path}
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func resources(groupVersion string, all ...map[string]any) map[string]any {
	return map[string]any{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": groupVersion, "resources": all}
}

func resource(name, kind string, namespaced bool, shortNames ...string) map[string]any {
	return map[string]any{"name": name, "kind": kind, "namespaced": namespaced, "shortNames": shortNames, "verbs": []string{"get", "list"}}
}

func group(name, version string) map[string]any {
	v := map[string]any{"groupVersion": name + "/" + version, "version": version}
	return map[string]any{"name": name, "versions": []any{v}, "preferredVersion": v}
}

func object(apiVersion, kind, name, owner string) map[string]any {
	metadata := map[string]any{"name": name, "namespace": "flink"}
	if owner != "" {
		p := strings.Split(owner, " ")
		metadata["ownerReferences"] = []any{map[string]any{"apiVersion": p[0], "kind": p[1], "name": p[2], "uid": "u", "controller": true}}
	}
	return map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": metadata}
}

// cluster serves pods, namespaces, Deployments and FlinkDeployments.
func cluster() responses {
	const apps, flink = "/apis/apps/v1/namespaces/flink/", "/apis/flink.apache.org/v1beta1/namespaces/flink/"
	return responses{
		"/api":                            map[string]any{"kind": "APIVersions", "versions": []string{"v1"}},
		"/apis":                           map[string]any{"kind": "APIGroupList", "apiVersion": "v1", "groups": []any{group("apps", "v1"), group("flink.apache.org", "v1beta1")}},
		"/api/v1":                         resources("v1", resource("pods", "Pod", true, "po"), resource("namespaces", "Namespace", false, "ns")),
		"/apis/apps/v1":                   resources("apps/v1", resource("deployments", "Deployment", true, "deploy"), resource("replicasets", "ReplicaSet", true, "rs")),
		"/apis/flink.apache.org/v1beta1":  resources("flink.apache.org/v1beta1", resource("flinkdeployments", "FlinkDeployment", true, "flinkdep")),
		"/api/v1/namespaces":              map[string]any{"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "items": []any{object("v1", "Namespace", "flink", ""), object("v1", "Namespace", "other", "")}},
		"/api/v1/namespaces/flink":        object("v1", "Namespace", "flink", ""),
		"/api/v1/namespaces/flink/pods":   map[string]any{"kind": "PodList", "apiVersion": "v1", "items": []any{object("v1", "Pod", "a", ""), object("v1", "Pod", "b", "")}},
		"/api/v1/namespaces/flink/pods/a": object("v1", "Pod", "a", "apps/v1 ReplicaSet nuts-1"),
		"/api/v1/namespaces/flink/pods/b": http.StatusForbidden,
		"/api/v1/namespaces/flink/pods/c": http.StatusInternalServerError,
		apps + "replicasets/nuts-1":       object("apps/v1", "ReplicaSet", "nuts-1", "apps/v1 Deployment nuts"),
		apps + "deployments/nuts":         object("apps/v1", "Deployment", "nuts", "flink.apache.org/v1beta1 FlinkDeployment nuts"),
		apps + "deployments/secret":       http.StatusForbidden,
		apps + "deployments/broken":       http.StatusInternalServerError,
		apps + "deployments/cycle":        object("apps/v1", "Deployment", "cycle", "apps/v1 Deployment cycle"),
		flink + "flinkdeployments/nuts":   object("flink.apache.org/v1beta1", "FlinkDeployment", "nuts", ""),
	}
}

func objects(t *testing.T, all responses) *Objects {
	t.Helper()
	o, err := NewObjects(&rest.Config{Host: serve(t, all), QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestGet checks the object that a reference stands for, and the exit code of an error.
func TestGet(t *testing.T) {
	o := objects(t, cluster())
	for reference, c := range map[string]struct {
		want string // the kind, or a part of the error
		code int
	}{
		"pod/a":                    {"Pod", 0},
		"po/a":                     {"Pod", 0},
		"Pods/a":                   {"Pod", 0},
		"ns/flink":                 {"Namespace", 0},
		"deploy/nuts":              {"Deployment", 0},
		"deployments.apps/nuts":    {"Deployment", 0},
		"deployments.v1.apps/nuts": {"Deployment", 0},
		"flinkdep/nuts":            {"FlinkDeployment", 0},
		"flinkdeployments.v1beta1.flink.apache.org/nuts": {"FlinkDeployment", 0},
		"pod/none":       {`Pod "none" not found in namespace "flink"; another namespace: -n NAMESPACE`, command.ExitNotFound},
		"pod/b":          {"failed: /api/v1/namespaces/flink/pods/b", command.ExitRefused},
		"pod/c":          {"failed: /api/v1/namespaces/flink/pods/c", 0},
		"widgets/a":      {`serves no resource "widgets": kubectl api-resources lists those that it does`, command.ExitUsage},
		"pods.v1.apps/a": {`serves no resource "pods.v1.apps"`, command.ExitUsage},
	} {
		kind, name, _ := strings.Cut(reference, "/")
		m, err := o.Get(t.Context(), "flink", Reference{kind, name})
		got := m.Kind
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) || command.CodeOf(err) != c.code {
			t.Errorf("%s: got %s, exit code %d; want %s, %d", reference, got, command.CodeOf(err), c.want, c.code)
		}
		if err == nil && (m.File != reference || !strings.Contains(string(m.Text), `"kind":"`+c.want+`"`)) {
			t.Errorf("%s: %+v", reference, m)
		}
	}
	down := cluster()
	down["/api"], down["/apis"] = http.StatusInternalServerError, http.StatusInternalServerError
	if _, err := objects(t, down).Get(t.Context(), "flink", Reference{"pod", "a"}); command.CodeOf(err) != command.ExitUnavailable {
		t.Errorf("without discovery: %v, exit code %d", err, command.CodeOf(err))
	}
}

// TestOwners checks the chain of controllers, and the note on one that cannot be read.
func TestOwners(t *testing.T) {
	o := objects(t, cluster())
	for owner, want := range map[string]string{
		"":                          "[]",
		"apps/v1 ReplicaSet nuts-1": "[ReplicaSet nuts-1 Deployment nuts FlinkDeployment nuts]",
		"apps/v1 Deployment none":   "[Deployment none (not found)]",
		"apps/v1 Deployment secret": "[Deployment secret (you may not read it)]",
		"apps/v1 Deployment broken": "[Deployment broken (failed: /apis/apps/v1/namespaces/flink/deployments/broken)]",
		"example.com/v1 App shop":   "[App shop (not found)]",
		"apps/v1 Deployment cycle":  "[" + strings.TrimSuffix(strings.Repeat("Deployment cycle ", maxOwners), " ") + "]",
	} {
		text, err := json.Marshal(object("v1", "Pod", "a", owner))
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(o.Owners(t.Context(), "flink", text)); got != want {
			t.Errorf("%q: got %s, want %s", owner, got, want)
		}
	}
	if got := o.Owners(t.Context(), "flink", []byte("no JSON")); len(got) > 0 {
		t.Errorf("no object: %v", got)
	}
}

// TestComplete checks the completion of TYPE/NAME and of TYPE NAME.
func TestComplete(t *testing.T) {
	o := objects(t, cluster())
	common := []string{"pod", "flinkdeployment"}
	for rule, c := range map[string]struct {
		args       []string
		toComplete string
		want       string
	}{
		"type":                       {nil, "", "[pod/ flinkdeployment/] <nil>"},
		"name":                       {nil, "pod/", "[pod/a pod/b] <nil>"},
		"next name":                  {[]string{"pod/a"}, "pod/", "[pod/b] <nil>"},
		"name after its type":        {[]string{"po"}, "", "[a b] <nil>"},
		"next after its type":        {[]string{"po", "b"}, "", "[a] <nil>"},
		"type that is not served":    {nil, "widgets/", "serves no resource"},
		"kind that cannot be listed": {[]string{"deploy"}, "", "[] failed: /apis/apps/v1/namespaces/flink/deployments"},
	} {
		names, err := o.Complete(t.Context(), "flink", common, c.args, c.toComplete)
		if got := fmt.Sprint(names, " ", err); !strings.Contains(got, c.want) {
			t.Errorf("%s: got %s, want %s", rule, got, c.want)
		}
	}
	k := newCluster(t, serve(t, cluster()), "")
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	if names, directive := k.CompleteNamespaces(cmd, nil, ""); !slices.Equal(names, []string{"flink", "other"}) || directive != cobra.ShellCompDirectiveNoFileComp {
		t.Errorf("namespaces %v, %d", names, directive)
	}
	for rule, k := range map[string]*Cluster{"forbidden": newCluster(t, serve(t, responses{"/api/v1/namespaces": http.StatusForbidden}), ""), "no context": newCluster(t, "https://127.0.0.1:1", "none")} {
		if _, directive := k.CompleteNamespaces(cmd, nil, ""); directive != cobra.ShellCompDirectiveError {
			t.Errorf("%s: directive %d", rule, directive)
		}
	}
}

// TestKeepsRegistry checks why a cluster does not have the registry.
func TestKeepsRegistry(t *testing.T) {
	served, notServed := serve(t, responses{"/apis/drey.dev/v1": resources("drey.dev/v1")}), serve(t, cluster())
	for rule, c := range map[string]struct {
		cluster *Cluster
		want    string
	}{
		"served":      {newCluster(t, served, ""), ""},
		"not served":  {newCluster(t, notServed, ""), "the cluster at " + notServed + " does not serve drey.dev/v1"},
		"unavailable": {newCluster(t, serve(t, responses{"/apis/drey.dev/v1": http.StatusInternalServerError}), ""), "failed: /apis/drey.dev/v1"},
		"no context":  {newCluster(t, served, "none"), "no cluster: "},
	} {
		if err := c.cluster.KeepsRegistry(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", rule, err, c.want)
		}
	}
}
