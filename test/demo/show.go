package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
)

//go:embed manifests
var manifests embed.FS

// show is the demonstration. What it expected and did not find adds up in
// wrong.
type show struct {
	cluster *cluster.Cluster
	drey    *drey.Drey
	rows    []row
	wrong   []string
}

// row is a line of the table at the end.
type row struct {
	object, verdict string
	before, after   map[string]string
}

func newShow(c *cluster.Cluster, d *drey.Drey) *show { return &show{cluster: c, drey: d} }

func (s *show) play(ctx context.Context) error {
	for _, act := range []func(context.Context) error{
		s.registerTarget, s.runApplication, s.runSession, s.runNginx, s.refuse, s.refuseToChangeTarget,
	} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	s.printTable()
	if len(s.wrong) > 0 {
		return fmt.Errorf("not as expected:\n  %s", strings.Join(s.wrong, "\n  "))
	}
	return nil
}

const targets = "/api/v1/namespaces/default/deployment-targets"

func (s *show) registerTarget(ctx context.Context) error {
	say("Flink may run in the Kubernetes namespace staging: register it over REST.")
	if err := s.kubectl(ctx, "create", "namespace", "staging"); err != nil {
		return err
	}
	status, answer, err := s.curl(ctx, http.MethodPost, targets, `{"metadata":{"name":"myDeploymentTarget"},"spec":{"kubernetes":{"namespace":"staging"}}}`)
	if err != nil {
		return err
	}
	s.expect(status == http.StatusCreated, "POST answers 201, not %d", status)
	s.expect(strings.Contains(answer, `"resourceVersion":1`), "the new target has resourceVersion 1: %s", answer)
	return nil
}

func (s *show) runApplication(ctx context.Context) error {
	say("An application in native mode: its JobManager's Deployment, and a TaskManager that the JobManager makes.")
	if err := s.apply(ctx, "staging", "jobmanager.yaml", nil); err != nil {
		return err
	}
	jobManager, err := s.pods(ctx, "component=jobmanager,type=flink-native-kubernetes", 1)
	if err != nil {
		return err
	}
	uid, err := s.output(ctx, "get", "deployment", "top-speed", "-n", "staging", "-o", "jsonpath={.metadata.uid}")
	if err != nil {
		return err
	}
	s.record("Pod of Deployment top-speed", jobManager[0], map[string]string{"app": "top-speed", "component": "jobmanager", "type": "flink-native-kubernetes"},
		map[string]string{"drey.dev/app": "flink-job", "system": "ververica-platform", "vvpNamespace": "default", "deploymentName": "top-speed", "deploymentId": uid, "jobId": "7a0c0e1d-2b3a-4958-8776-655443322110"})

	if err := s.apply(ctx, "staging", "taskmanager.yaml", strings.NewReplacer("UID", uid)); err != nil {
		return err
	}
	taskManager, err := s.pods(ctx, "component=taskmanager,type=flink-native-kubernetes", 1)
	if err != nil {
		return err
	}
	s.record("Pod top-speed-taskmanager-1-1", taskManager[0], map[string]string{"app": "top-speed", "component": "taskmanager", "type": "flink-native-kubernetes"},
		map[string]string{"drey.dev/app": "flink-job", "system": "ververica-platform", "vvpNamespace": "default", "deploymentName": "top-speed", "deploymentId": uid})
	return nil
}

func (s *show) runSession(ctx context.Context) error {
	say("A session cluster from the YAML of Flink's documentation.")
	if err := s.apply(ctx, "staging", "session.yaml", nil); err != nil {
		return err
	}
	jobManager, err := s.pods(ctx, "app=flink,component=jobmanager", 1)
	if err != nil {
		return err
	}
	uid, err := s.output(ctx, "get", "deployment", "playground-jobmanager", "-n", "staging", "-o", "jsonpath={.metadata.uid}")
	if err != nil {
		return err
	}
	s.record("Pod of Deployment playground-jobmanager", jobManager[0], map[string]string{"app": "flink", "component": "jobmanager"},
		map[string]string{"drey.dev/app": "flink-session-cluster", "system": "ververica-platform", "vvpNamespace": "default", "sessionClusterName": "playground", "sessionClusterId": uid})
	// Those that came before their JobManager's Deployment get its id a moment later.
	taskManagers, err := s.pods(ctx, "app=flink,component=taskmanager,sessionClusterId", 2)
	if err != nil {
		return err
	}
	for _, pod := range taskManagers {
		s.record("Pod of Deployment playground-taskmanager", pod, map[string]string{"app": "flink", "component": "taskmanager"},
			map[string]string{"drey.dev/app": "flink-session-cluster", "system": "ververica-platform", "vvpNamespace": "default", "sessionClusterName": "playground", "sessionClusterId": uid})
	}
	return nil
}

