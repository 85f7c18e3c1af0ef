package docs

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/drey/installed"
	"drey.dev/drey/test/framework/fixtures/crds"
	"drey.dev/drey/test/framework/kubelet"
)

// world is the machine of a reader.
type world struct {
	dir     string // the working directory: a clone of the repository
	shell   *shell
	cluster *cluster.Cluster
	drey    *drey.Drey
	serves  bool              // the page runs drey serve
	stops   bool              // at the end of the test
	ports   map[string]string // free ones by that of the pages, with a colon
}

// newWorld prepares what a page requires.
func newWorld(t *testing.T, words []string) *world {
	t.Helper()
	w := &world{dir: t.TempDir(), ports: map[string]string{}}
	free, err := drey.FreeAddresses(3)
	if err != nil {
		t.Fatal(err)
	}
	for i, port := range []string{":8080", ":8443", ":9443"} {
		w.ports[port] = strings.TrimPrefix(free[i], "127.0.0.1")
	}
	path := filepath.Join(w.dir, "bin")
	if err := os.Mkdir(path, 0o750); err != nil {
		t.Fatal(err)
	}
	source, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{
		"bin/drey": program, "bin/kubectl-drey": program,
		"manifests": filepath.Join(source, "manifests"), "test": filepath.Join(source, "test"),
	} {
		if err := os.Symlink(to, filepath.Join(w.dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	env := append(os.Environ(), "HOME="+w.dir, "COLUMNS=120", "KUBECONFIG="+filepath.Join(w.dir, ".kube", "config"), "KUBECACHEDIR="+filepath.Join(w.dir, ".cache"))
	has := func(word string) bool { return slices.Contains(words, word) }
	if has("cluster") || has("drey") {
		w.startCluster(t, has)
		if err := os.Symlink(w.cluster.Kubectl(), filepath.Join(path, "kubectl")); err != nil {
			t.Fatal(err)
		}
	}
	if has("server") {
		w.startDrey(t, drey.Start)
		env = append(env, "DREY_SERVER="+w.drey.REST)
	}
	if has("vvp") {
		platform, err := drey.Start(t.Context(), drey.Options{Program: program, DataDir: filepath.Join(w.dir, "vvp")})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := platform.Stop(); err != nil {
				t.Error(err)
			}
		})
		env = append(env, "VVP="+platform.REST)
	}
	w.shell = startShell(t, w.dir, append(env, "PATH="+path+":"+os.Getenv("PATH")))
	return w
}

func (w *world) startCluster(t *testing.T, has func(string) bool) {
	t.Helper()
	w.cluster = cluster.StartWith(t, cluster.Options{})
	config, err := os.ReadFile(w.cluster.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(w.dir, ".kube")
	if err := errors.Join(os.Mkdir(home, 0o700), os.WriteFile(filepath.Join(home, "config"), config, 0o600)); err != nil { // kubectl config writes it
		t.Fatal(err)
	}
	if has("operator") {
		if err := crds.Install(t.Context(), w.cluster); err != nil {
			t.Fatal(err)
		}
	}
	if has("monitoring") {
		if err := crds.InstallReports(t.Context(), w.cluster, "openreports.io"); err != nil {
			t.Fatal(err)
		}
	}
	kubelet.Start(t, kubelet.Options{Cluster: w.cluster})
	if has("drey") {
		w.install(t)
	}
}

// install runs drey in place of its pods, after its manifests have been applied.
func (w *world) install(t *testing.T) {
	t.Helper()
	w.cluster.MustKubectl(t, "", "delete", "mutatingwebhookconfiguration/drey", "validatingwebhookconfiguration/drey", "--ignore-not-found") // a webhook has a Service or a URL
	w.startDrey(t, func(ctx context.Context, o drey.Options) (*drey.Drey, error) {
		o.Args = []string{"--rest-auth", "cluster"}
		return installed.Start(ctx, o, bundle.Defaults())
	})
}

func (w *world) startDrey(t *testing.T, start func(context.Context, drey.Options) (*drey.Drey, error)) {
	t.Helper()
	if w.drey != nil {
		if err := w.drey.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	d, err := start(t.Context(), drey.Options{Program: program, Cluster: w.cluster, DataDir: filepath.Join(w.dir, "drey-data")})
	if err != nil {
		t.Fatal(err)
	}
	if !w.stops {
		w.stops = true
		t.Cleanup(func() {
			if w.drey == nil { // the page has uninstalled it
				return
			}
			if t.Failed() {
				lines := strings.Split(w.drey.Log(), "\n")
				t.Log("end of drey's log:\n" + strings.Join(lines[max(0, len(lines)-20):], "\n"))
			}
			if err := w.drey.Stop(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Error(err)
			}
		})
	}
	w.drey = d
}

// wellKnown are the ports of the pages, which other processes may use: each is replaced by a free one.
var wellKnown = regexp.MustCompile(`:(8080|8443|9443)\b`)

// before returns a command for this machine: with free ports, the address of the world's drey,
// and drey serve in the background.
func (w *world) before(command string) string {
	if w.drey != nil && !w.serves {
		for _, documented := range []string{"http://127.0.0.1:8080", "https://localhost:8443"} {
			command = strings.ReplaceAll(command, documented, w.drey.REST)
		}
	}
	command = wellKnown.ReplaceAllStringFunc(command, func(port string) string { return w.ports[port] })
	if strings.HasPrefix(strings.TrimPrefix(command, "bin/"), "drey serve ") {
		w.serves = true
		command = strings.Replace(command, "drey serve ", "drey serve --metrics-bind-address 127.0.0.1:0 --rest-bind-address 127.0.0.1"+w.ports[":8080"]+" ", 1)
		command += " >serve.log 2>&1 &\nfor i in $(seq 1200); do if grep -q 'drey is up' serve.log; then break; fi; sleep 0.1; done\ngrep -q 'drey is up' serve.log || { cat serve.log; false; }"
	}
	return command
}

var installs = regexp.MustCompile(`\bdrey install\b`)

// after does what the kubelet and the Service do after a command.
func (w *world) after(t *testing.T, command string) error {
	t.Helper()
	switch {
	case strings.Contains(command, "--dry-run") || strings.Contains(command, "--print"):
	case installs.MatchString(command):
		w.install(t)
	case strings.Contains(command, "drey uninstall") && w.drey != nil:
		err := w.drey.Stop()
		w.drey = nil
		return err
	}
	return nil
}
