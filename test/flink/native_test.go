package flink

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"drey.dev/drey/test/framework/eventually"
)

// TestFirstTaskManager is the shortest way to the labels of all kinds: client,
// JobManager, and the pod of the first TaskManager, which need not start.
func TestFirstTaskManager(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *world) {
		w.register()
		w.application(nil)
		w.awaitPod(applicationID, "taskmanager")
		w.dump("application", applicationID)
		w.checkLabels("application", applicationID, application, nil)
	})
}

// TestApplication loses everything that a running job may lose, one after the other.
// The job is RUNNING again each time, and its objects keep their labels.
func TestApplication(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *world) {
		w.register()
		w.application(w.highAvailability())
		w.awaitRunning(applicationID)
		w.dump("application-ha", applicationID)
		w.checkLabels("application-ha", applicationID, application, nil)

		w.killTaskManager(applicationID)
		w.checkLabels("taskmanager-killed", applicationID, application, nil)

		w.killJobManager(applicationID)
		w.checkLabels("jobmanager-killed", applicationID, application, nil)

		w.loseTargets()
		w.killTaskManager(applicationID)
		w.checkLabels("target-deleted", applicationID, application, nil)
	})
}

// TestSession submits a job to a session cluster.
func TestSession(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *world) {
		w.register()
		w.session("session", w.highAvailability())
		w.submit("session")
		w.awaitRunning("session")
		w.dump("session", "session")
		w.checkLabels("session", "session", session, nil)

		w.killTaskManager("session")
		w.killJobManager("session")
		w.checkLabels("session-killed", "session", session, nil)
	})
}

// TestDreyStopped stops drey under a running job. What Flink makes meanwhile has no
// labels; it gets them when drey is back, and the job does not notice.
func TestDreyStopped(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *world) {
		w.register()
		w.application(nil)
		w.awaitRunning(applicationID)
		if err := w.stopDrey(); err != nil {
			t.Fatal(err)
		}
		w.killTaskManager(applicationID)
		before := w.untouched()
		if err := w.startDrey(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.checkLabels("drey-stopped", applicationID, application, nil)
		if after := w.untouched(); after != before {
			t.Errorf("the job was touched: %s, before %s", after, before)
		}
	})
}

// TestDreyInstalledLater starts drey, and registers the namespace, under a running job.
func TestDreyInstalledLater(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *world) {
		w.uninstallDrey()
		w.application(w.highAvailability())
		w.awaitRunning(applicationID)
		before := w.untouched()
		if err := w.startDrey(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.register()
		w.checkLabels("drey-installed-later", applicationID, application, nil)
		if after := w.untouched(); after != before {
			t.Errorf("the job was touched: %s, before %s", after, before)
		}
	})
}

// TestNamespaceWithoutTarget reads what Flink's client prints of a denial.
func TestNamespaceWithoutTarget(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *world) {
		for name, start := range map[string]func() (string, error){
			"session": func() (string, error) { return w.client.Session(t.Context(), w.namespace, "denied", nil) },
			"application": func() (string, error) {
				return w.client.Application(t.Context(), w.namespace, "denied", w.runtime.JobPath(), nil)
			},
		} {
			out, err := start()
			w.wantPrinted(name, out, err,
				fmt.Sprintf("namespace %q has no DeploymentTarget", w.namespace),
				"curl -X POST "+w.drey.REST+"/api/v1/namespaces/default/deployment-targets")
		}
		left := w.objects("denied")
		for _, o := range left {
			if o.GetKind() == "Pod" || o.GetKind() == "Deployment" {
				t.Errorf("%s %s is there", o.GetKind(), o.GetName())
			}
		}
	})
}

// TestForeignLabels claims the platform namespace of others by Flink's configuration.
// The denial names the option, since there is no manifest that could be changed.
func TestForeignLabels(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *world) {
		w.register()
		out, err := w.client.Application(t.Context(), w.namespace, "foreign", w.runtime.JobPath(), map[string]string{"kubernetes.jobmanager.labels": "vvpNamespace:other"})
		w.wantPrinted("application", out, err, `the label vvpNamespace is "other"`, "kubernetes.jobmanager.labels")
	})
}

// wantPrinted fails the test unless the client failed and printed the texts.
func (w *world) wantPrinted(name, out string, err error, texts ...string) {
	w.t.Helper()
	if err == nil {
		w.t.Errorf("%s: the client was not denied; it prints:\n%s", name, out)
		return
	}
	out = denial(out)
	for _, text := range texts {
		if !strings.Contains(out, text) {
			w.t.Errorf("%s: the client does not print %q; it prints:\n%s", name, text, out)
		}
	}
}

// denial is the line with the denial, the first of many that repeat it.
func denial(out string) string {
	for line := range strings.Lines(out) {
		if strings.Contains(line, "admission webhook") {
			return line
		}
	}
	return out
}

