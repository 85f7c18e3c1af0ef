package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"drey.dev/drey/test/framework/transcript"
	"drey.dev/drey/webhook/config"
)

// try is the demonstration.
type try struct {
	*transcript.Transcript
	*parts
	program string // path of the drey binary; empty until it is built
}

// registered has a target from the first step on, unregistered after the command of a denial
// has run.
const registered, unregistered = "flink", "sandbox"

func (t *try) registerTarget(ctx context.Context) error {
	t.Heading("Register the Kubernetes namespace %s over REST", registered)
	status, answer, err := t.Curl(ctx, http.MethodPost, t.rest+"/api/v1/namespaces/default/deployment-targets",
		`{"metadata":{"name":"myDeploymentTarget"},"spec":{"kubernetes":{"namespace":"`+registered+`"}}}`)
	if err != nil {
		return err
	}
	t.Expect(status == http.StatusCreated && strings.Contains(answer, `"resourceVersion":1`), "POST: got %d, want 201 with resourceVersion 1", status)
	return nil
}

func (t *try) admitApplication(ctx context.Context) error {
	t.Heading("Admit a Flink application in namespace %s: its Deployment and pods, recorded from Flink 2.3", registered)
	deployment, err := t.admit(ctx, config.PathValidateWorkloads, registered, fixture("jobmanager-deployment"))
	if err != nil {
		return err
	}
	id := string((&unstructured.Unstructured{Object: deployment}).GetUID())
	for _, pod := range []string{"jobmanager-pod", "taskmanager-pod"} {
		before, err := readObject(fixture(pod))
		if err != nil {
			return err
		}
		after, err := t.admit(ctx, config.PathLabelPods, registered, fixture(pod))
		if err != nil {
			return err
		}
		t.Admitted("Pod "+(&unstructured.Unstructured{Object: before}).GetName(), labelsOf(before), labelsOf(after), map[string]string{
			"drey.dev/app": "flink-job", "system": "ververica-platform", "vvpNamespace": "default", "deploymentName": "app", "deploymentId": id,
		})
	}
	return nil
}

func (t *try) admitNginx(ctx context.Context) error {
	t.Heading("Admit a pod that is not Flink's; a real API server does not even send it, by a CEL condition")
	path := filepath.Join("test", "demo", "manifests", "nginx.yaml")
	before, err := readObject(path)
	if err != nil {
		return err
	}
	after, err := t.admit(ctx, config.PathLabelPods, unregistered, path)
	if err != nil {
		return err
	}
	t.Admitted("Pod nginx", labelsOf(before), labelsOf(after), nil)
	return nil
}

// command is the curl command of a denial.
var command = regexp.MustCompile(`curl -X POST (\S+) -H 'Content-Type: application/json' -d '([^']+)'`)

func (t *try) denyWithoutTarget(ctx context.Context) error {
	t.Heading("Create the Deployment in the namespace %s, which has no target", unregistered)
	path := fixture("jobmanager-deployment")
	o, err := readObject(path)
	if err != nil {
		return err
	}
	_, answer, err := t.review(ctx, config.PathValidateWorkloads, unregistered, o)
	if err != nil {
		return err
	}
	if answer.Allowed || answer.Result == nil {
		t.Expect(false, "create in %s: got allowed, want denied", unregistered)
		return nil
	}
	t.Denied("Deployment app in "+unregistered, "NoDeploymentTarget")
	found := command.FindStringSubmatch(answer.Result.Message)
	t.Expect(found != nil && strings.Contains(answer.Result.Message, `namespace "`+unregistered+`" has no DeploymentTarget`), "denial: got %q, want the missing target and the curl command that registers it", answer.Result.Message)
	if found == nil {
		return nil
	}

	t.Heading("Run the command of the denial, and create the Deployment again")
	status, _, err := t.Curl(ctx, http.MethodPost, found[1], found[2])
	if err != nil {
		return err
	}
	t.Expect(status == http.StatusCreated, "command of the denial: got %d, want 201", status)
	_, err = t.admit(ctx, config.PathValidateWorkloads, unregistered, path)
	return err
}

// build compiles drey, whose clients of Kubernetes take longer than all that runs here.
func (t *try) build(ctx context.Context) error {
	if t.program != "" {
		return nil
	}
	t.Heading("Compile bin/drey for its commands; the first time takes one to two minutes")
	fmt.Fprintln(t.Out, "   $ make build")
	t.program = filepath.Join("bin", "drey")
	if out, err := exec.CommandContext(ctx, "make", "build").CombinedOutput(); err != nil {
		return fmt.Errorf("make build: %w\n%s", err, out)
	}
	return nil
}

func (t *try) explain(ctx context.Context) error {
	t.Heading("Explain the labels of the TaskManager")
	code, out, err := t.drey(ctx, "explain", "-f", fixture("taskmanager-pod"))
	if err != nil {
		return err
	}
	t.Expect(code == 0 && strings.Contains(out, "deploymentName"), "drey explain: got exit code %d, want 0 and the label deploymentName", code)
	return nil
}

func (t *try) check(ctx context.Context) error {
	t.Heading("Check manifests in a pipeline: allowed in %s, denied in a namespace without a target", registered)
	path := filepath.Join("test", "demo", "manifests", "jobmanager.yaml")
	for _, c := range []struct {
		namespace string
		want      int
	}{{registered, 0}, {"elsewhere", 6}} {
		code, _, err := t.drey(ctx, "check", "-f", path, "-n", c.namespace)
		if err != nil {
			return err
		}
		t.Expect(code == c.want, "drey check -n %s: got exit code %d, want %d", c.namespace, code, c.want)
	}
	return nil
}

// admit reviews the creation of the object in a file, and expects that it is allowed.
func (t *try) admit(ctx context.Context, webhook, namespace, path string) (object, error) {
	o, err := readObject(path)
	if err != nil {
		return nil, err
	}
	after, answer, err := t.review(ctx, webhook, namespace, o)
	if err != nil {
		return nil, err
	}
	t.Expect(answer.Allowed, "%s in %s: got denied, want allowed", path, namespace)
	return after, nil
}

// drey runs a command of drey with the registry of this process, and prints it.
func (t *try) drey(ctx context.Context, args ...string) (code int, out string, err error) {
	cmd := exec.CommandContext(ctx, t.program, append(args, "--server", t.rest)...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+os.DevNull)
	fmt.Fprintf(t.Out, "   $ bin/drey %s\n", strings.Join(cmd.Args[1:], " "))
	text, err := cmd.CombinedOutput()
	t.Detail("%s", text)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Detail("exit code %d", exit.ExitCode())
		return exit.ExitCode(), string(text), nil
	}
	return 0, string(text), err
}
