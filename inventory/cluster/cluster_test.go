package cluster

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"drey.dev/drey/inventory"
	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/owners"
	"drey.dev/drey/webhook/runstate"
)

// fakeCluster has owners by KIND/NAME and targets by namespace.
type fakeCluster struct {
	owners     map[string]owners.Known
	targets    map[string][]registry.Target
	registered map[string]registry.Registered
}

func (f fakeCluster) KnownRoot(_ string, refs []flink.OwnerReference, podLabels map[string]string) (owners.Known, bool) {
	for _, ref := range refs {
		kind, name := ref.Kind, ref.Name
		if deployment, ok := flink.DeploymentOf(name, podLabels); ok && kind == "ReplicaSet" {
			kind, name = "Deployment", deployment
		}
		if k, ok := f.owners[kind+"/"+name]; ok {
			return k, true
		}
	}
	return owners.Known{}, false
}

func (f fakeCluster) KnownRoots(string) (all []owners.Known) {
	for _, k := range f.owners {
		all = append(all, k)
	}
	return all
}

func (f fakeCluster) KnownNamespaces() []string { return []string{"flink"} }
func (f fakeCluster) Synced() bool              { return true }

func (f fakeCluster) HasUID(uid string) bool {
	for _, k := range f.owners {
		if k.UID == uid {
			return true
		}
	}
	return false
}

func (f fakeCluster) Targets(namespace string) []registry.Target { return f.targets[namespace] }

func (f fakeCluster) ByID(id string) (registry.Registered, bool) {
	r, ok := f.registered[id]
	return r, ok
}

// newPod returns a pod of a ReplicaSet of a Deployment.
func newPod(name, deployment, component string, labels map[string]string) *corev1.Pod {
	all := map[string]string{"component": component, "type": flink.TypeNative, "pod-template-hash": "abc"}
	maps.Copy(all, labels)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "flink", Name: name, Labels: all, CreationTimestamp: metav1.Unix(1000, 0),
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: deployment + "-abc", UID: "rs", Controller: new(true)}},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "flink-main-container", Image: "flink:2.2", Args: []string{"kubernetes-jobmanager.sh", "kubernetes-application"},
			Env:       []corev1.EnvVar{{Name: "DB_PASSWORD", Value: "hunter2"}},
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("500m"), "memory": resource.MustParse("1Gi")}},
		}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
}

func jobLabels(id, name string) map[string]string {
	return map[string]string{
		flink.LabelSystem: flink.System, flink.LabelPlatformNamespace: "team-a", flink.LabelKind: flink.AppJob, flink.LabelDeploymentID: id, flink.LabelDeploymentName: name, flink.LabelJobID: "job",
	}
}

func read(t *testing.T, cluster fakeCluster, pods ...*corev1.Pod) map[string]inventory.Workload {
	t.Helper()
	f := newFeeder(Options{Owners: cluster, Registry: cluster, Inventory: inventory.New()})
	for _, p := range pods {
		s := f.sources[0]
		if p.Labels[flink.LabelSystem] == "" {
			s = f.sources[1]
		}
		if err := s.Add(p); err != nil {
			t.Fatal(err)
		}
	}
	f.Changed("")
	f.readDirty()
	page, err := f.o.Inventory.List(inventory.Query{})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]inventory.Workload{}
	for _, w := range page.Items {
		all[w.Owner.Kind+"/"+w.Owner.Name] = w
	}
	return all
}

var targetOfA = map[string][]registry.Target{"flink": {{PlatformNamespace: "team-a", Name: "prod"}}}

