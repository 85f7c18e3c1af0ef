package install

import (
	"encoding/json"
	"strings"
	"testing"

	"drey.dev/drey/test/framework/drey"
)

// TestOutsideOfTheCluster: doctor, status, install and uninstall recognize a drey whose webhooks
// are registered by URL.
func TestOutsideOfTheCluster(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if out, err := w.run(t, "status", "--server", "cluster", "--kubeconfig", w.Kubeconfig()); exitCode(err) != 3 || !strings.Contains(out, "not installed") {
		t.Errorf("status before: got exit code %d and %s, want 3", exitCode(err), out)
	}
	w.apply(t, "{apiVersion: v1, kind: Namespace, metadata: {name: staging}}")
	d, err := drey.Start(t.Context(), drey.Options{Program: w.program, Cluster: w.Cluster, DataDir: t.TempDir()})
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
	if out, err := w.run(t, "install", "--kubeconfig", w.Kubeconfig(), "--dry-run"); err == nil || !strings.Contains(out, "the webhooks call a drey outside of the cluster, at "+d.Webhook) {
		t.Errorf("install: got %v %s, want the drey outside of the cluster", err, out)
	}
	stopped = true
	if err := d.Stop(); err != nil {
		t.Error(err)
	}
	w.expectFindings(t, "WARN server: a drey outside of the cluster serves the webhooks at "+d.Webhook+", which this machine cannot reach")
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
