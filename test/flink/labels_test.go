package flink

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"drey.dev/drey/webhook/verdict"
)

// mode is how a cluster takes jobs: the labels that drey gives it.
type mode struct {
	kind     string   // value of the label drey.dev/app
	id, name string   // label keys
	others   []string // label keys that the objects must not have
}

var (
	application = mode{verdict.AppJob, verdict.LabelDeploymentID, verdict.LabelDeploymentName, []string{verdict.LabelSessionClusterID, verdict.LabelSessionClusterName}}
	session     = mode{verdict.AppSessionCluster, verdict.LabelSessionClusterID, verdict.LabelSessionClusterName, []string{verdict.LabelDeploymentID, verdict.LabelDeploymentName, verdict.LabelJobID}}
)

// checkLabels waits until all objects of a cluster have the labels of the mode, and
// fails the test if they do not get them. The id is the uid of the JobManager's
// Deployment, or root's if that is not nil. One selector finds all pods of the
// cluster, and no others.
func (w *world) checkLabels(scenario, clusterID string, m mode, root metav1.Object) {
	w.t.Helper()
	if root == nil {
		d, err := w.kube.AppsV1().Deployments(w.namespace).Get(w.t.Context(), clusterID, metav1.GetOptions{})
		if err != nil {
			w.t.Fatal(err)
		}
		root = d
	}
	var problems []string
	ok := eventuallyNone(w, func() []string {
		problems = w.mislabeled(clusterID, m, root)
		return problems
	})
	if !ok {
		w.t.Errorf("labels of cluster %s:\n\t%s", clusterID, strings.Join(problems, "\n\t"))
		return
	}
	record(w.version, scenario, w.objects(clusterID))
}

func eventuallyNone(w *world, check func() []string) bool {
	for range int(labelTimeout / labelPoll) {
		if len(check()) == 0 {
			return true
		}
		w.sleep(labelPoll)
	}
	return false
}

// mislabeled lists what is wrong with the labels of a cluster.
func (w *world) mislabeled(clusterID string, m mode, root metav1.Object) []string {
	var problems []string
	want := map[string]string{
		verdict.LabelSystem: verdict.System, verdict.LabelPlatformNamespace: platformNamespace,
		verdict.LabelKind: m.kind, m.id: string(root.GetUID()), m.name: root.GetName(),
	}
	var pods, kinds []string
	for _, o := range w.objects(clusterID) {
		kinds = append(kinds, o.GetKind())
		labels := o.GetLabels()
		if o.GetKind() == "Pod" {
			pods = append(pods, o.GetName())
		}
		for key, value := range want {
			if labels[key] == "" && unknowable(o, root, m, key) {
				continue
			}
			if labels[key] != value {
				problems = append(problems, fmt.Sprintf("%s %s: label %s is %q, want %q", o.GetKind(), o.GetName(), key, labels[key], value))
			}
		}
		for _, key := range m.others {
			if value, ok := labels[key]; ok {
				problems = append(problems, fmt.Sprintf("%s %s: label %s is %q, want none", o.GetKind(), o.GetName(), key, value))
			}
		}
	}
	for _, kind := range []string{"Pod", "Deployment", "Service", "ConfigMap"} {
		if !slices.Contains(kinds, kind) {
			problems = append(problems, "there is no "+kind)
		}
	}
	selector := m.id + "=" + string(root.GetUID())
	selected, err := w.kube.CoreV1().Pods(metav1.NamespaceAll).List(w.t.Context(), metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return append(problems, err.Error())
	}
	var found []string
	for i := range selected.Items {
		found = append(found, selected.Items[i].Name)
	}
	slices.Sort(pods)
	slices.Sort(found)
	if !slices.Equal(pods, found) {
		problems = append(problems, fmt.Sprintf("%s selects the pods %q, want %q", selector, found, pods))
	}
	slices.Sort(problems)
	return problems
}

// unknowable reports whether the value of a label cannot be known: the uid of an object
// that is not admitted yet, and to which cluster the ConfigMaps of high availability
// belong, which have no owner because they outlive it.
func unknowable(o unstructured.Unstructured, root metav1.Object, m mode, key string) bool {
	switch key {
	case m.id:
		return o.GetUID() == root.GetUID() || isHighAvailability(o)
	case m.name, verdict.LabelKind:
		return isHighAvailability(o)
	}
	return false
}
