package kubectl

import (
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"drey.dev/drey/test/framework/eventually"
)

// TestNamespaceAdminForeignTarget registers a target for a namespace in which the user may
// not create pods. kubectl and REST deny it, and the command in the denial grants it.
func TestNamespaceAdminForeignTarget(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	mine, other := w.Namespace(t), w.Namespace(t)
	alice := w.admin(t, mine)
	denial := fmt.Sprintf("%s may not create pods in Kubernetes namespace %q, so they may not register a target for it either. ", alice.name, other)

	w.MustKubectl(t, targetYAML("own", "", mine), alice.as(mine, "apply", "-f", "-")...)
	out := w.wantDenied(t, denial, targetYAML("foreign", "", other), alice.as(mine, "apply", "-f", "-")...)
	w.wantDenied(t, denial, targetYAML("foreign", "", other), alice.as(mine, "create", "--dry-run=server", "-f", "-")...)
	w.wantDenied(t, denial, targetYAML("foreign", "", other), alice.as(mine, "apply", "--server-side", "-f", "-")...)
	w.wantDenied(t, `may not create pods in Kubernetes namespace "drey-system"`, targetYAML("home", "", ""), alice.as(mine, "apply", "-f", "-")...)
	w.wantDenied(t, "is immutable", targetYAML("own", "", other), alice.as(mine, "apply", "-f", "-")...)

	path := "/api/v1/namespaces/" + mine + "/deployment-targets"
	body := func(name, namespace string) string {
		return fmt.Sprintf(`{"metadata":{"name":%q},"spec":{"kubernetes":{"namespace":%q}}}`, name, namespace)
	}
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", path, body("rest-own", mine), 201},
		{"PUT", path + "/rest-own", body("rest-own", mine), 200},
		{"POST", path, body("rest-foreign", other), 403},
		{"PUT", path + "/rest-foreign", body("rest-foreign", other), 403},
		{"PUT", path + "/rest-own", body("rest-own", other), 409},
		{"POST", path, `{"metadata":{"name":"home"},"spec":{"kubernetes":{}}}`, 403},
	} {
		status, failure := alice.call(t, c.method, c.path, c.body)
		if status != c.status {
			t.Errorf("%s %s %s: got %d %s, want %d", c.method, c.path, c.body, status, failure.Message, c.status)
		}
		if status == 403 && failure.Reason != "ClaimForbidden" {
			t.Errorf("%s %s: got reason %q, want ClaimForbidden", c.method, c.path, failure.Reason)
		}
		if c.status == 403 && strings.Contains(c.body, other) && !strings.Contains(out, failure.Message) {
			t.Errorf("got the REST error %q, want that of kubectl: %s", failure.Message, out)
		}
	}

	// The cluster's administrator runs the command of the denial.
	_, command, ok := strings.Cut(strings.TrimSpace(out), "grant the right: ")
	if !ok {
		t.Fatalf("got no command in the denial: %s", out)
	}
	run := exec.CommandContext(t.Context(), "/bin/sh", "-c", `kubectl() { "$KUBECTL" "$@"; }; `+command)
	run.Env = w.KubectlCommand(t.Context()).Env
	run.Env = append(run.Env, "KUBECTL="+w.Kubectl())
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v %s", command, err, out)
	}
	eventually.OK(t, func() error {
		if out, err := w.RunKubectl(t, targetYAML("foreign", "", other), alice.as(mine, "apply", "-f", "-")...); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		if status, failure := alice.call(t, http.MethodPut, path+"/rest-foreign", body("rest-foreign", other)); status != 201 && status != 200 {
			return fmt.Errorf("REST: got %d %s, want 200 or 201", status, failure.Message)
		}
		return nil
	})
}

// TestNamespaceAdminRegisteredLabel sets drey.dev/registered on a namespace: a user with
// permission to edit the namespace gets a warning, and no label.
func TestNamespaceAdminRegisteredLabel(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	mine := w.Namespace(t)
	alice := w.admin(t, mine)
	w.wantDenied(t, `cannot patch resource "namespaces"`, "", alice.as(mine, "label", "namespace", mine, "drey.dev/registered=true")...)
	w.MustKubectl(t, "", "create", "role", "namespace-editor", "-n", mine, "--verb=get,update,patch", "--resource=namespaces")
	w.MustKubectl(t, "", "create", "rolebinding", "namespace-editor", "-n", mine, "--role=namespace-editor", "--serviceaccount="+mine+":admin")
	eventually.OK(t, func() error {
		out, err := w.RunKubectl(t, "", alice.as(mine, "label", "namespace", mine, "drey.dev/registered=true")...)
		if err == nil && !strings.Contains(out, "Warning: drey sets the label drey.dev/registered itself") {
			return fmt.Errorf("got %s, want a warning", out)
		}
		return err
	})
	if got := w.MustKubectl(t, "", "get", "namespace", mine, "-o", `jsonpath={.metadata.labels.drey\.dev/registered}`); got != "" {
		t.Errorf("got the label drey.dev/registered=%q, want none", got)
	}
}

const flinkPod = `
apiVersion: v1
kind: Pod
metadata: {name: thief, labels: {app: thief, component: jobmanager, type: flink-native-kubernetes, KEY: ID}}
spec: {containers: [{name: flink-main-container, image: "flink:2.2"}]}
`

const flinkDeployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  replicas: 0
  selector: {matchLabels: {run: NAME}}
  template:
    metadata: {labels: {run: NAME, app: NAME, component: jobmanager, type: flink-native-kubernetes LABELS}}
    spec: {containers: [{name: flink-main-container, image: "flink:2.2", args: [kubernetes-jobmanager.sh, kubernetes-application]}]}
`

// TestNamespaceAdminForeignID states the id of another user's object in a label of a
// workload, in a pod template, and in the annotation drey.dev/id. All are denied.
func TestNamespaceAdminForeignID(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	mine, other := w.Namespace(t), w.Namespace(t)
	alice, bob := w.admin(t, mine), w.admin(t, other)
	w.MustKubectl(t, targetYAML("own", "", mine)+objectYAML("Deployment", "old", "deploymentTargetName: own"), alice.as(mine, "apply", "-f", "-")...)
	w.MustKubectl(t, targetYAML("own", "", other), bob.as(other, "apply", "-f", "-")...)
	status, failure := bob.call(t, "POST", "/api/v1/namespaces/"+other+"/deployments", `{"metadata":{"name":"job"},"spec":{"deploymentTargetName":"own"}}`)
	if status != 201 {
		t.Fatalf("got %d %s, want 201", status, failure.Message)
	}
	var ids = map[string]string{
		"Deployment registered by REST": w.MustKubectl(t, "", "get", "vdep", "job", "-n", other, "-o", `jsonpath={.metadata.annotations.drey\.dev/id}`),
	}
	w.MustKubectl(t, objectYAML("Deployment", "by-hand", "deploymentTargetName: own"), bob.as(other, "apply", "-f", "-")...)
	ids["Deployment registered by kubectl"] = w.MustKubectl(t, "", "get", "vdep", "by-hand", "-n", other, "-o", "jsonpath={.metadata.uid}")
	eventually.OK(t, func() error { // until drey's watch has the target
		out, err := w.RunKubectl(t, flinkYAML("running", ""), bob.as(other, "apply", "-f", "-")...)
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	ids["Kubernetes Deployment of another user"] = w.MustKubectl(t, "", "get", "deployment.apps", "running", "-n", other, "-o", "jsonpath={.metadata.uid}")

	w.MustKubectl(t, strings.NewReplacer(", KEY: ID", "", "thief", "runs").Replace(flinkPod)+"---"+flinkYAML("runs", ""), alice.as(mine, "create", "-f", "-")...)
	for rule, id := range ids {
		t.Run(strings.ReplaceAll(rule, " ", "_"), func(t *testing.T) {
			if len(id) != 36 {
				t.Fatalf("got the id %q, want a UUID", id)
			}
			const conflict = "that id belongs to another object"
			eventually.OK(t, func() error { // until drey's watch has the object
				out, err := w.RunKubectl(t, strings.NewReplacer("KEY", "deploymentId", "ID", id).Replace(flinkPod), alice.as(mine, "create", "--dry-run=server", "-f", "-")...)
				if err == nil || !strings.Contains(out, conflict) {
					return fmt.Errorf("%w: %s", err, out)
				}
				return nil
			})
			w.wantDenied(t, conflict, flinkYAML("thief", ", deploymentId: "+id), alice.as(mine, "create", "--dry-run=server", "-f", "-")...)

			// Updates of the labels are denied as well, of a pod and of its owner.
			for _, key := range []string{"deploymentId", "sessionClusterId"} {
				w.wantDenied(t, conflict, "", alice.as(mine, "label", "pod", "runs", key+"="+id)...)
				w.wantDenied(t, conflict, "", alice.as(mine, "label", "deployment.apps", "runs", key+"="+id, "--overwrite")...)
			}
			w.MustKubectl(t, "", alice.as(mine, "label", "deployment.apps", "runs", "system=mine", "--overwrite")...)
			w.MustKubectl(t, "", alice.as(mine, "label", "deployment.apps", "runs", "deploymentId="+id, "--overwrite")...) // without system=ververica-platform it has no effect
			w.wantDenied(t, conflict, "", alice.as(mine, "label", "deployment.apps", "runs", "system=ververica-platform", "--overwrite")...)
			w.MustKubectl(t, "", alice.as(mine, "label", "deployment.apps", "runs", "deploymentId-", "system=ververica-platform", "--overwrite")...)

			const taken = "states the id"
			annotated := strings.Replace(objectYAML("Deployment", "thief", "deploymentTargetName: own"), "{name: thief", "{annotations: {drey.dev/id: "+id+"}, name: thief", 1)
			w.wantDenied(t, taken, annotated, alice.as(mine, "apply", "-f", "-")...)
			w.wantDenied(t, taken, strings.Replace(annotated, "kind: Deployment", "kind: SessionCluster", 1), alice.as(mine, "apply", "-f", "-")...)
			w.wantDenied(t, taken, "", alice.as(mine, "annotate", "vdep", "old", "drey.dev/id="+id)...) // it is older, so it would win
			w.wantDenied(t, taken, "", alice.as(mine, "annotate", "dt", "own", "drey.dev/id="+id)...)
		})
	}
	w.MustKubectl(t, "", alice.as(mine, "annotate", "vdep", "old", "drey.dev/id=11111111-2222-4333-8444-555555555555")...) // an unused id, as after a migration
}

func flinkYAML(name, labels string) string {
	return strings.NewReplacer("NAME", name, " LABELS", labels).Replace(flinkDeployment)
}
