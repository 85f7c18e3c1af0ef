package console

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"drey.dev/drey/denials"
	"drey.dev/drey/inventory"
	"drey.dev/drey/registry"
)

// sample is a target with its workloads.
type sample struct {
	platformNamespace, target, namespace string
	workloads                            []inventory.Workload
}

func application(name, flavor, state string, pods, ready int, milliCPU, mebibytes int64, age time.Duration) inventory.Workload {
	w := inventory.Workload{
		Owner: inventory.Owner{Kind: "FlinkDeployment", Name: name}, Flavor: flavor, Mode: "application", State: state, Kind: "Deployment", Name: name,
		JobID: fmt.Sprintf("7a0c0e1d-2b3a-4958-8776-%012x", len(name)*7919+pods), Pods: pods, PodsReady: ready,
		Requests: inventory.Resources{MilliCPU: milliCPU, Memory: mebibytes << 20}, Since: Now.Add(-age),
		Use: &inventory.Resources{MilliCPU: milliCPU * 3 / 8, Memory: mebibytes << 20 * 5 / 8},
	}
	if flavor != "native" {
		w.Owner.Kind = "Deployment"
	}
	return w
}

func session(name, flavor, state string, pods int, milliCPU, mebibytes int64, age time.Duration) inventory.Workload {
	w := application(name, flavor, state, pods, pods, milliCPU, mebibytes, age)
	w.Mode, w.Kind, w.JobID = "session", "SessionCluster", ""
	return w
}

const day = 24 * time.Hour

var samples = []sample{
	{"payments", "production", "payments-prod", []inventory.Workload{
		application("fraud-scoring", "native", "Running", 14, 14, 28000, 112<<10, 21*day),
		application("ledger-sync", "native", "Running", 6, 6, 12000, 48<<10, 9*day),
		application("settlement-window", "native", "Transitioning", 4, 3, 8000, 32<<10, 7*time.Minute),
	}},
	{"payments", "staging", "payments-staging", []inventory.Workload{
		application("fraud-scoring", "native", "Running", 3, 3, 3000, 12<<10, 2*day),
	}},
	{"search", "indexing", "search-indexing", []inventory.Workload{
		application("catalog-indexer", "standalone", "Running", 9, 9, 18000, 72<<10, 40*day),
		application("query-log", "standalone", "Failed", 2, 0, 4000, 16<<10, 3*time.Hour),
	}},
	{"analytics", "shared-sessions", "analytics", []inventory.Workload{
		session("notebooks", "docs", "Running", 5, 10000, 40<<10, 60*day),
		session("sql-gateway", "docs", "Running", 3, 6000, 24<<10, 12*day),
	}},
	{"analytics", "sandbox", "analytics-sandbox", nil},
	{"default", "myDeploymentTarget", "staging", []inventory.Workload{
		application("top-speed", "native", "Running", 2, 2, 2000, 4<<10, 26*time.Hour),
	}},
}

// samplePods returns the pods of a workload: the first are ready, and those after the first lack
// the missing labels.
func samplePods(w inventory.Workload) (all []inventory.Pod) {
	id, name := "deploymentId", "deploymentName"
	if w.Kind == string(registry.SessionCluster) {
		id, name = "sessionClusterId", "sessionClusterName"
	}
	for i := range w.Pods {
		p := inventory.Pod{
			Name: fmt.Sprintf("%s-taskmanager-1-%d", w.Owner.Name, i), Role: "taskmanager", Ready: i < w.PodsReady, Since: w.Since.Add(time.Duration(i) * time.Minute),
			Requests: inventory.Resources{MilliCPU: w.Requests.MilliCPU / int64(w.Pods), Memory: w.Requests.Memory / int64(w.Pods)},
			Labels:   map[string]string{"vvpNamespace": w.PlatformNamespace, id: w.ID, name: w.Name, "jobId": w.JobID},
		}
		if w.Use != nil {
			p.Use = &inventory.Resources{MilliCPU: w.Use.MilliCPU / int64(w.Pods), Memory: w.Use.Memory / int64(w.Pods)}
		}
		if i == 0 {
			p.Name, p.Role = w.Owner.Name+"-6d5f8b7c9-x2k4v", "jobmanager"
		} else {
			p.MissingLabels = w.MissingLabels
			for _, key := range w.MissingLabels {
				delete(p.Labels, key)
			}
		}
		if i > 0 && slices.Contains(w.ConflictingLabels, "vvpNamespace") {
			p.Labels["vvpNamespace"] = "search"
		}
		all = append(all, p)
	}
	return all
}

