package page

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"drey.dev/drey/inventory"
)

// WorkloadPage is the model of the page workload.
type WorkloadPage struct {
	Frame
	Workload
	Table          // of its pods
	Rows           []inventory.Pod
	HasUse         bool // of pods
	Labels         []Label
	Denials        []Denial // some of its denials, the newest first
	DenialsTotal   int
	Commands       []Command
	DenialsOfSpace string // path of the list of all denials in its namespace
}

// Command is a command that the reader may run.
type Command struct{ Title, Text string }

// Label is a label that identifies a workload, on its pods.
type Label struct {
	Key     string
	Values  []Count // by value, the most frequent first
	Problem string  // why it is missing or conflicting, and how to fix it; empty: neither
	Missing bool
}

// identifying are the labels that pods of a workload share, in the order of the page.
var identifying = []string{"vvpNamespace", "deploymentId", "deploymentName", "sessionClusterId", "sessionClusterName", "jobId"}

// WorkloadLabels returns the labels of a workload, from its pods.
func WorkloadLabels(w Workload, pods []inventory.Pod) (all []Label) {
	keys := slices.Clone(identifying)
	for _, key := range slices.Concat(w.MissingLabels, w.ConflictingLabels) {
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	for _, key := range keys {
		l := Label{Key: key}
		values, lacking := map[string]int{}, 0
		for _, p := range pods {
			if value := p.Labels[key]; value != "" {
				values[value]++
			}
			if slices.Contains(p.MissingLabels, key) {
				lacking++
			}
		}
		for _, value := range slices.Sorted(maps.Keys(values)) {
			l.Values = append(l.Values, Count{Name: value, Count: values[value], Of: len(pods)})
		}
		slices.SortStableFunc(l.Values, func(a, b Count) int { return b.Count - a.Count })
		switch {
		case slices.Contains(w.ConflictingLabels, key):
			l.Problem = conflict(l)
		case slices.Contains(w.MissingLabels, key):
			l.Problem, l.Missing = missing(w, key, lacking, len(pods)), true
		}
		if len(l.Values) > 0 || l.Problem != "" {
			all = append(all, l)
		}
	}
	return all
}

func conflict(l Label) string {
	const remedy = ": remove the label from the pod template, and drey sets it"
	if len(l.Values) > 1 {
		return fmt.Sprintf("pods of one workload have %d values", len(l.Values)) + remedy
	}
	if strings.HasSuffix(l.Key, "Id") {
		return "the value is the uid of another object" + remedy
	}
	return "its objects have different values" + remedy
}

func missing(w Workload, key string, lacking, pods int) string {
	lack := "pods lack it"
	if lacking > 0 {
		lack = fmt.Sprintf("%d of %d pods lack it", lacking, pods)
	}
	switch {
	case w.Misplaced:
		return lack + ": drey labels pods in namespaces with a target only; register a target, or move the workload"
	case key == "vvpNamespace" && w.PlatformNamespace == "":
		return lack + ": drey adds it within a minute, unless several platform namespaces have a target here; then add the label vvpNamespace to the pod template"
	}
	return lack + ": drey adds it within a minute; if it does not, see the events of the pods"
}

// URL is the path of the page of the workload.
func (w Workload) URL() string {
	return objectURL("workloads/"+escape(w.Namespace), w.Owner.Kind, w.Owner.Name)
}

// KubectlCommands returns the commands that show a workload with kubectl.
func (w Workload) KubectlCommands() []Command {
	object := strings.ToLower(w.Owner.Kind) + " " + w.Owner.Name + " -n " + w.Namespace
	all := []Command{{"Object and its events", "kubectl describe " + object}}
	if w.Owner.Kind == "Pod" {
		return append(all, Command{"Log", "kubectl logs " + w.Owner.Name + " -n " + w.Namespace + " --tail 100"})
	}
	if label := map[string]string{"Deployment": "deploymentId", "SessionCluster": "sessionClusterId"}[w.Kind]; label != "" && w.ID != "" {
		all = append(all, Command{"Pods", "kubectl get pods -n " + w.Namespace + " -l " + label + "=" + w.ID + " -o wide"},
			Command{"Logs", "kubectl logs -n " + w.Namespace + " -l " + label + "=" + w.ID + " --prefix --tail 100"})
	}
	return all
}
