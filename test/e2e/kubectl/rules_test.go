package kubectl

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"drey.dev/drey/test/framework/eventually"
)

// TestDeleteReferencedObject: kubectl is told what REST says, word by word.
func TestDeleteReferencedObject(t *testing.T) {
	w := inWorld(t)
	ns, flink := w.Namespace(t), w.Namespace(t)
	alice := w.admin(t, ns)
	w.MustKubectl(t, targetYAML("staging", "", flink)+targetYAML("by-name", "My_Target", flink+"-2")+targetYAML("free", "", flink)+
		objectYAML("SessionCluster", "cluster", "deploymentTargetName: staging")+
		objectYAML("Deployment", "one", "sessionClusterName: cluster")+
		objectYAML("Deployment", "two", "deploymentTargetName: staging")+
		objectYAML("Deployment", "three", "deploymentTargetName: My_Target"), "apply", "-n", ns, "-f", "-")
	for _, c := range []struct{ kind, name, path, list string }{
		{"dt", "staging", "deployment-targets/staging", `Deployment "two", SessionCluster "cluster"`},
		{"dt", "by-name", "deployment-targets/My_Target", `Deployment "three"`},
		{"vsc", "cluster", "sessionclusters/cluster", `Deployment "one"`},
	} {
		var said problem
		eventually.OK(t, 5*time.Second, func() error { // REST has a read of its own
			var status int
			if status, said = alice.call(t, http.MethodDelete, "/api/v1/namespaces/"+ns+"/"+c.path, ""); status != http.StatusConflict {
				return fmt.Errorf("%d %+v", status, said)
			}
			return nil
		})
		if !strings.Contains(said.Message, c.list) {
			t.Errorf("REST says %s, want %s", said.Message, c.list)
		}
		for _, args := range [][]string{{"delete", c.kind, c.name}, {"delete", c.kind, c.name, "--dry-run=server"}, {"delete", c.kind, c.name, "--force"}, {"delete", c.kind, "--all"}} {
			w.refused(t, "denied the request: "+said.Message, "", alice.as(ns, args...)...)
		}
		w.MustKubectl(t, "", "get", c.kind, c.name, "-n", ns)
	}
	w.refused(t, `SessionCluster "cluster"`, targetYAML("staging", "", flink), alice.as(ns, "replace", "--force", "-f", "-")...)

	w.MustKubectl(t, "", alice.as(ns, "delete", "vdep", "--all")...)
	w.MustKubectl(t, "", alice.as(ns, "delete", "vsc", "cluster")...)
	w.MustKubectl(t, "", alice.as(ns, "delete", "dt", "staging", "--dry-run=server")...)
	w.MustKubectl(t, "", alice.as(ns, "delete", "dt", "staging", "by-name")...)
}