// TestWorkloadOfTwoDeployments: the JobManager's and the TaskManagers' Deployments of one
// cluster are one workload, with the owner whose uid is the id.
func TestWorkloadOfTwoDeployments(t *testing.T) {
	created := time.Unix(900, 0).UTC()
	c := fakeCluster{targets: targetOfA, owners: map[string]owners.Known{
		"Deployment/a-jobmanager":  {Owner: flink.Owner{Kind: "Deployment", Name: "a-jobmanager", UID: "u1", Labels: jobLabels("u1", "a")}, Run: runstate.Run{State: runstate.Running}, Created: created},
		"Deployment/a-taskmanager": {Owner: flink.Owner{Kind: "Deployment", Name: "a-taskmanager", UID: "u2", Labels: jobLabels("u1", "a")}, Created: created},
	}}
	unready := newPod("a-taskmanager-abc-1", "a-taskmanager", "taskmanager", jobLabels("u1", "a"))
	unready.Status.Conditions = nil
	ended := newPod("a-taskmanager-abc-2", "a-taskmanager", "taskmanager", jobLabels("u1", "a"))
	ended.Status.Phase = corev1.PodFailed
	all := read(t, c, newPod("a-jobmanager-abc-1", "a-jobmanager", "jobmanager", jobLabels("u1", "a")), unready, ended)
	want := inventory.Workload{
		Namespace: "flink", PlatformNamespace: "team-a", Target: "prod", Owner: inventory.Owner{Kind: "Deployment", Name: "a-jobmanager", UID: "u1"}, Flavor: "native", Mode: "application", State: "Running",
		Kind: "Deployment", Name: "a", ID: "u1", JobID: "job", Pods: 2, PodsReady: 1, Requests: inventory.Resources{MilliCPU: 1000, Memory: 2 << 30}, Since: created,
	}
	if got := all["Deployment/a-jobmanager"]; len(all) != 1 || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", all, want)
	}
}

// TestWorkloadStates: custom resources without pods, misplaced and unlabeled pods, and pods with
// the id of another workload.
func TestWorkloadStates(t *testing.T) {
	c := fakeCluster{targets: targetOfA, owners: map[string]owners.Known{
		"FlinkDeployment/idle": {Owner: flink.Owner{Kind: "FlinkDeployment", Name: "idle", UID: "u3", Mode: flink.Application, Labels: jobLabels("u3", "idle")}, Custom: true, Run: runstate.Run{State: runstate.Stopped}, Created: time.Unix(1, 0)},
		"Deployment/thief":     {Owner: flink.Owner{Kind: "Deployment", Name: "thief", UID: "u4"}, Created: time.Unix(1, 0)},
	}}
	all := read(t, c,
		newPod("bare-abc-1", "bare", "jobmanager", nil),
		newPod("thief-abc-1", "thief", "jobmanager", jobLabels("u5", "other")),
		newPod("thief-abc-2", "thief", "jobmanager", jobLabels("u6", "another")),
	)
	if w := all["FlinkDeployment/idle"]; w.Pods != 0 || w.State != "Stopped" || w.Mode != "application" || w.Target != "prod" || !w.Healthy() {
		t.Errorf("without pods: %+v", w)
	}
	bare := all["Deployment/bare"]
	if bare.Misplaced || !slices.Equal(bare.MissingLabels, []string{"deploymentId", "deploymentName", "drey.dev/app", "system", "vvpNamespace"}) {
		t.Errorf("unlabeled: %+v", bare)
	}
	if w := all["Deployment/thief"]; w.Pods != 2 || !slices.Contains(w.ConflictingLabels, "deploymentId") {
		t.Errorf("two ids: %+v", w)
	}
	c.targets = nil
	if w := read(t, c, newPod("bare-abc-1", "bare", "jobmanager", nil))["Deployment/bare"]; !w.Misplaced || w.Target != "" {
		t.Errorf("without a target: %+v", w)
	}
	c.targets = map[string][]registry.Target{"flink": {{PlatformNamespace: "team-a", Name: "one"}, {PlatformNamespace: "team-a", Name: "two"}}}
	if w := read(t, c)["FlinkDeployment/idle"]; w.Target != "" || w.Misplaced {
		t.Errorf("with two targets: %+v", w)
	}
}

