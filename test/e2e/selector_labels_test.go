package e2e

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"drey.dev/drey/test/framework/eventually"
)

// jobManager is the Deployment of a native application's JobManager. The label app is in its
// selector.
const jobManager = `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: my-job
  labels: {app: my-job, component: jobmanager, type: flink-native-kubernetes}
spec:
  replicas: 1
  selector:
    matchLabels: {app: my-job, component: jobmanager, type: flink-native-kubernetes}
  template:
    metadata:
      labels: {app: my-job, component: jobmanager, type: flink-native-kubernetes}
    spec:
      containers:
        - name: flink-main-container
          image: flink:2.2
          command: [/docker-entrypoint.sh]
          args: [bash, -c, kubernetes-jobmanager.sh kubernetes-application --job-id 7a0c0e1d2b3a49588776655443322110]
`

// TestSelectorLabelsPreserved creates workloads that select by the label app: drey keeps it, and
// the workload keeps its one pod.
func TestSelectorLabelsPreserved(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	for name, c := range map[string]struct {
		manifest string
		sets     int               // number of ReplicaSets
		want     map[string]string // labels of the pod
	}{
		"Deployment": {jobManager, 1, map[string]string{
			"app": "my-job", "component": "jobmanager", "type": "flink-native-kubernetes",
			"drey.dev/app": "flink-job", "system": "ververica-platform", "vvpNamespace": "team-a", "deploymentName": "my-job", "jobId": "7a0c0e1d-2b3a-4958-8776-655443322110",
		}},
		"StatefulSet": {statefulSet, 0, map[string]string{
			"app": "flink", "component": "jobmanager", "drey.dev/app": "flink-session-cluster", "system": "ververica-platform", "vvpNamespace": "team-a", "sessionClusterName": "nuts",
		}},
		"Job": {batchJob, 0, map[string]string{
			"app": "flink", "component": "jobmanager", "drey.dev/app": "flink-job", "system": "ververica-platform", "vvpNamespace": "team-a", "deploymentName": "nuts",
			"jobId": "7a0c0e1d-2b3a-4958-8776-655443322110",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespace := w.Namespace(t)
			w.register(t, "team-a", namespace)
			w.MustKubectl(t, c.manifest, "apply", "-n", namespace, "-f", "-")
			check := func() error { return w.checkPodLabels(t, namespace, c.sets, c.want) }
			eventually.OK(t, check)
			first := w.list(t, "Pod", namespace)[0].GetUID()
			time.Sleep(3 * time.Second) // a controller that releases its pods creates dozens meanwhile
			if err := check(); err != nil {
				t.Fatal(err)
			}
			if now := w.list(t, "Pod", namespace)[0].GetUID(); now != first {
				t.Errorf("uid of the pod: got %s, want %s", now, first)
			}
		})
	}
}

// statefulSet and batchJob are as in Flink's documentation. The label app is in the selector of
// the one, and in that of a Service of the other.
const (
	statefulSet = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: nuts-jobmanager}
spec:
  serviceName: nuts
  selector: {matchLabels: {app: flink, component: jobmanager}}
  template:
    metadata: {labels: {app: flink, component: jobmanager}}
    spec: {containers: [{name: jobmanager, image: "flink:2.2", args: [jobmanager]}]}
`
	batchJob = `
apiVersion: batch/v1
kind: Job
metadata: {name: nuts-jobmanager}
spec:
  template:
    metadata: {labels: {app: flink, component: jobmanager}}
    spec:
      restartPolicy: OnFailure
      containers: [{name: jobmanager, image: "flink:2.2", args: [standalone-job, --job-id, 7a0c0e1d2b3a49588776655443322110]}]
`
)

// checkPodLabels returns an error unless a namespace has one pod, with a controller and the
// wanted labels. Labels of controllers are ignored.
func (w *world) checkPodLabels(t *testing.T, namespace string, wantSets int, want map[string]string) error {
	t.Helper()
	sets, pods := w.list(t, "ReplicaSet", namespace), w.list(t, "Pod", namespace)
	if len(sets) != wantSets || len(pods) != 1 {
		return fmt.Errorf("got %d ReplicaSets and %d pods, want %d and 1", len(sets), len(pods), wantSets)
	}
	labels := pods[0].GetLabels()
	owner := metav1.GetControllerOf(&pods[0])
	if owner == nil {
		return errors.New("the pod is an orphan")
	}
	root := owner.UID
	if owner.Kind == "ReplicaSet" {
		root = w.list(t, "Deployment", namespace)[0].GetUID()
	}
	for _, key := range []string{"deploymentId", "sessionClusterId"} {
		if id, ok := labels[key]; ok && id != string(root) {
			return fmt.Errorf("%s: got %s, want the uid of the root %s", key, id, root)
		}
		delete(labels, key)
	}
	maps.DeleteFunc(labels, func(key, _ string) bool {
		return key == "pod-template-hash" || key == "controller-revision-hash" || key == "controller-uid" || key == "job-name" || strings.Contains(key, "kubernetes.io/")
	})
	if !maps.Equal(labels, want) {
		return fmt.Errorf("labels of the pod: got %v, want %v", labels, want)
	}
	return nil
}
