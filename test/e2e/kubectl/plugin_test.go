package kubectl

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/test/framework/page"
)

// TestKubectlPlugin runs drey as a kubectl plugin, which uses the kubeconfig's credentials
// and the cluster's registry.
func TestKubectlPlugin(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	run := w.plugin(t, w.Kubeconfig())
	const home = "default"
	for _, step := range []struct {
		args   string
		input  string
		code   int
		output string // a part of it
	}{
		{"targets create plugged --kubernetes-namespace " + namespace, "", 0, "deploymenttarget/plugged created"},
		{"targets list", "", 0, "plugged"},
		{"targets get plugged -o yaml", "", 0, "namespace: " + namespace},
		{"targets create plugged --kubernetes-namespace other", "", 4, "already exists"},
		{"deployments apply -f -", "metadata: {name: plug}\nspec: {deploymentTargetName: plugged}\n", 0, "deployment/plug created"},
		{"targets delete plugged --preview", "", 4, "Deployment   plug"},
		{"targets delete plugged", "", 4, `it is referenced: Deployment "plug"`},
		{"explain -f - -n " + namespace, deniedDeployment, 0, "HasTarget"},
		{"check -f - -n " + namespace + "-other", deniedDeployment, 6, "has no DeploymentTarget"},
		{"audit -n " + namespace, "", 0, ""},
		{"deployments delete plug", "", 0, "deployment/plug deleted"},
		{"targets delete plugged", "", 0, "deploymenttarget/plugged deleted"},
		{"targets get plugged", "", 3, "does not exist"},
		{"targets list -n " + namespace, "", 0, "No DeploymentTargets in platform namespace " + namespace},
		{"targets create fresh --kubernetes-namespace " + namespace + " -n " + namespace, "", 0, "deploymenttarget/fresh created"},
		{"targets create fresh --kubernetes-namespace " + namespace + " -n none", "", 3, `Kubernetes namespace "none" does not exist`},
		{"targets frobnicate", "", 2, "is not a command of kubectl drey targets"},
	} {
		out, code := run(step.input, strings.Fields(step.args)...)
		if code != step.code || !strings.Contains(out, step.output) {
			t.Errorf("kubectl drey %s: got exit code %d: %s\nwant %d and %q", step.args, code, out, step.code, step.output)
		}
		if step.args == "deployments apply -f -" {
			w.MustKubectl(t, "", "get", "vdep", "plug", "-n", home)
		}
	}
}

// plugin builds the plugin and returns a function that runs `kubectl drey` with a
// kubeconfig, and returns the output and the exit code.
func (w *world) plugin(t *testing.T, kubeconfig string) func(input string, args ...string) (string, int) {
	t.Helper()
	dir := t.TempDir()
	program, err := drey.Build(t.Context(), dir)
	if err == nil {
		err = os.Symlink(program, filepath.Join(dir, "kubectl-drey"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return func(input string, args ...string) (string, int) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, w.Kubectl(), append([]string{"drey"}, args...)...)
		cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "PATH="+dir+":"+os.Getenv("PATH"))
		cmd.Stdin = strings.NewReader(input)
		out, err := cmd.CombinedOutput()
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			return string(out), exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		return string(out), 0
	}
}

// TestKubectlPluginReadiness: targets list shows the status that the running drey wrote.
func TestKubectlPluginReadiness(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	run := w.plugin(t, w.Kubeconfig())
	for name, target := range map[string]string{"here": namespace, "nowhere": namespace + "-missing"} {
		if out, code := run("", "targets", "create", name, "--kubernetes-namespace", target, "-n", namespace); code != 0 {
			t.Fatal(out)
		}
	}
	eventually.OK(t, func() error {
		out, code := run("", "targets", "list", "-o", "wide", "-n", namespace)
		if words := strings.Join(strings.Fields(out), " "); code != 0 || !strings.Contains(words, "here "+namespace+" True - - ") || !strings.Contains(words, "missing False: NamespaceMissing - ") {
			return fmt.Errorf("%d: %s", code, out)
		}
		return nil
	})
}

