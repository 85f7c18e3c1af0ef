package kubestore

import (
	"cmp"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "drey.dev/drey/registry/kubestore/v1"
)

// hurdle is why Flink cannot run where a target points: the reason and the message of
// its condition Ready. The zero value is that it can.
type hurdle struct{ reason, message string }

// hurdleFor is what stands before a target: nothing, if nobody can tell.
func (m *mirror) hurdleFor(rec *record) hurdle {
	at := m.pointsAt(rec)
	if at == "" {
		return hurdle{}
	}
	if n := m.namespaces[at]; n != nil {
		return n.hurdle
	}
	return hurdle{v1.NamespaceMissing, fmt.Sprintf("Kubernetes namespace %q does not exist: kubectl create namespace %s. Once it is there, Flink may run in it", at, at)}
}

// hurdleOf is what stands before those who point at a Kubernetes namespace.
func (m *mirror) hurdleOf(n metav1.Object) hurdle {
	if n.GetDeletionTimestamp() != nil {
		return hurdle{v1.NamespaceTerminating, fmt.Sprintf("Kubernetes namespace %q is being deleted, and nothing can be made in it", n.GetName())}
	}
	if m.serves != nil {
		if err := m.serves(n.GetName(), n.GetLabels()); err != nil {
			return hurdle{v1.NamespaceNotServed, err.Error()}
		}
	}
	return hurdle{}
}

// pointsAt is the Kubernetes namespace that a target points at: empty for other kinds,
// and if nobody knows what it means to leave it out.
func (m *mirror) pointsAt(rec *record) string {
	if t, ok := rec.object.(*v1.DeploymentTarget); ok {
		return cmp.Or(t.Spec.Kubernetes.Namespace, m.home)
	}
	return ""
}

// point notes that a target points at its namespace, or does no more.
func (m *mirror) point(rec *record, on bool) {
	at, uid := m.pointsAt(rec), rec.object.GetUID()
	switch {
	case at == "":
	case on && m.pointing[at] == nil:
		m.pointing[at] = map[types.UID]bool{uid: true}
	case on:
		m.pointing[at][uid] = true
	default:
		if delete(m.pointing[at], uid); len(m.pointing[at]) == 0 {
			delete(m.pointing, at)
		}
	}
}

// notePointing notes the targets that point at a Kubernetes namespace.
func (m *mirror) notePointing(namespace string) {
	for uid := range m.pointing[namespace] {
		m.noteUID(uid)
	}
}
