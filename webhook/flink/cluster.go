package flink

import "strings"

// Cluster is a Flink cluster, as the workload of its JobManager shows it.
type Cluster struct {
	Mode   Mode
	ID     string            // the id in its labels, or else its uid
	Labels map[string]string // that drey has given it
}

// ClusterFromLabels reads a cluster from the labels of a workload and its uid. ok is false if
// they show none, or if the workload makes TaskManagers by its name.
func ClusterFromLabels(name, uid string, labels map[string]string) (c Cluster, clusterName string, ok bool) {
	if nameRoleOf(name).role == TaskManager || strings.HasSuffix(name, "-worker") {
		return c, "", false
	}
	c = Cluster{Mode: statedMode(labels), ID: uid, Labels: labels}
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

// IsSeparateTaskManager reports whether a workload is the TaskManagers of a cluster, in a workload
// of their own which nothing but its name connects with that of the JobManager. Its own
// root is not the cluster's then: its id, and often its mode, are those of the
// JobManager's workload of the same cluster name.
func (w Workload) IsSeparateTaskManager() bool {
	switch w.Flavor {
	case Docs, Statefun, Lyft:
		return w.Role == TaskManager && !isCustomResource(w.Root.Kind)
	}
	return false
}

// Join takes over what the workload of the JobManager shows of a separate workload's
// cluster.
func (w Workload) WithCluster(c Cluster) Workload {
	if w.Mode == UnknownMode {
		w.Mode = c.Mode
	}
	if w.Mode == c.Mode {
		w.Identity.ID = c.ID
	}
	return w
}