// fill stores the sample data.
func (s *Server) fill(t testing.TB, cluster bool) {
	t.Helper()
	for _, sample := range samples {
		s.Target(t, sample.platformNamespace, sample.target, sample.namespace)
		for _, w := range sample.workloads {
			kind := registry.Kind(w.Kind)
			registered := w.Name == "fraud-scoring" || w.Name == "notebooks" || w.Name == "catalog-indexer"
			if registered && sample.target != "staging" {
				o := s.Create(t, kind, sample.platformNamespace, w.Name, map[string]any{
					"deploymentTargetName": sample.target, "state": "RUNNING",
					"template": map[string]any{"spec": map[string]any{"artifact": map[string]any{"kind": "JAR", "jarUri": "s3://artifacts/" + w.Name + "-1.4.2.jar"}, "parallelism": 8}},
				})
				w.Registered, w.ID = true, o.Metadata.ID
			}
			w.Namespace, w.PlatformNamespace, w.Target = sample.namespace, sample.platformNamespace, sample.target
			if cluster {
				s.Inventory.Put(w)
			}
		}
	}
	if !cluster {
		return
	}
	misplaced := application("clickstream", "native", "Running", 3, 3, 6000, 24<<10, 4*day)
	misplaced.Namespace, misplaced.Misplaced, misplaced.JobID = "web", true, ""
	s.Inventory.Put(misplaced)
	mislabeled := application("rollup", "docs", "Running", 2, 2, 2000, 8<<10, 5*time.Hour)
	mislabeled.Namespace, mislabeled.PlatformNamespace, mislabeled.Target, mislabeled.MissingLabels = "analytics", "analytics", "shared-sessions", []string{"deploymentId", "jobId"}
	s.Inventory.Put(mislabeled)
	for i, d := range []denials.Denial{
		{User: "mara@example.com", Groups: []string{"search-developers"}, Kind: "FlinkDeployment", Namespace: "web", Name: "clickstream-v2", Operation: "CREATE", Reason: "NoDeploymentTarget", Mode: "enforce", Count: 3},
		{User: "system:serviceaccount:ci:deployer", Groups: []string{"system:serviceaccounts"}, Kind: "Deployment", Namespace: "sandbox", Name: "top-speed", Operation: "CREATE", Reason: "NoDeploymentTarget", Mode: "enforce", Count: 12},
		{User: "jonas@example.com", Kind: "Pod", Namespace: "payments-prod", Name: "ledger-sync-taskmanager-1-4", Operation: "UPDATE", Reason: "LabelImmutable", Mode: "enforce", PlatformNamespace: "payments", Count: 1,
			Message: `the labels that identify a Flink pod are immutable, and this update of pod "ledger-sync-taskmanager-1-4" in namespace "payments-prod" changes deploymentName from "ledger-sync" to "ledger". Keep the labels or, to get new ones, have its controller replace the pod`, Remedy: "kubectl delete pod ledger-sync-taskmanager-1-4 -n payments-prod"},
		{User: "ines@example.com", Kind: "Deployment", Namespace: "analytics", Name: "rollup", Operation: "CREATE", Reason: "LabelConflict", Mode: "warn", PlatformNamespace: "analytics", Count: 2,
			Message: `in namespace "analytics" the label vvpNamespace is "search", and that platform namespace has no DeploymentTarget for the namespace: only analytics has one. Remove the label, and drey sets it`, Remedy: "kubectl label --local -f FILE vvpNamespace- -o yaml | kubectl apply -n analytics -f -"},
	} {
		if d.Message == "" {
			d.Remedy = fmt.Sprintf(`echo '{"apiVersion":"drey.dev/v1","kind":"DeploymentTarget","metadata":{"name":"%[1]s","namespace":"default"},"spec":{"kubernetes":{"namespace":"%[1]s"}}}' | kubectl apply -f -`, d.Namespace)
			d.Message = fmt.Sprintf("namespace %q has no DeploymentTarget, so Flink may not run there. Register it, or deploy to a namespace that has one. (%s %q is recognized as Flink by api-group.)", d.Namespace, d.Kind, d.Name)
		}
		d.Last = Now.Add(-time.Duration(i*i*47+3) * time.Minute)
		d.First, d.Replica = d.Last.Add(-time.Duration(d.Count-1)*7*time.Minute), "drey-6f7c9d8b54-zq4lm"
		s.Deny(d)
	}
}
