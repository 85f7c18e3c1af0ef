package kubectl

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/webhook/config"
)

// TestDeleteReferencedObject compares the denials of kubectl with the errors of REST.
func TestDeleteReferencedObject(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	ns, flink := w.Namespace(t), w.Namespace(t)
	alice := w.admin(t, ns)
	w.MustKubectl(t, targetYAML("staging", "", flink)+targetYAML("by-name", "My_Target", flink+"-2")+targetYAML("free", "", flink)+
		objectYAML("SessionCluster", "cluster", "deploymentTargetName: staging")+
		objectYAML("Deployment", "one", "sessionClusterName: cluster")+
		objectYAML("Deployment", "two", "deploymentTargetName: staging")+
		objectYAML("Deployment", "three", "deploymentTargetName: My_Target"), "apply", "-n", ns, "-f", "-")
	for _, c := range []struct{ kind, name, path, references string }{
		{"dt", "staging", "deployment-targets/staging", `Deployment "two", SessionCluster "cluster"`},
		{"dt", "by-name", "deployment-targets/My_Target", `Deployment "three"`},
		{"vsc", "cluster", "sessionclusters/cluster", `Deployment "one"`},
	} {
		var failure apiError
		eventually.OK(t, func() error { // until the REST server's watch has the objects
			var status int
			if status, failure = alice.call(t, http.MethodDelete, "/api/v1/namespaces/"+ns+"/"+c.path, ""); status != http.StatusConflict {
				return fmt.Errorf("got %d %+v, want 409", status, failure)
			}
			return nil
		})
		if !strings.Contains(failure.Message, c.references) {
			t.Errorf("got the REST error %s, want %s", failure.Message, c.references)
		}
		for _, args := range [][]string{{"delete", c.kind, c.name}, {"delete", c.kind, c.name, "--dry-run=server"}, {"delete", c.kind, c.name, "--force"}, {"delete", c.kind, "--all"}} {
			w.wantDenied(t, "denied the request: "+failure.Message, "", alice.as(ns, args...)...)
		}
		w.MustKubectl(t, "", "get", c.kind, c.name, "-n", ns)
	}
	w.wantDenied(t, `SessionCluster "cluster"`, targetYAML("staging", "", flink), alice.as(ns, "replace", "--force", "-f", "-")...)

	w.MustKubectl(t, "", alice.as(ns, "delete", "vdep", "--all")...)
	w.MustKubectl(t, "", alice.as(ns, "delete", "vsc", "cluster")...)
	w.MustKubectl(t, "", alice.as(ns, "delete", "dt", "staging", "--dry-run=server")...)
	w.MustKubectl(t, "", alice.as(ns, "delete", "dt", "staging", "by-name")...)
}

