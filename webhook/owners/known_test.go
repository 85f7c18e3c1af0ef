package owners

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"drey.dev/drey/webhook/flink"
)

const (
	flinkDeployment = "flink.apache.org/v1beta1/FlinkDeployment/"
	blueGreen       = "flink.apache.org/v1beta1/FlinkBlueGreenDeployment/"
)

// TestKnown checks the roots in the caches, which cost no request.
func TestKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		whole := func(line string) *unstructured.Unstructured { return asWhole(t, labeled(t, line)) }
		elsewhere := whole("apps/v1/Deployment/other uid-other")
		elsewhere.SetNamespace("elsewhere")
		o, client := runningFakes(t, func(*Owners) {},
			whole(blueGreen+"bg uid-bg < argoproj.io/v1alpha1/Application/app/uid-app"),
			whole(flinkDeployment+"f uid-f < "+blueGreen+"bg/uid-bg"),
			whole("apps/v1/Deployment/f uid-d < "+flinkDeployment+"f/uid-f"),
			whole("apps/v1/Deployment/tool uid-tool"),
			whole(flinkDeployment+"installed uid-i < apps/v1/Deployment/tool/uid-tool"),
			whole(flinkDeployment+"a uid-a < "+flinkDeployment+"b/uid-b"),
			whole(flinkDeployment+"b uid-b < "+flinkDeployment+"a/uid-a"),
			whole("batch/v1/Job/nightly-1 uid-j < batch/v1/CronJob/nightly/uid-cron"),
			labeled(t, "batch/v1/CronJob/nightly uid-cron"),
			elsewhere)
		for rule, c := range map[string]struct{ owner, hash, want string }{
			"pod of a ReplicaSet":                 {"apps/v1/ReplicaSet/f-5c7d/uid-rs", "5c7d", "FlinkBlueGreenDeployment bg"},
			"ReplicaSet without a hash":           {"apps/v1/ReplicaSet/f-5c7d/uid-rs", "", ""},
			"Deployment":                          {"apps/v1/Deployment/f/uid-d", "", "FlinkBlueGreenDeployment bg"},
			"Deployment with another UID":         {"apps/v1/Deployment/f/uid-old", "", ""},
			"Deployment that is not cached":       {"apps/v1/Deployment/none/uid-none", "", ""},
			"controller of a custom resource":     {flinkDeployment + "installed/uid-i", "", "FlinkDeployment installed"},
			"controller of a Job":                 {"batch/v1/Job/nightly-1/uid-j", "", "CronJob nightly"},
			"kind without a cache":                {"apps/v1/DaemonSet/f/uid-ds", "", ""},
			"unknown kind":                        {"example.com/v1/Deployment/f/uid-d", "", ""},
			"invalid apiVersion":                  {"a/b/c/Deployment/f/uid-d", "", ""},
			"cycle of owners":                     {flinkDeployment + "a/uid-a", "", "FlinkDeployment b"},
			"workload of the same name elsewhere": {"apps/v1/Deployment/other/uid-other", "", ""},
		} {
			pod := podOf(c.owner, c.hash)
			root, ok := o.KnownRoot("flink", pod.OwnerReferences, pod.Labels)
			if got := strings.TrimSpace(root.Kind + " " + root.Name); got != c.want || ok != (got != "") || root.Custom != strings.HasPrefix(got, "Flink") {
				t.Errorf("%s: got %q, %t, custom resource %t; want %q", rule, got, ok, root.Custom, c.want)
			}
		}
		if _, ok := o.KnownRoot("flink", nil, nil); ok {
			t.Error("an object without owners has a root")
		}
		for namespace, want := range map[string]string{"flink": "[bg nightly tool]", "elsewhere": "[other]", "none": "[]"} {
			names := []string{}
			for _, k := range o.KnownRoots(namespace) {
				names = append(names, k.Name)
			}
			if slices.Sort(names); fmt.Sprint(names) != want {
				t.Errorf("roots in %s: %v, want %s", namespace, names, want)
			}
		}
		namespaces := o.KnownNamespaces()
		if slices.Sort(namespaces); !slices.Equal(namespaces, []string{"elsewhere", "flink"}) {
			t.Errorf("namespaces %v", namespaces)
		}
		if n := len(client.Actions()); n > 0 {
			t.Errorf("%d requests", n)
		}
	})
}

