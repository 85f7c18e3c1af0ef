package kubectl

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drey.dev/drey/test/drey"
)

// TestKubectlDrey has kubectl run drey as its plugin: the commands speak to the cluster,
// with the rights of the person, in the same words.
func TestKubectlDrey(t *testing.T) {
	w := inWorld(t)
	namespace := w.Namespace(t)
	dir := t.TempDir()
	program, err := drey.Build(t.Context(), dir)
	if err == nil {
		err = os.Symlink(program, filepath.Join(dir, "kubectl-drey"))
	}
	if err != nil {
		t.Fatal(err)
	}
	run := func(input string, args ...string) (string, int) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, w.Kubectl(), append([]string{"drey"}, args...)...)
		cmd.Env = append(os.Environ(), "KUBECONFIG="+w.Kubeconfig(), "PATH="+dir+":"+os.Getenv("PATH"))
		cmd.Stdin = strings.NewReader(input)
		out, err := cmd.CombinedOutput()
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			return string(out), exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		return string(out), 0
	}
	const home = "default"
	for _, step := range []struct {
		args  string
		input string
		code  int
		says  string
	}{
		{"targets create plugged --kubernetes-namespace " + namespace, "", 0, "deploymenttarget/plugged created"},
		{"targets list", "", 0, "plugged"},
		{"targets get plugged -o yaml", "", 0, "namespace: " + namespace},
		{"targets create plugged --kubernetes-namespace other", "", 4, "exists already"},
		{"deployments apply -f -", "metadata: {name: plug}\nspec: {deploymentTargetName: plugged}\n", 0, "deployment/plug created"},
		{"targets delete plugged --preview", "", 4, "Deployment   plug"},
		{"targets delete plugged", "", 4, `something refers to it: Deployment "plug"`},
		{"explain -f - -n " + namespace, deniedDeployment, 0, "HasTarget"},
		{"check -f - -n " + namespace + "-other", deniedDeployment, 1, "has no DeploymentTarget"},
		{"audit -n " + namespace, "", 0, ""},
		{"deployments delete plug", "", 0, "deployment/plug deleted"},
		{"targets delete plugged", "", 0, "deploymenttarget/plugged deleted"},
		{"targets get plugged", "", 3, "does not exist"},
		{"targets frobnicate", "", 2, "is not a command of kubectl drey targets"},
	} {
		out, code := run(step.input, strings.Fields(step.args)...)
		if code != step.code || !strings.Contains(out, step.says) {
			t.Errorf("kubectl drey %s ends with %d: %s\nwant %d and %q", step.args, code, out, step.code, step.says)
		}
		if step.args == "deployments apply -f -" {
			w.mustKubectl(t, "", "get", "vdep", "plug", "-n", home) // it is what others see
		}
	}
}
