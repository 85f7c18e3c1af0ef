package verdict_test

import (
	"testing"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/verdict"
)

// TestDecideAll: TaskManagers in a workload of their own join a JobManager among the workloads,
// in either order, in the same namespace, unless it is denied.
func TestDecideAll(t *testing.T) {
	deployment := func(namespace, name, role, uid string) flink.Workload {
		labels := map[string]string{"app": "flink", "component": role}
		argument := map[string]string{"jobmanager": "standalone-job", "taskmanager": "taskmanager"}[role]
		return flink.Recognize(&flink.Object{Kind: "Deployment", Namespace: namespace, Name: name, UID: uid, Pod: flink.Pod{
			Labels: labels, Containers: []flink.Container{{Name: role, Image: "flink:2.2", Args: []string{argument}}},
		}})
	}
	pod := flink.Recognize(&flink.Object{Kind: "Pod", Namespace: "a", Name: "clicks-jobmanager", Pod: flink.Pod{
		Labels: map[string]string{"component": "jobmanager"}, Containers: []flink.Container{{Name: "jobmanager", Image: "flink:2.2", Args: []string{"standalone-job"}}},
	}})
	taskManagers := deployment("a", "clicks-taskmanager", "taskmanager", "")
	for name, c := range map[string]struct {
		workloads []flink.Workload
		at        int // of the TaskManagers
		name, id  string
	}{
		"alone":                         {workloads: []flink.Workload{taskManagers}},
		"after its JobManager":          {workloads: []flink.Workload{deployment("a", "clicks-jobmanager", "jobmanager", ""), taskManagers}, at: 1, name: "clicks"},
		"before it":                     {workloads: []flink.Workload{taskManagers, deployment("a", "clicks-jobmanager", "jobmanager", "")}, name: "clicks"},
		"one that is stored":            {workloads: []flink.Workload{taskManagers, deployment("a", "clicks-jobmanager", "jobmanager", "uid-1")}, name: "clicks", id: "uid-1"},
		"of another cluster":            {workloads: []flink.Workload{taskManagers, deployment("a", "nuts-jobmanager", "jobmanager", "")}},
		"of another namespace":          {workloads: []flink.Workload{taskManagers, deployment("b", "clicks-jobmanager", "jobmanager", "")}},
		"of a namespace without target": {workloads: []flink.Workload{taskManagers, deployment("c", "clicks-jobmanager", "jobmanager", "")}},
		"of a pod":                      {workloads: []flink.Workload{taskManagers, pod}},
	} {
		t.Run(name, func(t *testing.T) {
			targets := targetsOf{"a", "b"}
			v := verdict.DecideAll(c.workloads, verdict.Caches{Registry: targets})[c.at]
			got := map[string]string{}
			for _, l := range v.Add {
				got[l.Key] = l.Value
			}
			if got["deploymentName"] != c.name || got["deploymentId"] != c.id || !v.Allowed {
				t.Errorf("got %v, want the name %q and the id %q", v.Add, c.name, c.id)
			}
		})
	}
}

// targetsOf is a registry with a target for each of some Kubernetes namespaces.
type targetsOf []string

func (r targetsOf) Targets(namespace string) []registry.Target {
	for _, n := range r {
		if n == namespace {
			return []registry.Target{{PlatformNamespace: "team", Name: n}}
		}
	}
	return nil
}

func (targetsOf) ByID(string) (registry.Registered, bool) { return registry.Registered{}, false }

func (targetsOf) Linked(registry.Kind, string, string, string, string) (registry.Registered, bool) {
	return registry.Registered{}, false
}
