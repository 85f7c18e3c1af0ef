// Package arrows holds the law of who may import whom. ARCHITECTURE.md draws
// it; this test enforces it.
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

// mayImport lists, for each package that ships, which others of drey it may
// import. A package that is not here is one that nobody has thought about.
var mayImport = map[string][]string{
	"cmd/drey":                            {"cmd/drey/cli", "registry/rest"},
	"cmd/drey/cli":                        {"cmd/drey/cli/manifest", "cmd/drey/server", "registry", "registry/rest", "registry/boltstore", "registry/kubestore", "registry/kubestore/v1", "registry/memstore", "registry/migration", "registry/workloads", "registry/rest/yamljson", "webhook", "webhook/config", "webhook/controllers/repair", "webhook/flink", "webhook/owners", "webhook/verdict", "certs", "manifests/bundle", "manifests/doctor", "manifests/rollout"},
	"cmd/drey/cli/manifest":               {},
	"cmd/drey/server":                     {"cmd/drey/tracing", "registry", "registry/access", "registry/reviews", "registry/rest", "registry/boltstore", "registry/kubestore", "registry/workloads", "webhook", "webhook/config", "webhook/controllers/modes", "webhook/controllers/namespacelabels", "webhook/controllers/repair", "webhook/flink", "webhook/owners", "webhook/verdict", "certs", "manifests/rollout"},
	"cmd/drey/tracing":                    {"registry", "webhook", "webhook/flink"},
	"certs":                               {"certs/rotation", "listwatch"},
	"certs/rotation":                      {},
	"listwatch":                           {},
	"inflight":                            {},
	"manifests":                           {},
	"manifests/doctor":                    {"certs", "manifests/bundle", "webhook/config"},
	"manifests/rollout":                   {"manifests/bundle", "webhook/config"},
	"manifests/bundle":                    {"certs", "manifests", "registry", "webhook/config", "webhook/flink", "webhook/verdict"},
	"registry":                            {},
	"registry/access":                     {"registry"},
	"registry/boltstore":                  {"registry"},
	"registry/kubestore":                  {"registry", "registry/kubestore/internal/codec", "registry/kubestore/v1", "listwatch"},
	"registry/kubestore/internal/codec":   {"registry", "registry/kubestore/v1"},
	"registry/kubestore/v1":               {},
	"registry/memstore":                   {"registry"},
	"registry/migration":                  {"registry"},
	"registry/rest":                       {"inflight", "registry", "registry/access", "registry/rest/yamljson"},
	"registry/rest/yamljson":              {},
	"registry/reviews":                    {"registry", "registry/access"},
	"registry/storetest":                  {"registry"},
	"registry/workloads":                  {"registry", "webhook/flink"},
	"webhook":                             {"inflight", "webhook/config", "webhook/verdict", "webhook/flink", "registry"},
	"webhook/flink":                       {},
	"webhook/config":                      {"webhook/flink", "webhook/verdict", "registry"},
	"webhook/controllers/namespacelabels": {"webhook/config", "listwatch"},
	"webhook/controllers/modes":           {"webhook/config", "listwatch"},
	"webhook/owners":                      {"webhook/flink", "listwatch"},
	"webhook/controllers/repair":          {"webhook", "webhook/flink", "webhook/verdict", "listwatch"},
	"webhook/verdict":                     {"webhook/flink", "registry"},
}

// mustNot lists what a package may not reach, not even through others, and why.
var mustNot = []struct {
	packages  []string
	forbidden []string // import paths, and what is below them
	why       string
}{
	{[]string{"webhook/flink", "webhook/verdict"}, []string{"net/http", "k8s.io/client-go", "sigs.k8s.io/controller-runtime", "os/exec"},
		"recognizing and deciding are functions of plain values: no I/O, no client"},
	{[]string{"registry/kubestore/internal/codec"}, []string{"k8s.io/client-go"},
		"the codec is a function of objects: no client"},
	{[]string{"registry", "registry/access"}, []string{"net/http", "k8s.io/client-go", "sigs.k8s.io/controller-runtime", "go.etcd.io/bbolt", "github.com/gorilla/mux"},
		"the domain knows neither the wire nor a backend"},
	{[]string{"registry/rest"}, []string{"go.etcd.io/bbolt", "k8s.io/client-go"},
		"the REST API does not know which store it has"},
	{[]string{"registry/boltstore", "registry/memstore"}, []string{"net/http", "github.com/gorilla/mux"},
		"no store knows REST"},
	{[]string{"registry/kubestore"}, []string{"github.com/gorilla/mux", "go.etcd.io/bbolt", "sigs.k8s.io/controller-runtime", "k8s.io/client-go/kubernetes"},
		"no store knows REST, and this one needs the plainest client alone"},
	{[]string{"certs/rotation"}, []string{"net/http", "k8s.io/client-go", "k8s.io/api"},
		"when certificates change depends on what there is and on the time that it is given"},
	{[]string{"webhook/config"}, []string{"k8s.io/client-go", "sigs.k8s.io/controller-runtime", "github.com/prometheus"},
		"the API server's configuration is generated, neither served nor applied"},
	{[]string{"manifests/bundle", "manifests/doctor", "manifests/rollout"}, []string{"sigs.k8s.io/controller-runtime"},
		"manifests are made without the admission server"},
}