// TestKubectlPluginCompletion: kubectl completes the arguments of the plugin.
func TestKubectlPluginCompletion(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	run := w.plugin(t, w.Kubeconfig())
	if out, code := run("", "targets", "create", "complete-me", "--kubernetes-namespace", namespace, "-n", namespace); code != 0 {
		t.Fatal(out)
	}
	for args, want := range map[string]string{
		"targets get -n " + namespace + " ":                                             "complete-me",
		"targets get complete-me -n " + namespace + " ":                                 "",
		"targets create x -n " + namespace + " --kubernetes-namespace " + namespace[:4]: namespace,
		"explain -n " + namespace[:4]:                                                   namespace,
		"denials --reason No":                                                           "NoDeploymentTarget",
		"workloads -o ":                                                                 "wide",
		"install --mode ":                                                               "audit",
		"explain flinkdep":                                                              "flinkdeployment/",
	} {
		out, code := run("", append([]string{"__complete"}, strings.Split(args, " ")...)...)
		if first, _, _ := strings.Cut(out, ":4\n"); code != 0 || want != "" && !strings.Contains("\n"+first, "\n"+want) || want == "" && strings.Contains(first, "complete-me") {
			t.Errorf("%s: %d, want %q in\n%s", args, code, want, out)
		}
	}
}

// TestKubectlPluginNamespacedRBAC runs the plugin with a Role in one namespace: the rules of
// docs/how-to/cli.md, and those for audit.
func TestKubectlPluginNamespacedRBAC(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	mine, others := w.Namespace(t), w.Namespace(t)
	w.MustKubectl(t, targetYAML("theirs", "", mine), "apply", "-n", others, "-f", "-")
	w.MustKubectl(t, strings.ReplaceAll(onlyThere, "HOME", mine), "apply", "-f", "-")
	blocks, err := page.CheckedBy("../../..", t.Name())
	if err != nil {
		t.Fatal(err)
	}
	for _, rules := range blocks {
		w.MustKubectl(t, "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: developer, namespace: "+mine+"}\n"+rules+ownerRule, "apply", "-f", "-")
	}
	run := w.plugin(t, w.kubeconfigOf(t, "developer", mine, others))
	for _, step := range []struct {
		args   string
		input  string
		code   int
		output string // a part of it
	}{
		{"targets create staging --kubernetes-namespace " + mine, "", 0, "deploymenttarget/staging created"},
		{"targets create theirs --kubernetes-namespace " + others, "", 4, "may not create pods"},
		{"targets create theirs --kubernetes-namespace " + others, "", 4, "(Forbidden)"},
		{"targets list", "", 0, "staging"},
		{"targets get staging -o yaml", "", 0, "namespace: " + mine},
		{"deployments apply -f -", "metadata: {name: plug}\nspec: {deploymentTargetName: staging}\n", 0, "deployment/plug created"},
		{"deployments apply -f -", "metadata: {name: other}\nspec: {deploymentTargetName: theirs}\n", 4, "there is no DeploymentTarget"},
		{"targets delete staging --preview", "", 4, "unless a target of another platform namespace, which you may not see"},
		{"targets delete staging", "", 4, `it is referenced: Deployment "plug"`},
		{"explain -f -", deniedDeployment, 0, "HasTarget"},
		{"explain -f -", deniedDeployment, 0, "you cannot list others"},
		{"explain -f - -n " + others, deniedDeployment, 0, "you cannot list others"},
		{"explain -f - -n " + others, deniedDeployment, 0, `"namespace":"` + mine + `"`},
		{"explain -f - --context " + others + "", deniedDeployment, 4, "cannot list resource"},
		{"audit", "", 4, "-n NAMESPACE"},
		{"audit -n " + mine, "", 0, "0 findings"},
		{"audit -o json -n " + mine, "", 0, `"onlyPlatformNamespace": "` + mine + `"`},
		{"audit --repair --dry-run -n " + mine, "", 4, "in all namespaces"},
		{"targets list --context " + others + "", "", 4, "cannot list resource"},
		{"targets list -n " + others, "", 4, "an admin of namespace " + others + " can grant it"},
		{"targets list --context none", "", 2, "--context"},
		{"deployments delete plug", "", 0, "deployment/plug deleted"},
		{"targets delete staging", "", 0, "deploymenttarget/staging deleted"},
	} {
		if out, code := run(step.input, strings.Fields(step.args)...); code != step.code || !strings.Contains(out, step.output) {
			t.Errorf("kubectl drey %s: got exit code %d: %s\nwant %d and %q", step.args, code, out, step.code, step.output)
		}
	}
}

// ownerRule is the permission that audit requires in addition.
const ownerRule = "- {apiGroups: [apps, batch], resources: [deployments, statefulsets, jobs, cronjobs], verbs: [list]}\n"

const onlyThere = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: developer, namespace: HOME}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: developer, namespace: HOME}
rules:
- {apiGroups: [drey.dev], resources: [deploymenttargets, deployments, sessionclusters, deploymentdefaults], verbs: [get, list, watch, create, update, delete]}
- {apiGroups: [""], resources: [pods], verbs: [get, list, create]}
` + ownerRule + `---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: developer, namespace: HOME}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: developer}
subjects: [{kind: ServiceAccount, name: developer, namespace: HOME}]
`
