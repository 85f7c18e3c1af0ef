package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"drey.dev/drey/test/framework/eventually"
)

// TestRegistryLoss loses the registry under jobs of every kind: they get
// their pods as before, with the labels that they had, and nothing new comes in. What
// was lost may come back.
func TestRegistryLoss(t *testing.T) {
	t.Parallel()
	w := ownWorld(t)
	c := w.Cluster
	namespace, other := w.Namespace(t), w.Namespace(t)
	w.register(t, "team-b", namespace)
	p := &plane{w, namespace}
	flavors := []string{"native", "operator-native", "operator-standalone", "docs-application", "spotify"}
	for _, flavor := range flavors {
		for _, o := range flavorObjects(t, flavor) {
			if err := p.apply(t, o); err != nil {
				t.Fatal(err)
			}
		}
	}
	// A tool has replaced one by a manifest that has none of drey's labels.
	w.MustKubectl(t, "", "replace", "-n", namespace, "-f", "testdata/flavors/docs-session.yaml", "--force", "--grace-period=0")
	w.MustKubectl(t, "", "replace", "-n", namespace, "-f", "testdata/flavors/docs-session.yaml")
	const want = 16
	var before map[string]int
	eventually.OK(t, 40*time.Second, func() (err error) {
		before, err = p.identities(t, want)
		return err
	})

	if err := w.drey.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(c.Dir(), "registry.db")); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.drey, err = newDrey(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.drey.Stop(); err != nil {
			t.Error(err)
		}
	})

	// All pods are lost: controllers make others, and so do JobManagers.
	w.MustKubectl(t, "", "delete", "pod", "--all", "-n", namespace, "--now", "--wait=false")
	for _, flavor := range []string{"native", "operator-native"} {
		for _, o := range flavorObjects(t, flavor) {
			if o.GetKind() != "Pod" {
				continue
			}
			o.SetName(strings.TrimSuffix(o.GetName(), "-1") + "-2")
			if err := p.apply(t, o); err != nil {
				t.Errorf("a running job gets no TaskManager: %v", err)
			}
		}
	}
	eventually.OK(t, 60*time.Second, func() error {
		after, err := p.identities(t, want)
		if err == nil && !maps.Equal(before, after) {
			err = fmt.Errorf("the pods were\n%v\nand are\n%v", before, after)
		}
		return err
	})
	w.MustKubectl(t, "", "scale", "-n", namespace, "deployment/clicks-taskmanager", "--replicas=4")
	eventually.OK(t, 30*time.Second, func() error {
		_, err := p.identities(t, want+2)
		return err
	})
	// The operator upgrades a job: it deletes its Deployment, and makes it anew.
	w.MustKubectl(t, "", "delete", "deployment", "clicks", "-n", namespace)
	for _, o := range flavorObjects(t, "operator-standalone") {
		if o.GetKind() == "Deployment" && o.GetName() == "clicks" {
			if err := p.apply(t, o); err != nil {
				t.Errorf("the operator cannot upgrade a job: %v", err)
			}
		}
	}
	eventually.OK(t, 30*time.Second, func() error {
		_, err := p.identities(t, want+2)
		return err
	})

	// Nothing new comes, where jobs run no more than elsewhere.
	for _, namespace := range []string{namespace, other} {
		for _, manifest := range []string{
			strings.ReplaceAll(jobManager, "my-job", "new-job"), statefulSet, strings.ReplaceAll(heldCustom, "orders", "new-orders"), fmt.Sprintf(bareFlinkPod, "new-pod"),
		} {
			if out, err := w.RunKubectl(t, manifest, "create", "-n", namespace, "-f", "-"); err == nil || !strings.Contains(out, fmt.Sprintf("namespace %q has no DeploymentTarget", namespace)) {
				t.Errorf("something new in %s: %v %s", namespace, err, out)
			}
		}
	}

	w.register(t, "team-b", namespace)
	w.MustKubectl(t, strings.ReplaceAll(jobManager, "my-job", "new-job"), "create", "-n", namespace, "-f", "-")
	w.MustKubectl(t, "", "delete", "flinkdeployment,flinkcluster,deployment,statefulset,job,pod", "--all", "-n", namespace, "--now", "--wait=false")
	eventually.OK(t, 60*time.Second, func() error {
		_, err := p.identities(t, 0)
		return err
	})
}

func flavorObjects(t testing.TB, name string) []*unstructured.Unstructured {
	t.Helper()
	manifest, err := os.ReadFile(filepath.Join("testdata", "flavors", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return documents(t, manifest)
}

// identities counts pods by their owner and by what drey says of them. An error says
// that there are not so many as wanted.
func (p *plane) identities(t testing.TB, want int) (map[string]int, error) {
	t.Helper()
	pods, all := p.list(t, "Pod", p.namespace), map[string]int{}
	for i := range pods {
		p.run(t, &pods[i])
		var words []string
		for _, key := range []string{"app", "component", "system", "vvpNamespace", "deploymentName", "sessionClusterName", "deploymentId", "sessionClusterId", "jobId"} {
			words = append(words, key+"="+pods[i].GetLabels()[key])
		}
		all[strings.Join(append(ownersOf(&pods[i]), words...), " ")]++
	}
	if len(pods) != want {
		return all, fmt.Errorf("there are %d pods, want %d: %v", len(pods), want, all)
	}
	return all, nil
}
