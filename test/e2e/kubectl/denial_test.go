package kubectl

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/eventually"
)

const deniedDeployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: denied}
spec:
  replicas: 0
  selector: {matchLabels: {app: denied}}
  template:
    metadata: {labels: {app: denied, component: jobmanager, type: flink-native-kubernetes}}
    spec: {containers: [{name: flink-main-container, image: "flink:2.2"}]}
`

// TestDenialRemedyKubectl runs the command that a denial prints, unchanged. drey explain
// and drey check agree with admission before and after; they find the registry through
// the kubeconfig.
func TestDenialRemedyKubectl(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	program, err := drey.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	run := func(input string, name string, args ...string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Env = append(os.Environ(), "KUBECONFIG="+w.Kubeconfig(), "PATH="+filepath.Dir(w.Kubectl())+":"+os.Getenv("PATH"))
		cmd.Stdin = strings.NewReader(input)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}

	denial := w.wantDenied(t, fmt.Sprintf("namespace %q has no DeploymentTarget", namespace), deniedDeployment, "create", "-n", namespace, "-f", "-")
	found := regexp.MustCompile(`Register it: (.+ \| kubectl apply -f -) ;`).FindStringSubmatch(denial)
	if found == nil {
		t.Fatalf("got no kubectl command in the denial: %s", denial)
	}
	for _, args := range [][]string{{"explain", "-v", "-f", "-", "-n", namespace}, {"check", "-v", "-f", "-", "-n", namespace}} {
		if out, _ := run(deniedDeployment, program, args...); !strings.Contains(out, "Registry: the cluster at https://") || !strings.Contains(out, "has no DeploymentTarget") {
			t.Errorf("drey %s: got %s\nwant the cluster and the denial", args[0], out)
		}
	}
	if out, err := run("", "sh", "-c", found[1]); err != nil || !strings.Contains(out, "created") {
		t.Fatalf("%s: %v %s", found[1], err, out)
	}
	for _, args := range [][]string{{"explain", "-v", "-f", "-", "-n", namespace}, {"check", "-v", "-f", "-", "-n", namespace}} {
		if out, err := run(deniedDeployment, program, args...); err != nil || strings.Contains(out, "has no DeploymentTarget") {
			t.Errorf("drey %s: %v %s", args[0], err, out)
		}
	}
	eventually.OK(t, func() error { // drey's watch has the target
		if out, err := w.RunKubectl(t, deniedDeployment, "apply", "-n", namespace, "-f", "-"); err != nil {
			return fmt.Errorf("%w %s", err, out)
		}
		return nil
	})
	// --server takes precedence over the cluster.
	if out, err := run(deniedDeployment, program, "explain", "-f", "-", "-n", namespace, "--server", "http://127.0.0.1:1"); err == nil || !strings.Contains(out, "127.0.0.1:1") || strings.Contains(out, "in the cluster at") {
		t.Errorf("--server: got %v %s, want a failure that names it", err, out)
	}
	w.MustKubectl(t, "", "delete", "dt", namespace, "-n", "default")
}
