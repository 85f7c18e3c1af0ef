// Package arrows tests the import rules between drey's packages. ARCHITECTURE.md explains
// them.
package arrows

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "drey.dev/drey"

// mayImport lists the drey packages that each package may import. Every package except those
// below test and hack must be listed.
var mayImport = map[string][]string{
	"cmd/drey":                            {"cmd/drey/cli", "registry/rest"},
	"cmd/drey/cli":                        {"cmd/drey/cli/command", "cmd/drey/cli/installation", "cmd/drey/cli/kubectl", "cmd/drey/cli/manifest", "cmd/drey/cli/objects", "cmd/drey/cli/observe", "cmd/drey/cli/output", "cmd/drey/cli/stores", "cmd/drey/cli/verdicts", "cmd/drey/server", "registry/rest"},
	"cmd/drey/cli/client":                 {"cmd/drey/cli/command", "cmd/drey/cli/document", "cmd/drey/cli/kubectl", "cmd/drey/cli/output", "cmd/drey/server", "registry", "registry/kubestore", "registry/rest", "registry/workloads", "webhook/config"},
	"cmd/drey/cli/command":                {},
	"cmd/drey/cli/document":               {"cmd/drey/cli/command", "cmd/drey/cli/manifest", "registry", "registry/kubestore", "registry/kubestore/v1", "registry/rest/yamljson"},
	"cmd/drey/cli/installation":           {"certs", "cmd/drey/cli/client", "cmd/drey/cli/command", "cmd/drey/cli/kubectl", "cmd/drey/cli/output", "config/v1alpha1", "manifests/bundle", "manifests/doctor", "manifests/readiness", "manifests/rollout", "registry", "registry/kubestore", "registry/rest", "webhook/config"},
	"cmd/drey/cli/kubectl":                {"cmd/drey/cli/command", "cmd/drey/cli/manifest", "registry/kubestore/v1"},
	"cmd/drey/cli/manifest":               {},
	"cmd/drey/cli/objects":                {"cmd/drey/cli/client", "cmd/drey/cli/command", "cmd/drey/cli/document", "cmd/drey/cli/manifest", "cmd/drey/cli/output", "registry"},
	"cmd/drey/cli/observe":                {"cmd/drey/cli/client", "cmd/drey/cli/command", "cmd/drey/cli/kubectl", "cmd/drey/cli/output", "cmd/drey/server", "denials", "denials/configmap", "inventory", "inventory/cluster", "registry", "registry/rest/yamljson", "webhook/config", "webhook/flink", "webhook/owners", "webhook/verdict"},
	"cmd/drey/cli/output":                 {"cmd/drey/cli/command", "cmd/drey/cli/manifest", "registry/rest/yamljson"},
	"cmd/drey/cli/stores":                 {"cmd/drey/cli/command", "cmd/drey/cli/kubectl", "cmd/drey/cli/output", "cmd/drey/server", "registry", "registry/boltstore", "registry/kubestore", "registry/migration"},
	"cmd/drey/cli/verdicts":               {"cmd/drey/cli/client", "cmd/drey/cli/command", "cmd/drey/cli/document", "cmd/drey/cli/kubectl", "cmd/drey/cli/manifest", "cmd/drey/cli/output", "cmd/drey/server", "registry", "registry/kubestore", "registry/memstore", "webhook", "webhook/config", "webhook/controllers/repair", "webhook/flink", "webhook/owners", "webhook/verdict"},
	"cmd/drey/server":                     {"cmd/drey/explain", "cmd/drey/tracing", "denials/configmap", "denials/file", "config/v1alpha1", "console", "console/page", "denials", "inventory", "inventory/cluster", "manifests/bundle", "registry", "registry/access", "registry/reviews", "registry/rest", "registry/boltstore", "registry/kubestore", "registry/kubestore/v1", "registry/workloads", "webhook", "webhook/config", "webhook/controllers/modes", "webhook/controllers/namespacelabels", "webhook/controllers/repair", "webhook/controllers/reports", "webhook/flink", "webhook/owners", "webhook/serving", "webhook/verdict", "certs", "manifests/rollout"},
	"cmd/drey/explain":                    {"cmd/drey/cli/manifest", "console", "registry", "webhook", "webhook/flink", "webhook/verdict"},
	"cmd/drey/tracing":                    {"registry", "webhook", "webhook/flink"},
	"config/v1alpha1":                     {"certs", "registry", "webhook/config"},
	"console":                             {"console/page", "denials", "feed", "inventory", "registry", "registry/access", "webhook/verdict"},
	"console/page":                        {"denials", "inventory", "webhook/verdict"},
	"certs":                               {"certs/rotation", "listwatch"},
	"certs/rotation":                      {},
	"denials":                             {"feed"},
	"denials/configmap":                   {"denials", "listwatch"},
	"denials/file":                        {"denials"},
	"feed":                                {},
	"inventory":                           {"feed"},
	"inventory/cluster":                   {"inventory", "listwatch", "registry", "webhook/flink", "webhook/owners", "webhook/runstate"},
	"listwatch":                           {},
	"inflight":                            {},
	"manifests":                           {},
	"manifests/doctor":                    {"config/v1alpha1", "certs", "manifests/bundle", "manifests/readiness", "webhook/config"},
	"manifests/rollout":                   {"denials", "manifests/bundle", "manifests/readiness", "webhook/config"},
	"manifests/readiness":                 {},
	"manifests/bundle":                    {"config/v1alpha1", "certs", "denials", "manifests", "registry", "webhook/config", "webhook/flink", "webhook/verdict"},
	"registry":                            {},
	"registry/access":                     {"registry"},
	"registry/boltstore":                  {"registry"},
	"registry/kubestore":                  {"registry", "registry/kubestore/internal/codec", "registry/kubestore/v1", "listwatch"},
	"registry/kubestore/internal/codec":   {"registry", "registry/kubestore/v1"},
	"registry/kubestore/v1":               {},
	"registry/memstore":                   {"registry"},
	"registry/migration":                  {"registry"},
	"registry/rest":                       {"denials", "feed", "inventory", "inflight", "registry", "registry/access", "registry/rest/yamljson"},
	"registry/rest/yamljson":              {},
	"registry/reviews":                    {"registry", "registry/access"},
	"registry/storetest":                  {"registry"},
	"registry/workloads":                  {"webhook/runstate", "registry", "webhook/flink"},
	"webhook":                             {"inflight", "webhook/scan", "webhook/config", "webhook/verdict", "webhook/flink", "registry"},
	"webhook/flink":                       {},
	"webhook/scan":                        {},
	"webhook/runstate":                    {"webhook/flink"},
	"webhook/config":                      {"denials", "webhook/flink", "webhook/verdict", "registry"},
	"webhook/controllers/namespacelabels": {"webhook/config", "listwatch"},
	"webhook/controllers/reports":         {"denials", "inventory"},
	"webhook/controllers/modes":           {"webhook/config", "listwatch"},
	"webhook/owners":                      {"webhook/runstate", "webhook/flink", "listwatch"},
	"webhook/controllers/repair":          {"webhook", "webhook/flink", "webhook/verdict", "listwatch"},
	"webhook/serving":                     {},
	"webhook/verdict":                     {"webhook/flink", "registry"},
}

