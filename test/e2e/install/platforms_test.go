package install

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/test/framework/kubelet"
)

// platform emulates the admission of a platform that drey is installed on.
type platform struct {
	apiServerArgs []string
	before        []string // manifests or files that are applied before the installation
	args          []string // of drey install
}

// gke has GKE's admission configuration, which limits the system priority classes to
// namespaces with a ResourceQuota for them.
func gke(t *testing.T) platform {
	t.Helper()
	file, err := filepath.Abs("testdata/gke-admission.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return platform{apiServerArgs: []string{"--admission-control-config-file=" + file}}
}

// bounded is a quota of compute resources in drey's namespace.
const bounded = `
apiVersion: v1
kind: Namespace
metadata: {name: drey-system}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: bounded, namespace: drey-system}
spec: {hard: {requests.cpu: "2", requests.memory: 2Gi, limits.memory: 2Gi}}
`

// TestInstallOnPlatforms plays the default installation on API servers with the admission
// of platforms: drey gets ready, labels a Flink pod and denies another, and its removal
// leaves nothing.
func TestInstallOnPlatforms(t *testing.T) {
	withQuota := gke(t)
	withQuota.before = []string{bounded}
	for name, p := range map[string]platform{
		"GKE":                                 gke(t),
		"GKE with a quota":                    withQuota,
		"OpenShift with SCC of restricted-v2": {before: []string{"testdata/openshift-scc.yaml"}},
		"nodes with a taint":                  {before: []string{"testdata/tainted-nodes.yaml"}, args: []string{"--toleration", "dedicated=infra:NoSchedule", "--node-selector", "pool=infra"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, p.apiServerArgs...)
			for _, manifest := range p.before {
				if strings.HasSuffix(manifest, ".yaml") {
					w.MustKubectl(t, "", "apply", "-f", manifest)
				} else {
					w.apply(t, manifest)
				}
			}
			w.apply(t, "{apiVersion: v1, kind: Namespace, metadata: {name: staging}}")
			w.apply(t, "{apiVersion: v1, kind: Namespace, metadata: {name: sandbox}}")
			w.apply(t, "{apiVersion: v1, kind: Namespace, metadata: {name: asked, annotations: {drey.dev/contact: 'https://example.com/flink'}}}")
			for _, namespace := range []string{"staging", "sandbox", "asked"} {
				w.awaitServiceAccount(t, namespace)
			}
			before := w.inventory(t)
			kubelet.Start(t, kubelet.Options{Cluster: w.Cluster, Namespaces: []string{"drey-system"}})
			if out := w.mustRun(t, append([]string{"install", "--kubeconfig", w.Kubeconfig(), "--timeout", "2m"}, p.args...)...); !strings.Contains(out, "deployment/drey is ready") {
				t.Errorf("install: got %s, want the Deployment ready", out)
			}
			w.start(t)
			w.call(t, 201, "POST", "/api/v1/namespaces/default/deployment-targets", `{"metadata":{"name":"staging"},"spec":{"kubernetes":{"namespace":"staging"}}}`)
			w.apply(t, pod("staging", "labeled", ""))
			if err := w.has(t, "staging", "labeled", `"vvpNamespace":"default"`); err != nil {
				t.Error(err)
			}
			w.awaitDenied(t, pod("sandbox", "stranger", ""), "has no DeploymentTarget")
			w.awaitDenied(t, pod("asked", "stranger", ""), "if you may not, ask https://example.com/flink; ")
			w.MustKubectl(t, "", "delete", "pod", "labeled", "-n", "staging", "--now")
			if err := w.drey.Stop(); err != nil {
				t.Error(err)
			}
			w.MustKubectl(t, "", "delete", "clusterrolebinding/test-admin")
			w.MustKubectl(t, "", "delete", "serviceaccount", "admin", "-n", "kube-system")
			w.mustRun(t, "uninstall", "--kubeconfig", w.Kubeconfig(), "--purge", "--yes")
			eventually.OK(t, func() error { // the API server deletes custom resources before their definition
				left := slices.DeleteFunc(w.inventory(t), func(line string) bool { return slices.Contains(before, line) })
				if len(left) > 0 {
					return fmt.Errorf("after uninstall: got %q, want none of them", left)
				}
				return nil
			})
			after := w.inventory(t)
			for _, line := range before {
				if !slices.Contains(after, line) {
					t.Errorf("after uninstall: %q is gone, which was there before the installation", line)
				}
			}
		})
	}
}
