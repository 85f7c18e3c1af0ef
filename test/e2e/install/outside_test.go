package install

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"drey.dev/drey/test/framework/drey"
)

// TestOutsideTheCluster: doctor, status, install and uninstall recognize a drey whose webhooks
// are registered by URL.
func TestOutsideTheCluster(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if out, err := w.run(t, "status", "--server", "cluster", "--kubeconfig", w.Kubeconfig()); exitCode(err) != 3 || !strings.Contains(out, "not installed") {
		t.Errorf("status before: got exit code %d and %s, want 3", exitCode(err), out)
	}
	w.apply(t, "{apiVersion: v1, kind: Namespace, metadata: {name: staging}}")
	dataDir := t.TempDir()
	d, err := drey.Start(t.Context(), drey.Options{Program: w.program, Cluster: w.Cluster, DataDir: dataDir})
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	defer func() {
		if !stopped {
			_ = d.Stop() // the test has failed
		}
	}()
	if err := d.Register(t.Context(), "default", "staging", "staging"); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(d.Log(), "drey runs as a user") { // of the cluster's administrator
		t.Errorf("got no warning that the administrator is exempt from the rules:\n%s", d.Log())
	}
	w.expectFindings(t)
	var status struct {
		Ready bool
		URL   string
	}
	if err := json.Unmarshal([]byte(w.mustRun(t, "status", "--server", "cluster", "--kubeconfig", w.Kubeconfig(), "-o", "json")), &status); err != nil || !status.Ready || status.URL != d.Webhook {
		t.Errorf("status: got %+v %v, want %s ready", status, err, d.Webhook)
	}
	if out := w.mustRun(t, "status", "--server", d.REST); !strings.Contains(out, d.REST) {
		t.Errorf("status by URL: got %s, want the server", out)
	}
	if out, err := w.run(t, "install", "--kubeconfig", w.Kubeconfig(), "--dry-run"); err == nil || !strings.Contains(out, "the webhooks call a drey outside the cluster, at "+d.Webhook) {
		t.Errorf("install: got %v %s, want the drey outside the cluster", err, out)
	}
	// Weaker webhooks and deleted policies are found, and a restart restores them.
	w.MustKubectl(t, "", "patch", "validatingwebhookconfiguration", "drey", "--type=json", "-p", `[{"op":"replace","path":"/webhooks/0/failurePolicy","value":"Ignore"},{"op":"remove","path":"/webhooks/1/matchConditions/0"}]`)
	w.MustKubectl(t, "", "delete", "validatingadmissionpolicy", "drey-claim")
	w.expectFindings(t, "FAIL objects: validatingadmissionpolicy/drey-claim does not exist",
		"FAIL objects: validatingwebhookconfiguration/drey differs from that of this version, at webhooks[0].failurePolicy, webhooks[1].matchConditions")
	if err := d.Stop(); err != nil {
		t.Error(err)
	}
	if d, err = drey.Start(t.Context(), drey.Options{Program: w.program, Cluster: w.Cluster, DataDir: dataDir, Args: []string{"--mode", "warn", "--contact", "#data"}}); err != nil {
		t.Fatal(err)
	}
	w.expectFindings(t)
	stopped = true
	if err := d.Stop(); err != nil {
		t.Error(err)
	}
	w.expectFindings(t, "WARN server: a drey outside the cluster serves the webhooks at "+d.Webhook+", which this machine cannot reach")
	if out, err := w.run(t, "status", "--server", "cluster", "--kubeconfig", w.Kubeconfig()); exitCode(err) != 5 || !strings.Contains(out, "denied now") {
		t.Errorf("status of a stopped drey: got exit code %d and %s, want 5", exitCode(err), out)
	}
	out := w.mustRun(t, "uninstall", "--kubeconfig", w.Kubeconfig())
	if !strings.Contains(out, "stop it") {
		t.Errorf("uninstall: got %s, want the instruction to stop drey", out)
	}
	if labels := w.MustKubectl(t, "", "get", "namespace", "staging", "-o", "jsonpath={.metadata.labels}"); strings.Contains(labels, "drey.dev") {
		t.Errorf("uninstall: got the labels %s of the namespace, want none of drey", labels)
	}
	left := w.MustKubectl(t, "", "get", "mutatingwebhookconfigurations,validatingwebhookconfigurations,validatingadmissionpolicies,validatingadmissionpolicybindings", "-o", "name")
	if left != "" {
		t.Errorf("uninstall: got %s left", left)
	}
}

// TestIdentityOfDrey runs the commands of docs/how-to/install.md that give drey an identity of its
// own: it starts without the warning, and labels a namespace.
func TestIdentityOfDrey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "how-to", "install.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "### Identity of drey\n")
	_, block, _ := strings.Cut(section, "```sh\n")
	block, _, ok := strings.Cut(block, "bin/drey serve ")
	if !ok {
		t.Fatal("docs/how-to/install.md: no commands of the identity of drey")
	}
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(root, "manifests"), filepath.Join(dir, "manifests")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", block)
	cmd.Dir, cmd.Env = dir, w.shellEnv()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", block, err, out)
	}
	w.apply(t, "{apiVersion: v1, kind: Namespace, metadata: {name: staging}}")
	d, err := drey.Start(t.Context(), drey.Options{Program: w.program, Cluster: w.Cluster, DataDir: t.TempDir(), Args: []string{"--kubeconfig", filepath.Join(dir, "drey.kubeconfig")}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
	}()
	if strings.Contains(d.Log(), "drey runs as a user") {
		t.Errorf("got the warning of a user:\n%s", d.Log())
	}
	if err := d.Register(t.Context(), "default", "staging", "staging"); err != nil {
		t.Fatal(err)
	}
	if label := w.MustKubectl(t, "", "get", "namespace", "staging", "-o", `jsonpath={.metadata.labels.drey\.dev/registered}`); label != "true" {
		t.Errorf("got the registered label %q, want true\n%s", label, d.Log())
	}
}