// TestPodsOfWorkload: a workload has the pods of all groups with its root owner, and no others.
func TestPodsOfWorkload(t *testing.T) {
	c := fakeCluster{targets: targetOfA}
	f := newFeeder(Options{Owners: c, Registry: c, Inventory: inventory.New(), Use: fakeUse{"thief-abc-1": {MilliCPU: 7}}})
	unlabeled := newPod("thief-abc-2", "thief", "taskmanager", nil)
	unlabeled.Status.Conditions = nil
	for _, p := range []*corev1.Pod{newPod("thief-abc-1", "thief", "jobmanager", jobLabels("u5", "other")), unlabeled, newPod("bare-abc-1", "bare", "jobmanager", nil)} {
		if err := f.sources[0].Add(p); err != nil {
			t.Fatal(err)
		}
	}
	f.Changed("")
	f.readDirty()
	w, ok := f.o.Inventory.Get("flink/Deployment/thief")
	all := f.pods(w)
	slices.SortFunc(all, func(a, b inventory.Pod) int { return strings.Compare(a.Name, b.Name) })
	if !ok || w.Pods != 2 || len(all) != 2 {
		t.Fatalf("%+v has the pods %+v", w, all)
	}
	labeled := jobLabels("u5", "other")
	delete(labeled, flink.LabelSystem)
	delete(labeled, flink.LabelKind)
	if p := all[0]; p.Name != "thief-abc-1" || p.Role != "jobmanager" || !p.Ready || p.Use == nil || p.Use.MilliCPU != 7 || p.Requests.MilliCPU != 500 || !p.Since.Equal(time.Unix(1000, 0)) || !maps.Equal(p.Labels, labeled) || p.MissingLabels != nil {
		t.Errorf("got %+v", p)
	}
	if p := all[1]; p.Ready || p.Use != nil || len(p.Labels) != 0 || !slices.Contains(p.MissingLabels, flink.LabelPlatformNamespace) {
		t.Errorf("got %+v", p)
	}
}

type fakeUse map[string]inventory.Resources

func (f fakeUse) Of(string) map[string]inventory.Resources { return f }

// TestWorkloadChanges: an inventory follows pods and targets.
func TestWorkloadChanges(t *testing.T) {
	c := fakeCluster{targets: map[string][]registry.Target{}}
	f := newFeeder(Options{Owners: c, Registry: c, Inventory: inventory.New()})
	p := newPod("a-abc-1", "a", "jobmanager", jobLabels("u1", "a"))
	changes := f.o.Inventory.Subscribe()
	step := func(want string, act func() error) {
		t.Helper()
		if err := act(); err != nil {
			t.Fatal(err)
		}
		f.readDirty()
		got := ""
		for _, change := range changes.Take() {
			got += fmt.Sprintf("deleted %v, target %q, %d pods;", change.Deleted, change.Value.Target, change.Value.Pods)
		}
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	step(`deleted false, target "", 1 pods;`, func() error { return f.sources[0].Replace([]any{p}, "1") })
	step("", func() error { return f.sources[0].Update(p) })
	step(`deleted false, target "prod", 1 pods;`, func() error {
		c.targets["flink"] = targetOfA["flink"]
		f.Changed("flink")
		return nil
	})
	step(`deleted true, target "prod", 1 pods;`, func() error { return f.sources[0].Delete(p) })
}

// TestPodsKeepNoSecrets: what is kept of a pod has no environment variables.
func TestPodsKeepNoSecrets(t *testing.T) {
	if kept := fmt.Sprintf("%+v", newListed(newPod("p", "d", "jobmanager", nil)).identity.Value()); len(kept) > 1000 || strings.Contains(kept, "hunter2") || strings.Contains(kept, "PASSWORD") {
		t.Errorf("kept: %s", kept)
	}
}

// BenchmarkMemory reports the memory of 50,000 pods of 5,000 workloads.
func BenchmarkMemory(b *testing.B) {
	const workloads, podsEach = 5000, 10
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		c := fakeCluster{targets: map[string][]registry.Target{}}
		f := newFeeder(Options{Owners: c, Registry: c, Inventory: inventory.New()})
		for i := range workloads {
			for n := range podsEach {
				p := newPod(fmt.Sprintf("workload-%d-taskmanager-1-%d", i, n), fmt.Sprintf("workload-%d", i), "taskmanager", jobLabels(fmt.Sprintf("00000000-0000-0000-0000-%012d", i), fmt.Sprintf("workload-%d", i)))
				p.Namespace = fmt.Sprintf("flink-%d", i%1000)
				p.OwnerReferences[0].UID = types.UID(fmt.Sprintf("10000000-0000-0000-0000-%012d", i))
				if err := f.sources[0].Add(p); err != nil {
					b.Fatal(err)
				}
			}
		}
		f.Changed("")
		start := time.Now()
		f.readDirty()
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms/full-read")
		if f.o.Inventory.Len() != workloads {
			b.Fatal(f.o.Inventory.Len())
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB")
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(workloads*podsEach), "B/pod")
		runtime.KeepAlive(f)
	}
}
