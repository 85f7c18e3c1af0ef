package flink

import (
	"slices"
	"strings"
)

// Cluster is a Flink cluster, as identified by the workload of its JobManager.
type Cluster struct {
	Mode   Mode
	ID     string            // of the id label, else the workload's UID
	Labels map[string]string // of the workload
}

// ClusterFromLabels returns the cluster of a workload and its name. ok is false if the labels
// do not name a cluster, or if the workload's name is that of TaskManagers.
func ClusterFromLabels(name, uid string, labels map[string]string) (c Cluster, clusterName string, ok bool) {
	if nameRoleOf(name).role == TaskManager || strings.HasSuffix(name, "-worker") {
		return c, "", false
	}
	c = Cluster{Mode: modeFromLabels(labels), ID: uid, Labels: labels}
	key := LabelDeploymentID
	switch c.Mode {
	case Application:
		clusterName = labels[LabelDeploymentName]
	case Session:
		clusterName, key = labels[LabelSessionClusterName], LabelSessionClusterID
	}
	if id := labels[key]; id != "" {
		c.ID = id
	}
	return c, clusterName, clusterName != ""
}

// IsSeparateTaskManager reports whether a workload runs the TaskManagers of a cluster whose
// JobManager is in another workload, related by name only. Its root does not identify the
// cluster then; the id, and often the mode, come from the JobManager's workload.
func (w Workload) IsSeparateTaskManager() bool {
	switch w.Flavor {
	case Docs, Statefun, Lyft:
		return w.Role == TaskManager && !IsCustomKind(w.Root.Kind)
	}
	return false
}

// rolePairs are words for TaskManagers and JobManagers in the names of workloads that belong
// together.
var rolePairs = [][2]string{
	{"taskmanager", "jobmanager"}, {"task-manager", "job-manager"}, {"task-manager", "job-cluster"}, {"task_manager", "job_manager"}, {"tm", "jm"}, {"worker", "master"},
}

// ClusterNames returns the names that the cluster of a separate TaskManager workload may have:
// that of the workload first, then those of JobManagers whose name differs in the role only,
// such as flink-jobmanager-v2 for flink-taskmanager-v2.
func (w Workload) ClusterNames() []string {
	if w.Identity.Name == "" {
		return nil
	}
	names := []string{w.Identity.Name}
	for _, pair := range rolePairs {
		i := lastWord(w.Root.Name, pair[0])
		if i < 0 {
			continue
		}
		jobManager := w
		jobManager.Root.Name = w.Root.Name[:i] + pair[1] + w.Root.Name[i+len(pair[0]):]
		if name := jobManager.clusterName(); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// WithCluster returns a separate TaskManager workload completed by its cluster, which has a
// name.
func (w Workload) WithCluster(c Cluster, name string) Workload {
	if w.Mode == UnknownMode {
		w.Mode = c.Mode
	}
	if w.Mode == c.Mode {
		w.Identity.ID, w.Identity.Name = c.ID, name
	}
	return w
}
