package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drey.dev/drey/test/framework/eventually"
)

// TestRegistryLoss deletes the registry while jobs of every kind run: their controllers,
// JobManagers and operators get pods with the labels that the jobs had, and new workloads are
// denied until the namespace is registered again.
func TestRegistryLoss(t *testing.T) {
	t.Parallel()
	w := ownWorld(t)
	namespace, other := w.Namespace(t), w.Namespace(t)
	w.register(t, "team-b", namespace)
	s := &scope{w, namespace}
	for _, flavor := range []string{"native", "operator-native", "operator-standalone", "docs-application", "spotify"} {
		for _, o := range flavorObjects(t, flavor) {
			if err := s.apply(t, o); err != nil {
				t.Fatal(err)
			}
		}
	}
	// A replacement by a manifest without drey's labels.
	w.MustKubectl(t, "", "replace", "-n", namespace, "-f", "testdata/flavors/docs-session.yaml", "--force", "--grace-period=0")
	w.MustKubectl(t, "", "replace", "-n", namespace, "-f", "testdata/flavors/docs-session.yaml")
	const want = 16
	var before map[string]int
	eventually.OK(t, func() (err error) {
		before, err = s.identities(t, want)
		return err
	})

	if err := w.drey.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(w.data, "registry.db")); err != nil {
		t.Fatal(err)
	}
	w.restartDrey(t)

	// Controllers and JobManagers replace lost pods.
	w.MustKubectl(t, "", "delete", "pod", "--all", "-n", namespace, "--now", "--wait=false")
	for _, flavor := range []string{"native", "operator-native"} {
		for _, o := range flavorObjects(t, flavor) {
			if o.GetKind() != "Pod" {
				continue
			}
			o.SetName(strings.TrimSuffix(o.GetName(), "-1") + "-2")
			if err := s.apply(t, o); err != nil {
				t.Errorf("create a TaskManager of a running job: %v", err)
			}
		}
	}
	eventually.OK(t, func() error {
		after, err := s.identities(t, want)
		if err == nil && !maps.Equal(before, after) {
			err = fmt.Errorf("pods after the loss: got\n%v\nwant\n%v", after, before)
		}
		return err
	})
	w.MustKubectl(t, "", "scale", "-n", namespace, "deployment/clicks-taskmanager", "--replicas=4")
	eventually.OK(t, func() error {
		_, err := s.identities(t, want+2)
		return err
	})
	// An operator that upgrades a job recreates its Deployment.
	w.MustKubectl(t, "", "delete", "deployment", "clicks", "-n", namespace)
	for _, o := range flavorObjects(t, "operator-standalone") {
		if o.GetKind() == "Deployment" && o.GetName() == "clicks" {
			if err := s.apply(t, o); err != nil {
				t.Errorf("recreate the Deployment of a running job: %v", err)
			}
		}
	}
	eventually.OK(t, func() error {
		_, err := s.identities(t, want+2)
		return err
	})

	// New workloads are denied, also next to running jobs.
	for _, namespace := range []string{namespace, other} {
		for _, manifest := range []string{
			strings.ReplaceAll(jobManager, "my-job", "new-job"), statefulSet, strings.ReplaceAll(heldCustom, "orders", "new-orders"), fmt.Sprintf(bareFlinkPod, "new-pod"),
		} {
			if out, err := w.RunKubectl(t, manifest, "create", "-n", namespace, "-f", "-"); err == nil || !strings.Contains(out, fmt.Sprintf("namespace %q has no DeploymentTarget", namespace)) {
				t.Errorf("new workload in %s: got %v: %s, want a denial", namespace, err, out)
			}
		}
	}

	w.register(t, "team-b", namespace)
	w.MustKubectl(t, strings.ReplaceAll(jobManager, "my-job", "new-job"), "create", "-n", namespace, "-f", "-")
	w.MustKubectl(t, "", "delete", "flinkdeployment,flinkcluster,deployment,statefulset,job,pod", "--all", "-n", namespace, "--now", "--wait=false")
	eventually.OK(t, func() error {
		_, err := s.identities(t, 0)
		return err
	})
}

// identities counts pods by their owners and drey's labels. It returns an error when the
// number of pods is not want.
func (s *scope) identities(t testing.TB, want int) (map[string]int, error) {
	t.Helper()
	pods, all := s.list(t, "Pod", s.namespace), map[string]int{}
	for i := range pods {
		s.markRunning(t, &pods[i])
		var words []string
		for _, key := range []string{"app", "component", "system", "vvpNamespace", "deploymentName", "sessionClusterName", "deploymentId", "sessionClusterId", "jobId"} {
			words = append(words, key+"="+pods[i].GetLabels()[key])
		}
		all[strings.Join(append(ownerNames(&pods[i]), words...), " ")]++
	}
	if len(pods) != want {
		return all, fmt.Errorf("pods: got %d, want %d: %v", len(pods), want, all)
	}
	return all, nil
}