// mustNot lists forbidden direct and transitive imports.
var mustNot = []struct {
	packages  []string
	forbidden []string // import path prefixes
	why       string
}{
	{[]string{"webhook/flink", "webhook/verdict"}, []string{"net/http", "k8s.io/client-go", "sigs.k8s.io/controller-runtime", "os/exec"},
		"recognition and verdict are pure functions"},
	{[]string{"registry/kubestore/internal/codec"}, []string{"k8s.io/client-go"},
		"the codec is a pure function"},
	{[]string{"registry", "registry/access"}, []string{"net/http", "k8s.io/client-go", "sigs.k8s.io/controller-runtime", "go.etcd.io/bbolt", "github.com/gorilla/mux"},
		"the domain is independent of transport and backend"},
	{[]string{"registry/rest"}, []string{"go.etcd.io/bbolt", "k8s.io/client-go"},
		"the REST API is independent of the store"},
	{[]string{"registry/boltstore", "registry/memstore"}, []string{"net/http", "github.com/gorilla/mux"},
		"stores are independent of the REST API"},
	{[]string{"registry/kubestore"}, []string{"github.com/gorilla/mux", "go.etcd.io/bbolt", "sigs.k8s.io/controller-runtime", "k8s.io/client-go/kubernetes"},
		"stores are independent of the REST API; a plain REST client suffices"},
	{[]string{"certs/rotation"}, []string{"net/http", "k8s.io/client-go", "k8s.io/api"},
		"the rotation plan is a pure function of the observed state and the time"},
	{[]string{"webhook/config"}, []string{"k8s.io/client-go", "sigs.k8s.io/controller-runtime", "github.com/prometheus"},
		"the API server's configuration is generated, neither served nor applied"},
	{[]string{"webhook"}, []string{"k8s.io/client-go", "sigs.k8s.io/controller-runtime"},
		"the handlers need no cluster, and compile without its clients"},
	{[]string{"webhook/owners", "webhook/controllers/modes", "webhook/controllers/namespacelabels", "webhook/controllers/repair", "registry/kubestore", "certs", "denials/configmap", "inventory/cluster"}, []string{"k8s.io/client-go/informers"},
		"informers list and watch through package listwatch, which survives a restore of etcd"},
	{[]string{"manifests/bundle", "manifests/doctor", "manifests/readiness", "manifests/rollout"}, []string{"sigs.k8s.io/controller-runtime"},
		"manifests are independent of the admission server"},
}

