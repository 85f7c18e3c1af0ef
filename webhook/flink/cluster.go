package flink

import "strings"

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

// WithCluster returns a separate TaskManager workload completed by its cluster.
func (w Workload) WithCluster(c Cluster) Workload {
	if w.Mode == UnknownMode {
		w.Mode = c.Mode
	}
	if w.Mode == c.Mode {
		w.Identity.ID = c.ID
	}
	return w
}