// noHTTP lists packages that no package of drey that they reach may speak HTTP for. The
// types of k8s.io/apimachinery import net/http, so mustNot cannot forbid it there.
var noHTTP = []string{"webhook/config", "manifests/bundle", "manifests/doctor", "manifests/rollout"}

type pkg struct {
	ImportPath string
	Doc        string
	GoFiles    []string
	Imports    []string
	Deps       []string
}

func TestImportsFollowTheArrows(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		if strings.HasPrefix(name, "test/") || strings.HasPrefix(name, "hack/") {
			continue // what is built for tests may use everything
		}
		allowed, known := mayImport[name]
		if !known {
			t.Errorf("%s is not in the law: say in mayImport what it may import, and draw it in ARCHITECTURE.md", name)
			continue
		}
		for _, imported := range p.Imports {
			other, ours := strings.CutPrefix(imported, module+"/")
			if ours && !slices.Contains(allowed, other) {
				t.Errorf("%s imports %s, and arrows point down only: it may import %v", name, other, allowed)
			}
		}
	}
}

func TestPureCodeStaysPure(t *testing.T) {
	all := map[string]pkg{}
	for _, p := range packages(t) {
		all[strings.TrimPrefix(p.ImportPath, module+"/")] = p
	}
	for _, name := range []string{"webhook/flink", "webhook/verdict"} {
		for _, imported := range all[name].Imports {
			if slices.Contains([]string{"context", "io", "log", "log/slog", "os", "sync", "time"}, imported) {
				t.Errorf("%s imports %s: recognizing and deciding depend on their arguments alone", name, imported)
			}
		}
	}
	for _, law := range mustNot {
		for _, name := range law.packages {
			p, ok := all[name]
			if !ok {
				t.Errorf("there is no package %s", name)
			}
			for _, dep := range p.Deps {
				for _, forbidden := range law.forbidden {
					if dep == forbidden || strings.HasPrefix(dep, forbidden+"/") {
						t.Errorf("%s reaches %s: %s", name, dep, law.why)
					}
				}
			}
		}
	}
}

func TestPackagesWithoutHTTP(t *testing.T) {
	all := map[string]pkg{}
	for _, p := range packages(t) {
		all[p.ImportPath] = p
	}
	for _, name := range noHTTP {
		p, ok := all[module+"/"+name]
		if !ok {
			t.Errorf("there is no package %s", name)
		}
		for _, dep := range append(p.Deps, p.ImportPath) {
			if strings.HasPrefix(dep, module+"/") && slices.Contains(all[dep].Imports, "net/http") {
				t.Errorf("%s reaches %s, which imports net/http", name, strings.TrimPrefix(dep, module+"/"))
			}
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range packages(t) {
		if p.Doc == "" && len(p.GoFiles) > 0 {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

// TestTheModuleStaysLean keeps out of the main go.mod what only tests and tools
// need: each of those has a go.mod of its own under test/. Of cert-manager it is
// the API types alone.
func TestTheModuleStaysLean(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", module+"/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range strings.Fields(string(out)) {
		for _, heavy := range []string{"k8s.io/kubernetes", "k8s.io/apiserver", "go.etcd.io/etcd/server/v3", "github.com/golangci/golangci-lint/v2", "sigs.k8s.io/controller-tools"} {
			if path == heavy {
				t.Errorf("the main module needs %s", heavy)
			}
		}
	}
	for _, p := range packages(t) {
		for _, dep := range p.Deps {
			if strings.HasPrefix(dep, "github.com/cert-manager/") && !strings.HasPrefix(dep, "github.com/cert-manager/cert-manager/pkg/apis/") {
				t.Errorf("%s reaches %s, which is more than an API type", p.ImportPath, dep)
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