// TestOnKnownChanged checks which changes of a cached object the callbacks receive.
func TestOnKnownChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		known, runs := make(chan string, 10), make(chan string, 10)
		first := asWhole(t, labeled(t, flinkDeployment+"f uid-f < "+blueGreen+"bg/uid-bg", flink.LabelDeploymentID, "id-1"))
		_, client := runningFakes(t, func(o *Owners) {
			if err := errors.Join(o.OnKnownChanged(func(n string) { known <- n }), o.OnRunChanged(func(id string) { runs <- id })); err != nil {
				t.Fatal(err)
			}
		}, first)
		received := func(c chan string) string {
			synctest.Wait()
			all := []string{}
			for len(c) > 0 {
				all = append(all, <-c)
			}
			return fmt.Sprint(all)
		}
		expect := func(change, namespaces, ids string) {
			t.Helper()
			if got := received(known); got != namespaces {
				t.Errorf("%s: namespaces %s, want %s", change, got, namespaces)
			}
			if got := received(runs); got != ids {
				t.Errorf("%s: ids of runs %s, want %s", change, got, ids)
			}
		}
		expect("initial list", "[flink]", "[id-1]")
		resource := cachedKinds[slices.IndexFunc(cachedKinds, func(k kind) bool { return k.Kind == "FlinkDeployment" })].resource()
		now := first.DeepCopy()
		for _, c := range []struct {
			change          string
			do              func()
			namespaces, ids string
		}{
			{"nothing that is cached", func() { now.SetGeneration(7); now.SetAnnotations(map[string]string{"note": "x"}) }, "[]", "[]"},
			{"state of the job", func() {
				_ = unstructured.SetNestedField(now.Object, "RUNNING", "status", "jobStatus", "state")
			}, "[flink]", "[id-1 id-1]"},
			{"id", func() {
				labels := now.GetLabels()
				labels[flink.LabelDeploymentID] = "id-2"
				now.SetLabels(labels)
			}, "[flink]", "[id-1 id-2]"},
			{"another owner", func() {
				refs := now.GetOwnerReferences()
				refs[0].Name, refs[0].UID = "green", types.UID("uid-green")
				now.SetOwnerReferences(refs)
			}, "[flink]", "[]"},
			{"no owner", func() { now.SetOwnerReferences(nil) }, "[flink]", "[]"},
			{"annotation of drey", func() { now.SetAnnotations(map[string]string{"drey.dev/note": "x"}) }, "[flink]", "[]"},
			{"recreation that the watch missed", func() { now.SetUID("uid-f2") }, "[flink]", "[]"},
		} {
			c.do()
			if err := client.Tracker().Update(resource, now.DeepCopy(), "flink", metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			expect(c.change, c.namespaces, c.ids)
		}
		if err := client.Tracker().Delete(resource, "flink", "f"); err != nil {
			t.Fatal(err)
		}
		expect("deletion", "[flink]", "[id-2]")
	})
}

// TestClusterOfSeveralWorkloads checks that a cluster has one id.
func TestClusterOfSeveralWorkloads(t *testing.T) {
	for rule, c := range map[string]struct {
		ids  [2]string
		want bool
	}{
		"with one id":        {[2]string{"id", "id"}, true},
		"with different ids": {[2]string{"id", "another"}, false},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				session := func(line, id string) *unstructured.Unstructured {
					return asWhole(t, labeled(t, line, flink.LabelSessionClusterName, "nuts", flink.LabelSessionClusterID, id))
				}
				o, _ := runningFakes(t, func(*Owners) {}, session("apps/v1/Deployment/one uid-1", c.ids[0]), session("apps/v1/StatefulSet/two uid-2", c.ids[1]))
				if got, ok := o.Cluster("flink", "nuts"); ok != c.want || ok && got.ID != "id" {
					t.Errorf("got %+v, %t", got, ok)
				}
			})
		})
	}
}
