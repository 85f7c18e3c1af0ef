package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/transcript"
)

//go:embed manifests
var manifests embed.FS

// demo is the demonstration.
type demo struct {
	*transcript.Transcript
	cluster *cluster.Cluster
	drey    *drey.Drey
}

// run runs all steps, and returns an error if a result is unexpected.
func (d *demo) run(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		d.registerTarget, d.runApplication, d.runSession, d.runNginx, d.denyWithoutTarget, d.denyTargetUpdate,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	d.Table()
	return d.Err()
}

const targets = "/api/v1/namespaces/default/deployment-targets"

func (d *demo) registerTarget(ctx context.Context) error {
	d.Heading("Register the Kubernetes namespace staging over REST")
	if err := d.kubectl(ctx, "create", "namespace", "staging"); err != nil {
		return err
	}
	status, answer, err := d.Curl(ctx, http.MethodPost, d.drey.REST+targets, `{"metadata":{"name":"myDeploymentTarget"},"spec":{"kubernetes":{"namespace":"staging"}}}`)
	if err != nil {
		return err
	}
	d.Expect(status == http.StatusCreated, "POST: got %d, want 201", status)
	d.Expect(strings.Contains(answer, `"resourceVersion":1`), "POST: got %s, want resourceVersion 1", answer)
	return nil
}

func (d *demo) runApplication(ctx context.Context) error {
	d.Heading("Apply an application in native mode: the JobManager's Deployment, and a TaskManager as the JobManager creates it")
	if err := d.apply(ctx, "staging", "jobmanager.yaml", nil); err != nil {
		return err
	}
	jobManager, err := d.pods(ctx, "component=jobmanager,type=flink-native-kubernetes", 1)
	if err != nil {
		return err
	}
	uid, err := d.output(ctx, "get", "deployment", "top-speed", "-n", "staging", "-o", "jsonpath={.metadata.uid}")
	if err != nil {
		return err
	}
	d.record("Pod of Deployment top-speed", jobManager[0], map[string]string{"app": "top-speed", "component": "jobmanager", "type": "flink-native-kubernetes"},
		map[string]string{"drey.dev/app": "flink-job", "system": "ververica-platform", "vvpNamespace": "default", "deploymentName": "top-speed", "deploymentId": uid, "jobId": "7a0c0e1d-2b3a-4958-8776-655443322110"})

	if err := d.apply(ctx, "staging", "taskmanager.yaml", strings.NewReplacer("UID", uid)); err != nil {
		return err
	}
	taskManager, err := d.pods(ctx, "component=taskmanager,type=flink-native-kubernetes", 1)
	if err != nil {
		return err
	}
	d.record("Pod top-speed-taskmanager-1-1", taskManager[0], map[string]string{"app": "top-speed", "component": "taskmanager", "type": "flink-native-kubernetes"},
		map[string]string{"drey.dev/app": "flink-job", "system": "ververica-platform", "vvpNamespace": "default", "deploymentName": "top-speed", "deploymentId": uid})
	return nil
}

func (d *demo) runSession(ctx context.Context) error {
	d.Heading("Apply a session cluster, as in Flink's documentation")
	if err := d.apply(ctx, "staging", "session.yaml", nil); err != nil {
		return err
	}
	jobManager, err := d.pods(ctx, "app=flink,component=jobmanager", 1)
	if err != nil {
		return err
	}
	uid, err := d.output(ctx, "get", "deployment", "playground-jobmanager", "-n", "staging", "-o", "jsonpath={.metadata.uid}")
	if err != nil {
		return err
	}
	d.record("Pod of Deployment playground-jobmanager", jobManager[0], map[string]string{"app": "flink", "component": "jobmanager"},
		map[string]string{"drey.dev/app": "flink-session-cluster", "system": "ververica-platform", "vvpNamespace": "default", "sessionClusterName": "playground", "sessionClusterId": uid})
	// Drey adds the id later to TaskManagers created before their JobManager's Deployment.
	taskManagers, err := d.pods(ctx, "app=flink,component=taskmanager,sessionClusterId", 2)
	if err != nil {
		return err
	}
	for _, pod := range taskManagers {
		d.record("Pod of Deployment playground-taskmanager", pod, map[string]string{"app": "flink", "component": "taskmanager"},
			map[string]string{"drey.dev/app": "flink-session-cluster", "system": "ververica-platform", "vvpNamespace": "default", "sessionClusterName": "playground", "sessionClusterId": uid})
	}
	return nil
}

func (d *demo) runNginx(ctx context.Context) error {
	d.Heading("Apply a pod that is not Flink's")
	if err := d.apply(ctx, "staging", "nginx.yaml", nil); err != nil {
		return err
	}
	pods, err := d.pods(ctx, "app=nginx", 1)
	if err != nil {
		return err
	}
	d.record("Pod nginx", pods[0], map[string]string{"app": "nginx"}, nil)
	return nil
}

func (d *demo) denyWithoutTarget(ctx context.Context) error {
	d.Heading("Apply the application in the namespace sandbox, which has no target")
	if err := d.kubectl(ctx, "create", "namespace", "sandbox"); err != nil {
		return err
	}
	err := d.apply(ctx, "sandbox", "jobmanager.yaml", nil)
	denial, denied := errors.AsType[*commandError](err)
	d.Expect(denied && strings.Contains(denial.output, `namespace "sandbox" has no DeploymentTarget`), "apply in sandbox: got %v, want a denial", err)
	d.Expect(denied && strings.Contains(denial.output, "curl -X POST "+d.drey.REST+targets), "apply in sandbox: got %v, want the command that registers it", err)
	out, err := d.output(ctx, "get", "deployments,pods", "-n", "sandbox", "-o", "name")
	if err != nil {
		return err
	}
	d.Expect(out == "", "objects in sandbox: got %s, want none", out)
	d.Denied("Deployment top-speed in sandbox", "NoDeploymentTarget")
	return nil
}

func (d *demo) denyTargetUpdate(ctx context.Context) error {
	d.Heading("Change a target's spec, which is immutable")
	status, answer, err := d.Curl(ctx, http.MethodPut, d.drey.REST+targets+"/myDeploymentTarget", `{"spec":{"kubernetes":{"namespace":"sandbox"}}}`)
	if err != nil {
		return err
	}
	d.Expect(status == http.StatusConflict && strings.Contains(answer, `"reason":"ImmutableSpec"`), "PUT: got %d, want 409 ImmutableSpec", status)
	return nil
}

// record adds an admitted pod to the table. Its labels must be those of its manifest and
// those that drey adds, and no others.
func (d *demo) record(object string, pod pod, before, added map[string]string) {
	after := maps.Clone(pod.Metadata.Labels)
	delete(after, "pod-template-hash") // the ReplicaSet controller's
	d.Admitted(object, before, after, added)
}

// pod has the fields that the demonstration reads.
type pod struct {
	Metadata struct {
		Name   string            `json:"name"`
		Labels map[string]string `json:"labels"`
	} `json:"metadata"`
}

// pods waits until staging has the wanted number of pods that match a selector.
func (d *demo) pods(ctx context.Context, selector string, want int) ([]pod, error) {
	var found struct{ Items []pod }
	for range 600 {
		text, err := d.output(ctx, "get", "pods", "-n", "staging", "-l", selector, "-o", "json")
		if err != nil {
			return nil, err
		}
		found.Items = nil
		if err := json.Unmarshal([]byte(text), &found); err != nil {
			return nil, err
		}
		if len(found.Items) == want {
			return found.Items, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil, fmt.Errorf("pods %q in staging: got %d, want %d", selector, len(found.Items), want)
}