// noHTTP lists packages whose drey dependencies must not import net/http. mustNot cannot
// express that: types of k8s.io/apimachinery import net/http.
var noHTTP = []string{"config/v1alpha1", "webhook/config", "manifests/bundle", "manifests/doctor", "manifests/readiness", "manifests/rollout"}

type pkg struct {
	ImportPath string
	Doc        string
	GoFiles    []string
	Imports    []string
	Deps       []string
}

// TestImports: packages import only the packages that mayImport lists.
func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		if strings.HasPrefix(name, "test/") || strings.HasPrefix(name, "hack/") {
			continue // tests and tools may import everything
		}
		allowed, known := mayImport[name]
		if !known {
			t.Errorf("%s is missing in mayImport: add it there and to ARCHITECTURE.md", name)
			continue
		}
		for _, imported := range p.Imports {
			other, ours := strings.CutPrefix(imported, module+"/")
			if ours && !slices.Contains(allowed, other) {
				t.Errorf("%s imports %s; it may import only %v", name, other, allowed)
			}
		}
	}
}

// TestPurePackages: pure packages do no I/O and reach no client.
func TestPurePackages(t *testing.T) {
	all := map[string]pkg{}
	for _, p := range packages(t) {
		all[strings.TrimPrefix(p.ImportPath, module+"/")] = p
	}
	for _, name := range []string{"webhook/flink", "webhook/verdict"} {
		for _, imported := range all[name].Imports {
			if slices.Contains([]string{"context", "io", "log", "log/slog", "os", "sync", "time"}, imported) {
				t.Errorf("%s imports %s: recognition and verdict are pure functions", name, imported)
			}
		}
	}
	for _, rule := range mustNot {
		for _, name := range rule.packages {
			p, ok := all[name]
			if !ok {
				t.Errorf("package %s in mustNot does not exist", name)
			}
			for _, dep := range p.Deps {
				for _, forbidden := range rule.forbidden {
					if dep == forbidden || strings.HasPrefix(dep, forbidden+"/") {
						t.Errorf("%s depends on %s: %s", name, dep, rule.why)
					}
				}
			}
		}
	}
}

// TestNoHTTP: the drey dependencies of the packages in noHTTP do not import net/http.
func TestNoHTTP(t *testing.T) {
	all := map[string]pkg{}
	for _, p := range packages(t) {
		all[p.ImportPath] = p
	}
	for _, name := range noHTTP {
		p, ok := all[module+"/"+name]
		if !ok {
			t.Errorf("package %s in noHTTP does not exist", name)
		}
		for _, dep := range append(p.Deps, p.ImportPath) {
			if strings.HasPrefix(dep, module+"/") && slices.Contains(all[dep].Imports, "net/http") {
				t.Errorf("%s depends on %s, which imports net/http", name, strings.TrimPrefix(dep, module+"/"))
			}
		}
	}
}

// TestPackageComments: every package has a package comment.
func TestPackageComments(t *testing.T) {
	for _, p := range packages(t) {
		if p.Doc == "" && len(p.GoFiles) > 0 {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

// TestMainModule: large dependencies of tests and tools stay in their own modules, and of
// cert-manager only the API types are imported.
func TestMainModule(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", module+"/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range strings.Fields(string(out)) {
		for _, heavy := range []string{"k8s.io/kubernetes", "k8s.io/apiserver", "go.etcd.io/etcd/server/v3", "github.com/golangci/golangci-lint/v2", "sigs.k8s.io/controller-tools"} {
			if path == heavy {
				t.Errorf("the main module depends on %s", heavy)
			}
		}
	}
	for _, p := range packages(t) {
		for _, dep := range p.Deps {
			if strings.HasPrefix(dep, "github.com/cert-manager/") && !strings.HasPrefix(dep, "github.com/cert-manager/cert-manager/pkg/apis/") {
				t.Errorf("%s depends on %s, which is not an API package", p.ImportPath, dep)
			}
		}
	}
}

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Doc,GoFiles,Imports,Deps", module+"/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}
