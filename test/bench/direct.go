package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
)

// server is a webhook under measurement.
type server struct {
	name   string
	url    string
	pid    int
	labels bool // whether its response has a patch
	http2  bool // whether it is called over HTTP/2
}

// podReview returns the admission review of a JobManager's pod.
func podReview() ([]byte, error) {
	return json.Marshal(map[string]any{
		"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
		"request": map[string]any{
			"uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "operation": "CREATE", "namespace": "bench",
			"kind": map[string]any{"group": "", "version": "v1", "kind": "Pod"}, "object": flinkPod(),
		},
	})
}

// directRow has the figures of a server at a number of connections.
type directRow struct {
	server      server
	connections int
	figures
	relative float64 // throughput relative to the first server with the protocol
}

// protocol returns the name of the protocol of a server's calls.
func (s server) protocol() string {
	if s.http2 {
		return "HTTP/2"
	}
	return "HTTP/1.1"
}

// direct calls the servers without an API server. Rounds alternate between the servers.
func direct(ctx context.Context, s settings, servers []server) ([]directRow, error) {
	review, err := podReview()
	if err != nil {
		return nil, err
	}
	var rows []directRow
	for _, connections := range []int{1, 8} {
		found := make([][]figures, len(servers))
		for range s.rounds {
			for i, server := range servers {
				f, err := measureCPU(ctx, server.pid, connections, s.each, server.caller(review))
				if err != nil {
					return nil, fmt.Errorf("%s: %w", server.name, err)
				}
				found[i] = append(found[i], f)
			}
		}
		for i, this := range servers {
			first := slices.IndexFunc(servers, func(other server) bool { return other.http2 == this.http2 })
			ratios := make([]float64, s.rounds) // per round, since the machine's speed drifts
			for r := range ratios {
				ratios[r] = found[i][r].perSecond / found[first][r].perSecond
			}
			rows = append(rows, directRow{this, connections, middle(found[i]), median(ratios, func(r float64) float64 { return r })})
		}
	}
	return rows, nil
}

// caller returns workers that call the server, each on its own connection, and check the
// responses.
func (s server) caller(review []byte) func() func() error {
	return func() func() error {
		client := newClient(s.http2)
		var answer bytes.Buffer
		return func() error {
			request, err := http.NewRequest(http.MethodPost, s.url, bytes.NewReader(review))
			if err != nil {
				return err
			}
			request.Header.Set("Content-Type", "application/json")
			response, err := client.Do(request)
			if err != nil {
				return err
			}
			defer response.Body.Close()
			answer.Reset()
			if _, err := io.Copy(&answer, response.Body); err != nil {
				return err
			}
			allowed := bytes.Contains(answer.Bytes(), []byte(`"allowed":true`))
			if patched := bytes.Contains(answer.Bytes(), []byte(`"patch":`)); !allowed || patched != s.labels {
				return fmt.Errorf("got %s: %s, want the admitted pod with patch: %t", response.Status, &answer, s.labels)
			}
			return nil
		}
	}
}

// flinkPod returns a JobManager's pod of about 10 KB, of the Deployment top-speed.
func flinkPod() map[string]any {
	var env []any
	for i := range 95 {
		env = append(env, map[string]any{"name": fmt.Sprintf("PLATFORM_SETTING_%d", i), "value": fmt.Sprintf("a value as pods have them, such as /opt/flink/conf/%d", i)})
	}
	pod := plainPod()
	pod["metadata"] = map[string]any{
		"generateName": "top-speed-6d4b9c-",
		"labels":       map[string]any{"app": "top-speed", "component": "jobmanager", "type": "flink-native-kubernetes", "pod-template-hash": "6d4b9c"},
		"ownerReferences": []any{map[string]any{
			"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "top-speed-6d4b9c", "uid": "0b0b0b0b-0000-4000-8000-000000000002", "controller": true, "blockOwnerDeletion": true,
		}},
	}
	pod["spec"].(map[string]any)["containers"] = []any{map[string]any{
		"name": "flink-main-container", "image": "flink:2.2", "command": []any{"/docker-entrypoint.sh"},
		"args": []any{"bash", "-c", "kubernetes-jobmanager.sh kubernetes-application"}, "env": env,
	}}
	return pod
}

// manyContainers returns a pod that is not Flink's, with 200 containers.
func manyContainers() map[string]any {
	pod := plainPod()
	var containers []any
	for i := range 200 {
		containers = append(containers, map[string]any{"name": fmt.Sprint("c", i), "image": "nginx:1.29", "args": []any{"-g", "daemon off;"}})
	}
	pod["spec"].(map[string]any)["containers"] = containers
	return pod
}

// taskManagerPod returns a TaskManager's pod as the JobManager of top-speed creates it, with
// the command line that Flink writes.
func taskManagerPod(uid string) map[string]any {
	pod := flinkPod()
	pod["metadata"] = map[string]any{
		"name":   "top-speed-taskmanager-1-1",
		"labels": map[string]any{"app": "top-speed", "component": "taskmanager", "type": "flink-native-kubernetes"},
		"ownerReferences": []any{map[string]any{
			"apiVersion": "apps/v1", "kind": "Deployment", "name": "top-speed", "uid": uid, "controller": true, "blockOwnerDeletion": true,
		}},
	}
	pod["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)["args"] = []any{"bash", "-c", `kubernetes-taskmanager.sh -Djobmanager.memory.off-heap.size='134217728b' ` +
		`-Djobmanager.rpc.address='top-speed.bench' -Dexecution.target='embedded' -Dpipeline.jars='['\''file:/opt/flink/usrlib/job.jar'\'']' -Dweb.tmpdir='/tmp/flink-web-1' ` +
		`-D taskmanager.memory.network.min=134217730b -D taskmanager.memory.framework.heap.size=134217728b -D taskmanager.memory.managed.size=536870920b -D taskmanager.cpu.cores=1.0 ` +
		`-D taskmanager.memory.task.heap.size=402653174b -Dtaskmanager.resource-id='top-speed-taskmanager-1-1'`}
	return pod
}

// plainPod returns a pod that is not Flink's.
func plainPod() map[string]any {
	return map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"generateName": "web-", "labels": map[string]any{"app": "web"}},
		"spec": map[string]any{"containers": []any{map[string]any{"name": "nginx", "image": "nginx:1.29"}}},
	}
}