func (s *show) runNginx(ctx context.Context) error {
	say("A pod that is not Flink's.")
	if err := s.apply(ctx, "staging", "nginx.yaml", nil); err != nil {
		return err
	}
	pods, err := s.pods(ctx, "app=nginx", 1)
	if err != nil {
		return err
	}
	s.record("Pod nginx", pods[0], map[string]string{"app": "nginx"}, nil)
	return nil
}

func (s *show) refuse(ctx context.Context) error {
	say("The same application in the namespace sandbox, which has no target.")
	if err := s.kubectl(ctx, "create", "namespace", "sandbox"); err != nil {
		return err
	}
	err := s.apply(ctx, "sandbox", "jobmanager.yaml", nil)
	refused, isRefusal := errors.AsType[*commandError](err)
	s.expect(isRefusal && strings.Contains(refused.output, `namespace "sandbox" has no DeploymentTarget`), "the Deployment is refused in sandbox: %v", err)
	s.expect(isRefusal && strings.Contains(refused.output, "curl -X POST "+s.drey.REST+targets), "the denial prints the command that would mend it: %v", err)
	out, err := s.output(ctx, "get", "deployments,pods", "-n", "sandbox", "-o", "name")
	if err != nil {
		return err
	}
	s.expect(out == "", "nothing is left in sandbox: %s", out)
	s.rows = append(s.rows, row{object: "Deployment top-speed in sandbox", verdict: "denied: NoDeploymentTarget"})
	return nil
}

func (s *show) refuseToChangeTarget(ctx context.Context) error {
	say("A target's spec never changes: a job could lose the ground that it stands on.")
	status, answer, err := s.curl(ctx, http.MethodPut, targets+"/myDeploymentTarget", `{"spec":{"kubernetes":{"namespace":"sandbox"}}}`)
	if err != nil {
		return err
	}
	s.expect(status == http.StatusConflict && strings.Contains(answer, `"reason":"ImmutableSpec"`), "PUT of another spec answers 409 ImmutableSpec, not %d", status)
	return nil
}

// record notes an admitted pod for the table, and checks that it has the labels
// that its manifest gives it and those that drey adds, and no others.
func (s *show) record(object string, pod pod, before, added map[string]string) {
	after := maps.Clone(pod.Metadata.Labels)
	delete(after, "pod-template-hash") // the ReplicaSet controller's
	want := maps.Clone(before)
	maps.Copy(want, added)
	s.expect(maps.Equal(after, want), "%s should have the labels %s, and has %s", object, list(want), list(after))
	verdict := "allowed, labeled"
	if maps.Equal(before, after) {
		verdict = "left alone"
	}
	s.rows = append(s.rows, row{object, verdict, before, after})
}

func (s *show) expect(holds bool, format string, args ...any) {
	if !holds {
		s.wrong = append(s.wrong, fmt.Sprintf(format, args...))
		note("NOT AS EXPECTED: "+format, args...)
	}
}

func (s *show) printTable() {
	say("What drey made of it (+ marks what it added; nothing was overwritten).")
	fmt.Println()
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 3, ' ', 0)
	fmt.Fprintln(w, "OBJECT\tVERDICT\tLABELS")
	for _, r := range s.rows {
		object, verdict := r.object, r.verdict
		if len(r.after) == 0 {
			fmt.Fprintf(w, "%s\t%s\t-\n", object, verdict)
		}
		for _, mark := range []string{" ", "+"} {
			for _, key := range slices.Sorted(maps.Keys(r.after)) {
				if _, had := r.before[key]; had == (mark == " ") {
					fmt.Fprintf(w, "%s\t%s\t%s %s=%s\n", object, verdict, mark, key, r.after[key])
					object, verdict = "", ""
				}
			}
		}
	}
	_ = w.Flush() // standard output
}

func list(labels map[string]string) string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		all = append(all, key+"="+labels[key])
	}
	return strings.Join(all, ",")
}

// curl makes a REST request, and prints it as the curl command that would.
func (s *show) curl(ctx context.Context, method, path, body string) (int, string, error) {
	fmt.Printf("   $ curl -X %s %s%s -H 'Content-Type: application/json' -d '%s'\n", method, s.drey.REST, path, body)
	request, err := http.NewRequestWithContext(ctx, method, s.drey.REST+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	var answer bytes.Buffer
	if _, err := answer.ReadFrom(response.Body); err != nil {
		return 0, "", err
	}
	note("%s", response.Status)
	note("%s", &answer)
	return response.StatusCode, answer.String(), nil
}

// pod is what the show reads of one.
type pod struct {
	Metadata struct {
		Name   string            `json:"name"`
		Labels map[string]string `json:"labels"`
	} `json:"metadata"`
}

// pods waits for the controllers to make as many pods in staging as there
// should be.
func (s *show) pods(ctx context.Context, selector string, want int) ([]pod, error) {
	var found struct{ Items []pod }
	for range 600 {
		text, err := s.output(ctx, "get", "pods", "-n", "staging", "-l", selector, "-o", "json")
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
	return nil, fmt.Errorf("%d pods of %s in staging, want %d", len(found.Items), selector, want)
}
