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

// TestFirstTaskManager starts an application until its JobManager has created the first
// TaskManager's pod: the quickest run with objects of all kinds.
func TestFirstTaskManager(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *world) {
		w.register()
		w.application(nil)
		w.awaitPod(applicationID, "taskmanager")
		w.dump("application", applicationID)
		w.checkLabels("application", applicationID, application, nil)
	})
}

// TestApplication kills the TaskManager and the JobManager of a running job, and deletes its
// target. The job is RUNNING again each time, and its objects are labeled.
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

		w.deleteTargets()
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

// TestDreyStopped stops drey under a running job. Flink's new objects are labeled once drey
// is back, and the job does not restart.
func TestDreyStopped(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *world) {
		w.register()
		w.application(nil)
		w.awaitRunning(applicationID)
		if err := w.stopDrey(); err != nil {
			t.Fatal(err)
		}
		w.killTaskManager(applicationID)
		before := w.fingerprint()
		if err := w.startDrey(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.checkLabels("drey-stopped", applicationID, application, nil)
		if after := w.fingerprint(); after != before {
			t.Errorf("got a restart: %s, want %s", after, before)
		}
	})
}

// TestDreyInstalledLater installs drey and registers the namespace under a running job.
func TestDreyInstalledLater(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *world) {
		w.uninstallDrey()
		w.application(w.highAvailability())
		w.awaitRunning(applicationID)
		before := w.fingerprint()
		if err := w.startDrey(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.register()
		w.checkLabels("drey-installed-later", applicationID, application, nil)
		if after := w.fingerprint(); after != before {
			t.Errorf("got a restart: %s, want %s", after, before)
		}
	})
}

// TestNamespaceWithoutTarget starts clusters in a namespace without a target. Flink's client
// prints the denial.
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
				t.Errorf("got %s %s, want none", o.GetKind(), o.GetName())
			}
		}
	})
}

// TestForeignLabels sets the label of another platform namespace through Flink's
// configuration. The denial names the option.
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
		w.t.Errorf("%s: got no denial; the client prints:\n%s", name, out)
		return
	}
	out = denial(out)
	for _, text := range texts {
		if !strings.Contains(out, text) {
			w.t.Errorf("%s: got the output\n%s\nwant %q in it", name, out, text)
		}
	}
}

// denial returns the first line with the denial, which a stack trace repeats.
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

// session starts a session cluster, and waits until its JobManager responds.
func (w *world) session(id string, options map[string]string) {
	w.t.Helper()
	if _, err := w.client.Session(w.t.Context(), w.namespace, id, options); err != nil {
		w.t.Fatal(err)
	}
	w.awaitJobManager(id)
}

// awaitJobManager waits until the REST API of a cluster's JobManager responds.
func (w *world) awaitJobManager(id string) {
	w.t.Helper()
	eventually.Within(w.t, startTimeout, func() error {
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

// highAvailability returns the options of Kubernetes high availability.
func (w *world) highAvailability() map[string]string {
	w.t.Helper()
	dir, err := os.MkdirTemp(w.dir, "ha-")
	if err != nil {
		w.t.Fatal(err)
	}
	return map[string]string{"high-availability.type": "kubernetes", "high-availability.storageDir": "file://" + dir}
}

// killTaskManager kills the TaskManager of a cluster, and waits until the job runs in a new
// process: in a new pod in native mode, in the same pod in standalone mode.
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
		w.t.Fatalf("cluster %s: got no TaskManager", id)
	}
	eventually.Within(w.t, startTimeout, func() error {
		for _, p := range w.pods(id, "taskmanager") {
			if now := w.kubelet.PID(w.namespace, p.Name); now != 0 && !slices.Contains(before, now) {
				return nil
			}
		}
		return fmt.Errorf("cluster %s: got no new TaskManager", id)
	})
	w.awaitRunning(id)
}

// killJobManager kills the JobManager of a cluster, and waits until a new process has
// recovered the job.
func (w *world) killJobManager(id string) {
	w.t.Helper()
	pod := w.awaitPod(id, "jobmanager")
	before := w.kubelet.PID(w.namespace, pod.Name)
	if err := w.kubelet.Kill(w.namespace, pod.Name); err != nil {
		w.t.Fatal(err)
	}
	eventually.Within(w.t, startTimeout, func() error {
		if now := w.kubelet.PID(w.namespace, pod.Name); now == 0 || now == before {
			return errors.New("got no new JobManager process")
		}
		return nil
	})
	w.awaitRunning(id)
}

// deleteTargets deletes the registry's file, as after a restore of an old backup: the API
// does not delete a target that a job refers to.
func (w *world) deleteTargets() {
	w.t.Helper()
	if err := errors.Join(w.stopDrey(), os.Remove(filepath.Join(w.dir, "registry.db")), w.startDrey(w.t.Context())); err != nil {
		w.t.Fatal(err)
	}
}

// uninstallDrey stops drey and deletes its webhooks and policies.
func (w *world) uninstallDrey() {
	w.t.Helper()
	if err := w.stopDrey(); err != nil {
		w.t.Fatal(err)
	}
	w.MustKubectl(w.t, "", "delete", "mutatingwebhookconfigurations,validatingwebhookconfigurations,validatingadmissionpolicybindings,validatingadmissionpolicies", "--all")
}

// fingerprint returns the pods, processes and states that a restart of the job changes.
func (w *world) fingerprint() string {
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
