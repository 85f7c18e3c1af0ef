package flink

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/webhook/verdict"
)

// mode has the labels of a cluster's deployment mode: application or session.
type mode struct {
	kind     string   // value of the label drey.dev/app
	id, name string   // label keys
	others   []string // label keys of the other mode
}

var (
	application = mode{verdict.AppJob, verdict.LabelDeploymentID, verdict.LabelDeploymentName, []string{verdict.LabelSessionClusterID, verdict.LabelSessionClusterName}}
	session     = mode{verdict.AppSessionCluster, verdict.LabelSessionClusterID, verdict.LabelSessionClusterName, []string{verdict.LabelDeploymentID, verdict.LabelDeploymentName, verdict.LabelJobID}}
)

// checkLabels waits until all objects of a cluster have the labels of the mode, and the
// label selector of its id selects exactly its pods. The id is root's uid, or that of the
// JobManager's Deployment if root is nil.
func (w *world) checkLabels(scenario, clusterID string, m mode, root metav1.Object) {
	w.t.Helper()
	if root == nil {
		d, err := w.kube.AppsV1().Deployments(w.namespace).Get(w.t.Context(), clusterID, metav1.GetOptions{})
		if err != nil {
			w.t.Fatal(err)
		}
		root = d
	}
	eventually.OK(w.t, func() error {
		return labelError(w.mislabeled(clusterID, m, root))
	})
	record(w.version, scenario, w.objects(clusterID))
}

// labelError joins the problems of labels, nil if there are none.
func labelError(problems []string) error {
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("labels:\n\t%s", strings.Join(problems, "\n\t"))
}

// mislabeled lists the wrong labels of a cluster's objects.
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
				problems = append(problems, fmt.Sprintf("%s %s: label %s: got %q, want %q", o.GetKind(), o.GetName(), key, labels[key], value))
			}
		}
		for _, key := range m.others {
			if value, ok := labels[key]; ok {
				problems = append(problems, fmt.Sprintf("%s %s: label %s: got %q, want none", o.GetKind(), o.GetName(), key, value))
			}
		}
	}
	for _, kind := range []string{"Pod", "Deployment", "Service", "ConfigMap"} {
		if !slices.Contains(kinds, kind) {
			problems = append(problems, "got no "+kind)
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
		problems = append(problems, fmt.Sprintf("selector %s: got the pods %q, want %q", selector, found, pods))
	}
	slices.Sort(problems)
	return problems
}

// unknowable reports whether drey cannot know the value of a label: the object's own uid in
// admission, and the cluster of a high-availability ConfigMap, which has no owner.
func unknowable(o unstructured.Unstructured, root metav1.Object, m mode, key string) bool {
	switch key {
	case m.id:
		return o.GetUID() == root.GetUID() || isHighAvailability(o)
	case m.name, verdict.LabelKind:
		return isHighAvailability(o)
	}
	return false
}
