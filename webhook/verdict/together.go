package verdict

import (
	"maps"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/flink"
)

// DecideAll decides on workloads that are created together, as by a manifest: TaskManagers in a
// workload of their own join the cluster of a JobManager among them.
func DecideAll(workloads []flink.Workload, state State) []Verdict {
	verdicts := make([]Verdict, len(workloads))
	clusters := map[string]flink.Cluster{}
	for i, w := range workloads {
		verdicts[i] = Decide(w, state)
		verdicts[i].addCluster(clusters)
	}
	if len(clusters) == 0 {
		return verdicts
	}
	together := withClusters{state, clusters}
	for i, w := range workloads {
		if w.IsSeparateTaskManager() {
			verdicts[i] = Decide(w, together)
		}
	}
	return verdicts
}

// addCluster adds the cluster of an admitted workload, as the cache of owners finds it by the
// labels of the stored object.
func (v *Verdict) addCluster(clusters map[string]flink.Cluster) {
	o := v.workload.Object
	switch {
	case !v.Allowed, o == nil, o.Kind == "Pod", o.Kind == "Service", o.Kind == "ConfigMap":
		return
	}
	labels := map[string]string{}
	maps.Copy(labels, o.Labels)
	for _, l := range v.Add {
		labels[l.Key] = l.Value
	}
	if c, name, ok := flink.ClusterFromLabels(o.Name, o.UID, labels); ok {
		clusters[clusterKey(o.Namespace, name)] = c
	}
}

// withClusters is a State with clusters that do not run yet, by namespace and name.
type withClusters struct {
	State
	clusters map[string]flink.Cluster
}

// Cluster implements State.
func (s withClusters) Cluster(namespace, name string) (flink.Cluster, bool) {
	if c, ok := s.State.Cluster(namespace, name); ok {
		return c, true
	}
	c, ok := s.clusters[clusterKey(namespace, name)]
	return c, ok
}

func clusterKey(namespace, name string) string { return namespace + "/" + registry.LabelValue(name) }