// TestDeleteTargetRunningPod deletes a target while a Flink pod runs in its namespace.
func TestDeleteTargetRunningPod(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	ns := w.Namespace(t)
	alice := w.admin(t, ns)
	w.MustKubectl(t, targetYAML("own", "", ns), alice.as(ns, "apply", "-f", "-")...)
	eventually.OK(t, func() error {
		out, err := w.RunKubectl(t, strings.ReplaceAll(strings.Replace(flinkPod, ", KEY: ID", "", 1), "thief", "job"), alice.as(ns, "apply", "-f", "-")...)
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	w.wantDenied(t, `cannot be deleted while it is referenced: Pod "job"`, "", alice.as(ns, "delete", "dt", "own")...)
	w.MustKubectl(t, "", alice.as(ns, "delete", "pod", "job", "--force")...)
	w.MustKubectl(t, "", alice.as(ns, "delete", "dt", "own")...)
}

// TestDeploymentDefaults writes the defaults with kubectl, and creates a Deployment over REST.
func TestDeploymentDefaults(t *testing.T) {
	w := sharedWorld(t)
	ns := w.Namespace(t)
	alice := w.admin(t, ns)
	w.wantDenied(t, `spec.deploymentTargetName: there is no DeploymentTarget "nowhere"`,
		objectYAML("DeploymentDefaults", "deployment-defaults", "deploymentTargetName: nowhere"), alice.as(ns, "apply", "-f", "-")...)
	w.wantDenied(t, "metadata.name must be deployment-defaults", objectYAML("DeploymentDefaults", "mine", ""), alice.as(ns, "apply", "-f", "-")...)
	w.MustKubectl(t, targetYAML("staging", "", ns)+objectYAML("DeploymentDefaults", "deployment-defaults", "deploymentTargetName: staging"), alice.as(ns, "apply", "-f", "-")...)
	status, failure := alice.call(t, http.MethodPost, "/api/v1/namespaces/"+ns+"/deployments", `{"metadata":{"name":"orders"},"spec":{}}`)
	if status != http.StatusCreated {
		t.Fatalf("got %d %+v, want 201", status, failure)
	}
	if got := w.MustKubectl(t, "", alice.as(ns, "get", "vdep", "orders", "-o", "jsonpath={.spec.deploymentTargetName}")...); got != "staging" {
		t.Errorf("got the target %q, want the default", got)
	}
	w.MustKubectl(t, "", alice.as(ns, "wait", "vdd/deployment-defaults", "--for=condition=Ready")...)
}

// TestUnknownReferences refers to objects that do not exist, with every write of kubectl.
func TestUnknownReferences(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	ns := w.Namespace(t)
	alice := w.admin(t, ns)
	const unknown = `spec.deploymentTargetName: there is no DeploymentTarget "nowhere" in platform namespace`
	w.wantDenied(t, unknown, objectYAML("Deployment", "a", "deploymentTargetName: nowhere"), alice.as(ns, "apply", "-f", "-")...)
	w.wantDenied(t, unknown, objectYAML("SessionCluster", "a", "deploymentTargetName: nowhere"), alice.as(ns, "apply", "--server-side", "-f", "-")...)
	w.wantDenied(t, "spec.deploymentTargetId: there is no", objectYAML("Deployment", "a", "deploymentTargetId: 11111111-2222-4333-8444-555555555555"), alice.as(ns, "apply", "-f", "-")...)
	w.wantDenied(t, `there is no SessionCluster "nowhere"`, objectYAML("Deployment", "a", "sessionClusterName: nowhere"), alice.as(ns, "apply", "-f", "-")...)
	w.MustKubectl(t, objectYAML("Deployment", "without", "state: CANCELLED"), alice.as(ns, "apply", "-f", "-")...)

	// One manifest has the target and its references, and each write sees the one before.
	for i := range 5 {
		empty := w.Namespace(t)
		w.MustKubectl(t, targetYAML("staging", "", ns)+objectYAML("SessionCluster", "c", "deploymentTargetName: staging")+
			objectYAML("Deployment", "d", "deploymentTargetName: staging, sessionClusterName: c"), "apply", "-n", empty, "-f", "-")
		w.MustKubectl(t, targetYAML("upper", "Upper_"+fmt.Sprint(i), ns), "apply", "-n", empty, "-f", "-")
	}

	w.MustKubectl(t, targetYAML("staging", "", ns)+objectYAML("Deployment", "job", "state: RUNNING, deploymentTargetName: staging"), alice.as(ns, "apply", "-f", "-")...)
	const job = `state: RUNNING, deploymentTargetName: %s, parallelism: %d`
	moved := func(target string, n int) string { return objectYAML("Deployment", "job", fmt.Sprintf(job, target, n)) }
	awaitStatus := func() { // else its write conflicts with kubectl replace
		t.Helper()
		eventually.OK(t, func() error {
			out := w.MustKubectl(t, "", "get", "vdep", "job", "-n", ns, "-o", "jsonpath={.metadata.generation} {.status.observedGeneration}")
			if generation, observed, _ := strings.Cut(out, " "); generation != observed {
				return fmt.Errorf("generation %s, status.observedGeneration %s", generation, observed)
			}
			return nil
		})
	}
	w.wantDenied(t, unknown, moved("nowhere", 1), alice.as(ns, "apply", "-f", "-")...)
	awaitStatus()
	w.wantDenied(t, unknown, moved("nowhere", 2), alice.as(ns, "replace", "-f", "-")...)
	w.wantDenied(t, unknown, moved("nowhere", 3), alice.as(ns, "apply", "--server-side", "--force-conflicts", "-f", "-")...)
	w.wantDenied(t, unknown, "", alice.as(ns, "patch", "vdep", "job", "--type=merge", "-p", `{"spec":{"deploymentTargetName":"nowhere"}}`)...)
	w.wantDenied(t, unknown, moved("nowhere", 3), alice.as(ns, "apply", "--dry-run=server", "-f", "-")...)
	for _, args := range [][]string{
		{"apply", "-f", "-"}, {"replace", "-f", "-"}, {"apply", "--server-side", "--force-conflicts", "-f", "-"}, {"apply", "--dry-run=server", "-f", "-"},
	} {
		w.MustKubectl(t, moved("staging", len(args)), alice.as(ns, args...)...)
		awaitStatus()
	}
	edit := w.KubectlCommand(t.Context(), alice.as(ns, "edit", "vdep", "job")...)
	edit.Env = append(edit.Environ(), `KUBE_EDITOR=sed -i s/RUNNING/SUSPENDED/`)
	if out, err := edit.CombinedOutput(); err != nil {
		t.Errorf("kubectl edit: %v: %s", err, out)
	}
	if got := w.MustKubectl(t, "", alice.as(ns, "get", "vdep", "job", "-o", "jsonpath={.spec.state}")...); got != "SUSPENDED" {
		t.Errorf("got the state %q after kubectl edit, want SUSPENDED", got)
	}
	w.MustKubectl(t, "", alice.as(ns, "label", "vdep", "job", "team=nuts")...)
	w.MustKubectl(t, "", alice.as(ns, "patch", "vdep", "job", "--subresource=status", "--type=merge", "-p", `{"status":{"name":"x"}}`)...)
}

// TestTerminatingObjects updates an object with a deletionTimestamp. Drey allows it, so
// finalizers can be removed.
func TestTerminatingObjects(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	ns := w.Namespace(t)
	held := strings.Replace(targetYAML("held", "", ns), "{name: held", "{finalizers: [example.com/hold], name: held", 1)
	w.MustKubectl(t, held, "apply", "-n", ns, "-f", "-")
	w.MustKubectl(t, "", "delete", "dt", "held", "-n", ns, "--wait=false")
	w.MustKubectl(t, "", "delete", "dt", "held", "-n", ns, "--wait=false")
	w.MustKubectl(t, "", "annotate", "dt", "held", "-n", ns, "a=b")
	w.MustKubectl(t, "", "patch", "dt", "held", "-n", ns, "--type=merge", "-p", `{"metadata":{"finalizers":[]}}`)
	if out := w.MustKubectl(t, "", "get", "dt", "-n", ns); !strings.Contains(out, "No resources found") {
		t.Errorf("got %s, want no targets", out)
	}
}

// TestDuplicateRESTName creates a second object with the spec.name of another.
func TestDuplicateRESTName(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	ns := w.Namespace(t)
	w.MustKubectl(t, targetYAML("one", "My_Target", ns), "apply", "-n", ns, "-f", "-")
	eventually.OK(t, func() error {
		out, err := w.RunKubectl(t, targetYAML("another", "My_Target", ns), "create", "--dry-run=server", "-n", ns, "-f", "-")
		if err == nil {
			return fmt.Errorf("got %s, want a denial", out)
		}
		const want = `DeploymentTarget "My_Target" exists in platform namespace`
		if !strings.Contains(out, want) || !strings.Contains(out, "kubectl delete deploymenttarget.drey.dev one -n "+ns) {
			t.Fatalf("got %s\nwant %s", out, want)
		}
		return nil
	})
	w.wantDenied(t, "AlreadyExists", targetYAML("one", "My_Target", ns), "create", "-n", ns, "-f", "-") // the API server's own error
	w.MustKubectl(t, targetYAML("one", "My_Target", ns), "apply", "-n", ns, "-f", "-")
	w.MustKubectl(t, targetYAML("another", "my_target", ns), "apply", "-n", ns, "-f", "-") // names are case-sensitive
}

// TestDeleteNamespaceWithReferences deletes a namespace with objects that refer to each other.
func TestDeleteNamespaceWithReferences(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	ns := w.Namespace(t)
	fillWithReferences(t, w, ns)
	w.MustKubectl(t, "", "delete", "namespace", ns)
	eventually.OK(t, func() error {
		if out := w.MustKubectl(t, "", "get", "dt,vdep,vsc", "-n", ns); !strings.Contains(out, "No resources found") {
			return fmt.Errorf("got %s, want no objects", out)
		}
		return nil
	})
}

func fillWithReferences(t *testing.T, w *world, ns string) {
	t.Helper()
	w.MustKubectl(t, targetYAML("staging", "", ns)+objectYAML("SessionCluster", "cluster", "deploymentTargetName: staging")+
		objectYAML("Deployment", "job", "sessionClusterName: cluster, deploymentTargetName: staging"), "apply", "-n", ns, "-f", "-")
}

// TestDreyUnavailable kills drey. The webhook fails closed for writes to drey's resources.
// Updates of labels, status updates, deletions of Deployments and of namespaces pass. The errors disclose
// the token of the webhook, which the new leader renews.
func TestDreyUnavailable(t *testing.T) {
	w := withFlink(t)
	ns := w.Namespace(t)
	fillWithReferences(t, w, ns)
	if err := w.drey.Kill(); err != nil {
		t.Fatal(err)
	}
	restart := func() {
		w.MustKubectl(t, "", "delete", "leases", "--all", "-n", "drey-system") // of the killed leader: they expire after 15 s
		if err := w.startDrey(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	defer func() { restart() }()
	url, err := drey.WebhookURL(t.Context(), w.Cluster, config.NameValidateRegistry)
	if err != nil {
		t.Fatal(err)
	}
	const down = `failed calling webhook "registry.drey.dev"`
	w.wantDenied(t, down, "", "delete", "dt", "staging", "-n", ns)
	if out := w.wantDenied(t, down, targetYAML("another", "", ns), "apply", "-n", ns, "-f", "-"); !strings.Contains(out, url) {
		t.Errorf("got %s, without the URL: tokens need no renewal any more", out)
	}
	w.MustKubectl(t, "", "label", "vdep", "job", "team=nuts", "-n", ns) // registry-metadata.drey.dev fails open
	w.MustKubectl(t, "", "patch", "vdep", "job", "-n", ns, "--subresource=status", "--type=merge", "-p", `{"status":{"name":"x"}}`)
	w.MustKubectl(t, "", "delete", "vdep", "job", "-n", ns) // nothing refers to it
	w.MustKubectl(t, "", "delete", "namespace", ns)
	restart()
	restart = func() {}
	t.Run("a disclosed token is renewed, and is no token of another webhook", func(t *testing.T) {
		token := url[strings.LastIndex(url, "/"):]
		eventually.OK(t, func() error {
			for _, base := range config.Paths() {
				if answer := post(t, w.drey.Webhook+base+token, "{}"); answer.status != http.StatusForbidden {
					return fmt.Errorf("%s: got %v, want 403", base, answer)
				}
			}
			return nil
		})
	})
}

// TestKubectlWatchDescribeExplain reads drey's resources with the other verbs of kubectl.
func TestKubectlWatchDescribeExplain(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	ns := w.Namespace(t)
	ctx, cancel := context.WithCancel(t.Context())
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
		t.Errorf("kubectl get -w: got %q, %v", line, err)
	}
	w.MustKubectl(t, "", "wait", "--for=condition=Ready", "dt/staging", "-n", ns)
	if out := w.MustKubectl(t, "", "describe", "dt", "staging", "-n", ns); !strings.Contains(out, "Flink may run in Kubernetes namespace") || !strings.Contains(out, "Namespace:  "+ns) {
		t.Errorf("kubectl describe: got %s", out)
	}
	for _, path := range []string{"deploymenttargets.drey.dev.spec.kubernetes", "deployments.drey.dev.spec", "sessionclusters.drey.dev.status"} {
		if out := w.MustKubectl(t, "", "explain", path); !strings.Contains(out, "DESCRIPTION") {
			t.Errorf("kubectl explain %s: got %s", path, out)
		}
	}
}

// TestTargetOwnNamespaceWarning registers drey's own namespace as a target, which is
// allowed with a warning.
func TestTargetOwnNamespaceWarning(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	ns := w.Namespace(t)
	out := w.MustKubectl(t, targetYAML("home", "", ""), "apply", "-n", ns, "-f", "-")
	if !strings.Contains(out, "Warning: ") || !strings.Contains(out, `"drey-system", the Kubernetes namespace that drey runs in`) {
		t.Errorf("got %s, want a warning", out)
	}
}