// TestDeleteTargetRunningPod against kubectl too.
func TestDeleteTargetRunningPod(t *testing.T) {
	w := inWorld(t)
	ns := w.Namespace(t)
	alice := w.admin(t, ns)
	w.MustKubectl(t, targetYAML("own", "", ns), alice.as(ns, "apply", "-f", "-")...)
	eventually.OK(t, 20*time.Second, func() error {
		out, err := w.RunKubectl(t, strings.ReplaceAll(strings.Replace(flinkPod, ", KEY: ID", "", 1), "thief", "job"), alice.as(ns, "apply", "-f", "-")...)
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	w.refused(t, `cannot be deleted while something refers to it: Pod "job"`, "", alice.as(ns, "delete", "dt", "own")...)
	w.MustKubectl(t, "", alice.as(ns, "delete", "pod", "job", "--force")...)
	w.MustKubectl(t, "", alice.as(ns, "delete", "dt", "own")...)
}

// TestUnknownReferences: what REST refuses, kubectl is refused.
func TestUnknownReferences(t *testing.T) {
	w := inWorld(t)
	ns := w.Namespace(t)
	alice := w.admin(t, ns)
	const unknown = `spec.deploymentTargetName: there is no DeploymentTarget "nowhere" in platform namespace`
	w.refused(t, unknown, objectYAML("Deployment", "a", "deploymentTargetName: nowhere"), alice.as(ns, "apply", "-f", "-")...)
	w.refused(t, unknown, objectYAML("SessionCluster", "a", "deploymentTargetName: nowhere"), alice.as(ns, "apply", "--server-side", "-f", "-")...)
	w.refused(t, "spec.deploymentTargetId: there is no", objectYAML("Deployment", "a", "deploymentTargetId: 11111111-2222-4333-8444-555555555555"), alice.as(ns, "apply", "-f", "-")...)
	w.refused(t, `there is no SessionCluster "nowhere"`, objectYAML("Deployment", "a", "sessionClusterName: nowhere"), alice.as(ns, "apply", "-f", "-")...)
	w.MustKubectl(t, objectYAML("Deployment", "without", "state: CANCELLED"), alice.as(ns, "apply", "-f", "-")...)

	// One file has both, and nobody waits in between.
	for i := range 5 {
		fresh := w.Namespace(t)
		w.MustKubectl(t, targetYAML("staging", "", ns)+objectYAML("SessionCluster", "c", "deploymentTargetName: staging")+
			objectYAML("Deployment", "d", "deploymentTargetName: staging, sessionClusterName: c"), "apply", "-n", fresh, "-f", "-")
		w.MustKubectl(t, targetYAML("upper", "Upper_"+fmt.Sprint(i), ns), "apply", "-n", fresh, "-f", "-")
	}

	w.MustKubectl(t, targetYAML("staging", "", ns)+objectYAML("Deployment", "job", "state: RUNNING, deploymentTargetName: staging"), alice.as(ns, "apply", "-f", "-")...)
	const job = `state: RUNNING, deploymentTargetName: %s, parallelism: %d`
	moved := func(target string, n int) string { return objectYAML("Deployment", "job", fmt.Sprintf(job, target, n)) }
	w.refused(t, unknown, moved("nowhere", 1), alice.as(ns, "apply", "-f", "-")...)
	w.refused(t, unknown, moved("nowhere", 2), alice.as(ns, "replace", "-f", "-")...)
	w.refused(t, unknown, moved("nowhere", 3), alice.as(ns, "apply", "--server-side", "--force-conflicts", "-f", "-")...)
	w.refused(t, unknown, "", alice.as(ns, "patch", "vdep", "job", "--type=merge", "-p", `{"spec":{"deploymentTargetName":"nowhere"}}`)...)
	w.refused(t, unknown, moved("nowhere", 3), alice.as(ns, "apply", "--dry-run=server", "-f", "-")...)
	for _, args := range [][]string{
		{"apply", "-f", "-"}, {"replace", "-f", "-"}, {"apply", "--server-side", "--force-conflicts", "-f", "-"}, {"apply", "--dry-run=server", "-f", "-"},
	} {
		w.MustKubectl(t, moved("staging", len(args)), alice.as(ns, args...)...)
	}
	edit := w.KubectlCommand(t.Context(), alice.as(ns, "edit", "vdep", "job")...)
	edit.Env = append(edit.Environ(), `KUBE_EDITOR=sed -i s/RUNNING/SUSPENDED/`)
	if out, err := edit.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if got := w.MustKubectl(t, "", alice.as(ns, "get", "vdep", "job", "-o", "jsonpath={.spec.state}")...); got != "SUSPENDED" {
		t.Errorf("after kubectl edit the state is %q", got)
	}
	w.MustKubectl(t, "", alice.as(ns, "label", "vdep", "job", "team=nuts")...)
	w.MustKubectl(t, "", alice.as(ns, "patch", "vdep", "job", "--subresource=status", "--type=merge", "-p", `{"status":{"name":"x"}}`)...)
}

// TestTerminatingObjects: else a finalizer could not go.
func TestTerminatingObjects(t *testing.T) {
	w := inWorld(t)
	ns := w.Namespace(t)
	held := strings.Replace(targetYAML("held", "", ns), "{name: held", "{finalizers: [example.com/hold], name: held", 1)
	w.MustKubectl(t, held, "apply", "-n", ns, "-f", "-")
	w.MustKubectl(t, "", "delete", "dt", "held", "-n", ns, "--wait=false")
	w.MustKubectl(t, "", "delete", "dt", "held", "-n", ns, "--wait=false")
	w.MustKubectl(t, "", "annotate", "dt", "held", "-n", ns, "a=b")
	w.MustKubectl(t, "", "patch", "dt", "held", "-n", ns, "--type=merge", "-p", `{"metadata":{"finalizers":[]}}`)
	if out := w.MustKubectl(t, "", "get", "dt", "-n", ns); !strings.Contains(out, "No resources found") {
		t.Error(out)
	}
}

// TestDuplicateRESTName.
func TestDuplicateRESTName(t *testing.T) {
	w := inWorld(t)
	ns := w.Namespace(t)
	w.MustKubectl(t, targetYAML("one", "My_Target", ns), "apply", "-n", ns, "-f", "-")
	eventually.OK(t, 5*time.Second, func() error {
		out, err := w.RunKubectl(t, targetYAML("another", "My_Target", ns), "create", "--dry-run=server", "-n", ns, "-f", "-")
		if err == nil {
			return fmt.Errorf("let in: %s", out)
		}
		const want = `DeploymentTarget "My_Target" exists in platform namespace`
		if !strings.Contains(out, want) || !strings.Contains(out, "kubectl delete deploymenttarget.drey.dev one -n "+ns) {
			t.Fatalf("%s\nwant %s", out, want)
		}
		return nil
	})
	w.refused(t, "AlreadyExists", targetYAML("one", "My_Target", ns), "create", "-n", ns, "-f", "-") // as the API server says it
	w.MustKubectl(t, targetYAML("one", "My_Target", ns), "apply", "-n", ns, "-f", "-")
	w.MustKubectl(t, targetYAML("another", "my_target", ns), "apply", "-n", ns, "-f", "-") // not the same
}

// TestDeleteNamespaceWithReferences, whatever refers to what.
func TestDeleteNamespaceWithReferences(t *testing.T) {
	w := inWorld(t)
	ns := w.Namespace(t)
	fillWithReferences(t, w, ns)
	w.MustKubectl(t, "", "delete", "namespace", ns, "--timeout=50s")
	eventually.OK(t, 10*time.Second, func() error {
		if out := w.MustKubectl(t, "", "get", "dt,vdep,vsc", "-n", ns); !strings.Contains(out, "No resources found") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
}

func fillWithReferences(t *testing.T, w *world, ns string) {
	t.Helper()
	w.MustKubectl(t, targetYAML("staging", "", ns)+objectYAML("SessionCluster", "cluster", "deploymentTargetName: staging")+
		objectYAML("Deployment", "job", "sessionClusterName: cluster, deploymentTargetName: staging"), "apply", "-n", ns, "-f", "-")
}

// TestDreyUnavailable: writes wait for it; what the cluster does by itself does
// not.
func TestDreyUnavailable(t *testing.T) {
	w, err := newWorld(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.drey.LogOnFailure(t)
	t.Cleanup(func() {
		if err := w.Stop(); err != nil {
			t.Error(err)
		}
	})
	ns := w.Namespace(t)
	fillWithReferences(t, w, ns)
	if err := w.drey.Kill(); err != nil {
		t.Fatal(err)
	}
	const down = `failed calling webhook "registry.drey.dev"`
	w.refused(t, down, "", "delete", "dt", "staging", "-n", ns)
	w.refused(t, down, targetYAML("another", "", ns), "apply", "-n", ns, "-f", "-")
	w.MustKubectl(t, "", "label", "vdep", "job", "team=nuts", "-n", ns)
	w.MustKubectl(t, "", "delete", "vdep", "job", "-n", ns) // nothing refers to it
	w.MustKubectl(t, "", "delete", "namespace", ns, "--timeout=50s")
}

// TestKubectlWatchDescribeExplain drey's objects.
func TestKubectlWatchDescribeExplain(t *testing.T) {
	w := inWorld(t)
	ns := w.Namespace(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	watch := w.KubectlCommand(ctx, "get", "dt", "-n", ns, "-w", "-o", "name")
	out, err := watch.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); _ = watch.Wait() }()
	w.MustKubectl(t, targetYAML("staging", "", ns), "apply", "-n", ns, "-f", "-")
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "deploymenttarget.drey.dev/staging\n" {
		t.Errorf("watched %q, %v", line, err)
	}
	w.MustKubectl(t, "", "wait", "--for=condition=Ready", "dt/staging", "-n", ns, "--timeout=10s")
	if out := w.MustKubectl(t, "", "describe", "dt", "staging", "-n", ns); !strings.Contains(out, "REST shows it") || !strings.Contains(out, "Namespace:  "+ns) {
		t.Error(out)
	}
	for _, path := range []string{"deploymenttargets.drey.dev.spec.kubernetes", "deployments.drey.dev.spec", "sessionclusters.drey.dev.status"} {
		if out := w.MustKubectl(t, "", "explain", path); !strings.Contains(out, "DESCRIPTION") {
			t.Error(out)
		}
	}
}

// TestTargetOwnNamespaceWarning is allowed to those who may run pods there, with
// the warning that REST gives.
func TestTargetOwnNamespaceWarning(t *testing.T) {
	w := inWorld(t)
	ns := w.Namespace(t)
	out := w.MustKubectl(t, targetYAML("home", "", ""), "apply", "-n", ns, "-f", "-")
	if !strings.Contains(out, "Warning: ") || !strings.Contains(out, `"drey-system", the Kubernetes namespace that drey itself runs in`) {
		t.Error(out)
	}
}
