package flink

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/webhook/verdict"
)

// TestStandalone runs the manifests of Flink's documentation, where TaskManagers have their
// own Deployment.
func TestStandalone(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *world) {
		w.register()
		t.Run("session", func(t *testing.T) {
			w := w.in(t)
			w.applyStandalone("standalone-session.yaml")
			w.awaitJobManager("flink")
			w.submit("flink")
			w.awaitRunning("flink")
			d, err := w.kube.AppsV1().Deployments(w.namespace).Get(t.Context(), "flink-jobmanager", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			w.checkStandalone("standalone-session", map[string]string{
				verdict.LabelKind: verdict.AppSessionCluster, verdict.LabelSessionClusterID: string(d.UID), verdict.LabelSessionClusterName: "flink",
			})
			w.MustKubectl(t, "", "delete", "-n", w.namespace, "deployment,service,configmap", "-l", "app=flink")
			w.MustKubectl(t, "", "delete", "-n", w.namespace, "--wait", "deployment/flink-jobmanager", "deployment/flink-taskmanager", "service/flink-jobmanager")
			w.MustKubectl(t, "", "wait", "-n", w.namespace, "--for=delete", "pod", "-l", "app=flink")
		})
		t.Run("application", func(t *testing.T) {
			w := w.in(t)
			w.applyStandalone("standalone-application.yaml")
			w.awaitRunning("flink")
			j, err := w.kube.BatchV1().Jobs(w.namespace).Get(t.Context(), "flink-jobmanager", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			w.checkStandalone("standalone-application", map[string]string{
				verdict.LabelKind: verdict.AppJob, verdict.LabelDeploymentID: string(j.UID), verdict.LabelDeploymentName: "flink",
				verdict.LabelJobID: "00000000-0000-0000-0000-00000000000a",
			})
			w.killTaskManager("flink")
		})
	})
}

// applyStandalone applies a manifest of testdata with kubectl.
func (w *world) applyStandalone(name string) {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		w.t.Fatal(err)
	}
	replaced := strings.NewReplacer("VERSION", w.version, "CONFIG_FILE", w.client.Dist.ConfigFile()).Replace(string(text))
	w.MustKubectl(w.t, replaced, "apply", "-n", w.namespace, "-f", "-")
}

// checkStandalone waits until the pods have these labels and those of the namespace. Only
// the JobManager has the job's id, from its command line.
func (w *world) checkStandalone(scenario string, want map[string]string) {
	w.t.Helper()
	want["app"], want[verdict.LabelSystem], want[verdict.LabelPlatformNamespace] = "flink", verdict.System, platformNamespace
	eventually.OK(w.t, func() error {
		var problems []string
		for _, o := range w.objects("flink") {
			if o.GetKind() != "Pod" {
				continue
			}
			for _, key := range append([]string{"app", verdict.LabelKind}, dreyLabels...) {
				if key == verdict.LabelJobID && o.GetLabels()["component"] != "jobmanager" {
					continue
				}
				if got := o.GetLabels()[key]; got != want[key] {
					problems = append(problems, fmt.Sprintf("pod %s: label %s: got %q, want %q", o.GetName(), key, got, want[key]))
				}
			}
		}
		return labelError(problems)
	})
	record(w.version, scenario, w.objects("flink"))
}