// applicationID is the cluster id of applications.
const applicationID = "app"

// application starts an application cluster.
func (w *world) application(options map[string]string) {
	w.t.Helper()
	if _, err := w.client.Application(w.t.Context(), w.namespace, applicationID, w.runtime.JobPath(), options); err != nil {
		w.t.Fatal(err)
	}
}

// session starts a session cluster, and waits until its JobManager answers.
func (w *world) session(id string, options map[string]string) {
	w.t.Helper()
	if _, err := w.client.Session(w.t.Context(), w.namespace, id, options); err != nil {
		w.t.Fatal(err)
	}
	w.awaitAnswer(id)
}

// awaitAnswer waits until the JobManager of a cluster answers.
func (w *world) awaitAnswer(id string) {
	w.t.Helper()
	eventually.OK(w.t, startTimeout, func() error {
		_, err := w.state(w.t.Context(), id)
		return err
	})
}

// submit submits the job to a session cluster.
func (w *world) submit(id string) {
	w.t.Helper()
	ports, err := w.runtime.Ports(w.namespace, id)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.client.Submit(w.t.Context(), ports, w.runtime.JobPath()); err != nil {
		w.t.Fatal(err)
	}
}

// highAvailability is the configuration of a cluster whose jobs outlive its JobManager.
func (w *world) highAvailability() map[string]string {
	w.t.Helper()
	dir, err := os.MkdirTemp(w.dir, "ha-")
	if err != nil {
		w.t.Fatal(err)
	}
	return map[string]string{"high-availability.type": "kubernetes", "high-availability.storageDir": "file://" + dir}
}

// killTaskManager kills the TaskManager of a cluster, and waits until the job runs on
// another process: of another pod in native mode, of the same in standalone mode.
func (w *world) killTaskManager(id string) {
	w.t.Helper()
	var before []int
	for _, p := range w.pods(id, "taskmanager") {
		before = append(before, w.kubelet.PID(w.namespace, p.Name))
		if err := w.kubelet.Kill(w.namespace, p.Name); err != nil {
			w.t.Fatal(err)
		}
	}
	if len(before) == 0 {
		w.t.Fatalf("cluster %s has no TaskManager", id)
	}
	eventually.OK(w.t, startTimeout, func() error {
		for _, p := range w.pods(id, "taskmanager") {
			if now := w.kubelet.PID(w.namespace, p.Name); now != 0 && !slices.Contains(before, now) {
				return nil
			}
		}
		return fmt.Errorf("cluster %s has no new TaskManager", id)
	})
	w.awaitRunning(id)
}

// killJobManager kills the JobManager of a cluster, and waits until another process has
// recovered the job.
func (w *world) killJobManager(id string) {
	w.t.Helper()
	pod := w.awaitPod(id, "jobmanager")
	before := w.kubelet.PID(w.namespace, pod.Name)
	if err := w.kubelet.Kill(w.namespace, pod.Name); err != nil {
		w.t.Fatal(err)
	}
	eventually.OK(w.t, startTimeout, func() error {
		if now := w.kubelet.PID(w.namespace, pod.Name); now == 0 || now == before {
			return errors.New("the JobManager does not start again")
		}
		return nil
	})
	w.awaitRunning(id)
}

// loseTargets loses the registry, as after a restore of an old backup: the API does not
// delete a target that a job refers to.
func (w *world) loseTargets() {
	w.t.Helper()
	if err := errors.Join(w.stopDrey(), os.Remove(filepath.Join(w.dir, "registry.db")), w.startDrey(w.t.Context())); err != nil {
		w.t.Fatal(err)
	}
}

// uninstallDrey removes drey with all that it has in the cluster.
func (w *world) uninstallDrey() {
	w.t.Helper()
	if err := w.stopDrey(); err != nil {
		w.t.Fatal(err)
	}
	w.MustKubectl(w.t, "", "delete", "mutatingwebhookconfigurations,validatingwebhookconfigurations,validatingadmissionpolicybindings,validatingadmissionpolicies", "--all")
}

// untouched sums up what changes when a job restarts.
func (w *world) untouched() string {
	w.t.Helper()
	var b strings.Builder
	for _, role := range []string{"jobmanager", "taskmanager"} {
		for _, p := range w.pods(applicationID, role) {
			fmt.Fprintf(&b, "%s %s process %d; ", p.Name, p.UID, w.kubelet.PID(w.namespace, p.Name))
		}
	}
	d, err := w.kube.AppsV1().Deployments(w.namespace).Get(w.t.Context(), applicationID, metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	states, err := w.state(w.t.Context(), applicationID)
	if err != nil {
		w.t.Fatal(err)
	}
	fmt.Fprintf(&b, "generation %d, jobs %q", d.Generation, states)
	return b.String()
}
