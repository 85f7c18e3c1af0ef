package kubestore_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"drey.dev/drey/manifests/rollout"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/boltstore"
	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/eventually"
)

// TestMigration migrates a registry from a file to the cluster, with a kill on the way, and
// back.
func TestMigration(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t) // a migration reads all namespaces
	if err := rollout.InstallCRDs(t.Context(), c.Config()); err != nil {
		t.Fatal(err)
	}
	w := &world{Cluster: c}
	dir := t.TempDir()
	program, err := drey.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	const targets = 401 // with myDeploymentTarget
	data := filepath.Join(dir, "data")
	ids := fillFile(t, data, targets-1)
	migrate := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), program, append([]string{"migrate", "--kubeconfig", c.Kubeconfig()}, args...)...)
		return cmd
	}
	must := func(want string, args ...string) {
		t.Helper()
		out, err := migrate(args...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Fatalf("drey migrate %s: %v\n%s\nwant %q", strings.Join(args, " "), err, out, want)
		}
	}
	count := func() int {
		t.Helper()
		return strings.Count(w.MustKubectl(t, "", "get", "deploymenttargets.drey.dev", "-A", "-o", "name"), "\n")
	}

	must(fmt.Sprintf("DeploymentTarget     %d       0          0           0", targets), "--from", "embedded", "--to", "kubernetes", "--data-dir", data, "--dry-run")
	must("kubectl create namespace team-a, or use --create-namespaces", "--from", "embedded", "--to", "kubernetes", "--data-dir", data, "--dry-run")
	if n := count(); n != 0 {
		t.Fatalf("--dry-run: got %d targets, want none", n)
	}
	// The Kubernetes namespace team-a is missing.
	out, err := migrate("--from", "embedded", "--to", "kubernetes", "--data-dir", data).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "kubectl create namespace team-a") {
		t.Fatalf("got %v %s, want the command that creates the namespace", err, out)
	}
	w.MustKubectl(t, "", "create", "namespace", "team-a")

	objects, err := dynamic.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	copied, err := objects.Resource(schema.GroupVersionResource{Group: "drey.dev", Version: "v1", Resource: "deploymenttargets"}).Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Stop()
	killed := migrate("--from", "embedded", "--to", "kubernetes", "--data-dir", data)
	var output bytes.Buffer
	killed.Stdout, killed.Stderr = &output, &output
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	for range 20 { // kubectl may take as long as all
		select {
		case <-copied.ResultChan():
		case <-time.After(eventually.Timeout):
			t.Fatalf("fewer than 20 targets are copied: %s", &output)
		}
	}
	if err := killed.Process.Kill(); err != nil {
		t.Fatalf("kill: %v; drey migrate: %s", err, &output)
	}
	_ = killed.Wait() // it reports the kill
	migrated := count()
	if migrated == 0 || migrated == targets {
		t.Fatalf("got %d targets after the kill, want some of %d", migrated, targets)
	}
	must("Verified: the stores are equal.", "--from", "embedded", "--to", "kubernetes", "--data-dir", data)
	must("copied 0 of 0\nVerified: the stores are equal.", "--from", "embedded", "--to", "kubernetes", "--data-dir", data)
	if n := count(); n != targets {
		t.Fatalf("got %d targets, want %d", n, targets)
	}
	if got := w.MustKubectl(t, "", "get", "vdep", "one", "-n", "team-a", "-o", `jsonpath={.metadata.annotations.drey\.dev/id}`); got != ids["one"] {
		t.Errorf("got the id %q of the Deployment, want %q", got, ids["one"])
	}

	// Back to a file.
	back := filepath.Join(dir, "back")
	must("DeploymentTarget", "--from", "kubernetes", "--to", "embedded", "--data-dir", back, "--dry-run")
	if _, err := os.Stat(back); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("--dry-run: got %v, want no directory", err)
	}
	must("Verified: the stores are equal.", "--from", "kubernetes", "--to", "embedded", "--data-dir", back)
	must("Verified: the stores are equal.", "--from", "embedded", "--to", "kubernetes", "--data-dir", back)

	// An object differs: nothing is overwritten, and nothing else is written.
	w.MustKubectl(t, "", "label", "vdep", "one", "-n", "team-a", "team=oaks", "--overwrite")
	w.MustKubectl(t, "", "delete", "dt", "target-0007", "-n", "team-a")
	out, err = migrate("--from", "embedded", "--to", "kubernetes", "--data-dir", data).CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 4 || !strings.Contains(string(out), `Deployment "one" in platform namespace "team-a" exists and differs: its labels`) {
		t.Errorf("got %v %s, want exit code 4 and the difference", err, out)
	}
	if n := count(); n != targets-1 {
		t.Errorf("got %d targets, want %d", n, targets-1)
	}

	// A running drey has locked the file.
	store, err := boltstore.Open(filepath.Join(data, "registry.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if out, err := migrate("--from", "embedded", "--to", "kubernetes", "--data-dir", data).CombinedOutput(); err == nil || !strings.Contains(string(out), "stop the other drey") {
		t.Errorf("got %v %s, want the lock", err, out)
	}
}

// fillFile creates a registry in a file through package registry, and returns the ids of
// its objects by name.
func fillFile(t *testing.T, data string, targets int) map[string]string {
	t.Helper()
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	store, err := boltstore.Open(filepath.Join(data, "registry.db"))
	if err != nil {
		t.Fatal(err)
	}
	rules, err := registry.New(t.Context(), store, registry.Options{OwnNamespace: "drey-system", Namespaces: []string{"team-a"}})
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]string{}
	add := func(kind registry.Kind, name, spec string) {
		o, err := rules.Create(t.Context(), registry.Object{Kind: kind, Spec: []byte(spec), Metadata: registry.Metadata{Namespace: "team-a", Name: name, Labels: map[string]string{"team": "nuts"}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		ids[name] = o.Metadata.ID
	}
	for i := range targets {
		add(registry.DeploymentTarget, fmt.Sprintf("target-%04d", i), fmt.Sprintf(`{"kubernetes":{"namespace":"n-%d"}}`, i))
	}
	add(registry.DeploymentTarget, "myDeploymentTarget", `{"kubernetes":{"namespace":"jobs"}}`)
	add(registry.SessionCluster, "shared", `{"deploymentTargetName":"target-0001"}`)
	add(registry.Deployment, "one", `{"deploymentTargetName":"target-0002","big":12345678901234567890.10}`)
	add(registry.DeploymentDefaults, registry.DefaultsName, `{"deploymentTargetName":"target-0003","template":{"parallelism":2.0}}`)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return ids
}
