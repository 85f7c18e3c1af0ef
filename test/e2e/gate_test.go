package e2e

import (
	"fmt"
	"strings"
	"testing"

	"drey.dev/drey/test/framework/eventually"
)

// bareFlinkPod is a JobManager pod without a controller. It takes a name.
const bareFlinkPod = `
apiVersion: v1
kind: Pod
metadata: {name: %s, labels: {app: bare, component: jobmanager, type: flink-native-kubernetes}}
spec: {containers: [{name: flink-main-container, image: "flink:2.2"}]}
`

// gatePolicyOutage creates pods while drey is down: the policy drey-gate denies Flink in a
// namespace without a target, and names the remedy and the contact.
func gatePolicyOutage(t *testing.T, w *world) (c outageCase) {
	w.contact = `#data "platform" <o'hara&co>`
	registered, unregistered, warn, asked := w.Namespace(t), w.Namespace(t), w.Namespace(t), w.Namespace(t)
	c.up = func(t *testing.T) {
		w.register(t, "team-a", registered)
		w.MustKubectl(t, "", "label", "namespace", warn, "drey.dev/mode=warn")
		w.MustKubectl(t, "", "annotate", "namespace", asked, "drey.dev/contact=#asked")
	}
	c.down = func(t *testing.T) {
		w.awaitPolicy(t, unregistered)
		w.MustKubectl(t, fmt.Sprintf(bareFlinkPod, "denied"), "create", "--dry-run=server", "-n", unregistered, "-f", "-")
		out, err := w.RunKubectl(t, fmt.Sprintf(bareFlinkPod, "denied"), "create", "-n", unregistered, "-f", "-")
		if err == nil || !strings.Contains(out, fmt.Sprintf("namespace %q has no DeploymentTarget", unregistered)) || !strings.Contains(out, `{"kubernetes":{"namespace":"`+unregistered+`"}}`) {
			t.Errorf("got %v: %s, want a denial with its remedy", err, out)
		}
		for namespace, want := range map[string]string{unregistered: w.contact, asked: "#asked"} {
			if out, err := w.RunKubectl(t, fmt.Sprintf(bareFlinkPod, "denied"), "create", "-n", namespace, "-f", "-"); err == nil || !strings.Contains(out, " ; if you may not, ask "+want) {
				t.Errorf("got %v: %s, want a denial with the contact %s", err, out, want)
			}
		}
		w.MustKubectl(t, fmt.Sprintf(bareFlinkPod, "registered"), "create", "-n", registered, "-f", "-")
		w.MustKubectl(t, fmt.Sprintf(bareFlinkPod, "warn"), "create", "-n", warn, "-f", "-")
		w.MustKubectl(t, "", "run", "web", "-n", unregistered, "--image=nginx")
	}
	return c
}

// awaitPolicy waits until the policy drey-gate denies a Flink pod in a namespace without a
// target. The API server follows policies by a watch.
func (w *world) awaitPolicy(t testing.TB, unregistered string) {
	t.Helper()
	eventually.OK(t, func() error {
		if out, err := w.RunKubectl(t, fmt.Sprintf(bareFlinkPod, "denied"), "create", "-n", unregistered, "-f", "-"); err == nil {
			w.MustKubectl(t, "", "delete", "pod", "denied", "-n", unregistered, "--force")
			return fmt.Errorf("a Flink pod is allowed: %s", out)
		}
		return nil
	})
}

// TestRegisteredLabelProtected has a cluster administrator write the label
// drey.dev/registered: no write changes it but those of drey's ServiceAccount, and drey
// corrects values that its own account has written.
func TestRegisteredLabelProtected(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	namespace, other := w.Namespace(t), w.Namespace(t)
	w.register(t, "team-a", namespace)
	if got := w.registered(t, namespace); got != "true" {
		t.Errorf("drey.dev/registered after registration: got %q, want true", got)
	}
	admin := []string{"--as=" + clusterAdmin, "--as-group=system:masters"}
	for rule, args := range map[string][]string{
		"add":    {"label", "namespace", other, "drey.dev/registered=true"},
		"change": {"label", "namespace", namespace, "drey.dev/registered=draining", "--overwrite"},
		"remove": {"label", "namespace", namespace, "drey.dev/registered-"},
	} {
		w.MustKubectl(t, "", append(admin, args...)...)
		if a, b := w.registered(t, namespace), w.registered(t, other); a != "true" || b != "" {
			t.Errorf("%s as cluster administrator: got drey.dev/registered %q and %q, want true and none", rule, a, b)
		}
	}

	const self = "--as=system:serviceaccount:drey-system:drey"
	w.MustKubectl(t, "", self, "label", "namespace", namespace, "drey.dev/registered-")
	w.MustKubectl(t, "", self, "label", "namespace", other, "drey.dev/registered=true")
	eventually.OK(t, func() error {
		if a, b := w.registered(t, namespace), w.registered(t, other); a != "true" || b != "" {
			return fmt.Errorf("drey.dev/registered: got %q and %q, want true and none", a, b)
		}
		return nil
	})

	// A namespace that is created after its target.
	late := other + "-late"
	w.register(t, "team-a", late)
	w.MustKubectl(t, "", "create", "namespace", late)
	eventually.OK(t, func() error { return w.checkRegistered(t, late, "true") })
	w.MustKubectl(t, "", "delete", "namespace", late, "--wait=false")
}

// checkRegistered compares the label drey.dev/registered of a namespace.
func (w *world) checkRegistered(t testing.TB, namespace, want string) error {
	t.Helper()
	if got := w.registered(t, namespace); got != want {
		return fmt.Errorf("drey.dev/registered of namespace %s: got %q, want %q", namespace, got, want)
	}
	return nil
}

// TestRegisteredLabelDraining deletes a target whose job is scaled to zero: the namespace
// is labeled draining until its last admitted workload is gone.
func TestRegisteredLabelDraining(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	w.register(t, "default", namespace)
	w.runJobManager(t, namespace)
	w.removeTarget(t, namespace)
	eventually.OK(t, func() error { return w.checkRegistered(t, namespace, "draining") })
	w.MustKubectl(t, "", "delete", "-n", namespace, "deployment/my-job")
	eventually.OK(t, func() error { return w.checkRegistered(t, namespace, "") })
}
