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

// TestDenialRemedyKubectl, with the command that it prints, as it is. The command
// line says the same of the manifest before and after: it finds the registry where
// kubectl would.
func TestDenialRemedyKubectl(t *testing.T) {
	w := inWorld(t)
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

	denial := w.refused(t, fmt.Sprintf("namespace %q has no DeploymentTarget", namespace), deniedDeployment, "create", "-n", namespace, "-f", "-")
	found := regexp.MustCompile(`Register it: (.+ \| kubectl apply -f -) ;`).FindStringSubmatch(denial)
	if found == nil {
		t.Fatalf("no kubectl command in %s", denial)
	}
	for _, args := range [][]string{{"explain", "-f", "-", "-n", namespace}, {"check", "-f", "-", "-n", namespace}} {
		if out, _ := run(deniedDeployment, program, args...); !strings.Contains(out, "The targets are those in the cluster at https://") || !strings.Contains(out, "has no DeploymentTarget") {
			t.Errorf("drey %s says %s", args[0], out)
		}
	}
	if out, err := run("", "sh", "-c", found[1]); err != nil || !strings.Contains(out, "created") {
		t.Fatalf("%s: %v %s", found[1], err, out)
	}
	for _, args := range [][]string{{"explain", "-f", "-", "-n", namespace}, {"check", "-f", "-", "-n", namespace}} {
		if out, err := run(deniedDeployment, program, args...); err != nil || strings.Contains(out, "has no DeploymentTarget") {
			t.Errorf("drey %s: %v %s", args[0], err, out)
		}
	}
	eventually.OK(t, 10*time.Second, func() error { // drey hears of it by a watch
		if out, err := w.RunKubectl(t, deniedDeployment, "apply", "-n", namespace, "-f", "-"); err != nil {
			return fmt.Errorf("%w %s", err, out)
		}
		return nil
	})
	// Who names a server means that one.
	if out, err := run(deniedDeployment, program, "explain", "-f", "-", "-n", namespace, "--server", "http://127.0.0.1:1"); err == nil || !strings.Contains(out, "127.0.0.1:1") || strings.Contains(out, "in the cluster at") {
		t.Errorf("%v %s", err, out)
	}
	w.MustKubectl(t, "", "delete", "dt", namespace, "-n", "default")
}
