package kubestore

import (
	"cmp"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "drey.dev/drey/registry/kubestore/v1"
)

// notReady is the reason and message of a target's condition Ready when Flink cannot run in
// its Kubernetes namespace. The zero value means ready.
type notReady struct{ reason, message string }

// targetNotReady returns why a target is not ready. Objects of other kinds always are.
func (c *objectCache) targetNotReady(rec *record) notReady {
	name := c.targetNamespace(rec)
	if name == "" {
		return notReady{}
	}
	if n := c.namespaces[name]; n != nil {
		return n.notReady
	}
	return notReady{v1.NamespaceMissing, fmt.Sprintf("Kubernetes namespace %q does not exist: kubectl create namespace %s", name, name)}
}

// namespaceNotReady returns why targets of a Kubernetes namespace are not ready.
func (c *objectCache) namespaceNotReady(n metav1.Object) notReady {
	if n.GetDeletionTimestamp() != nil {
		return notReady{v1.NamespaceTerminating, fmt.Sprintf("Kubernetes namespace %q is terminating", n.GetName())}
	}
	if c.checkNamespace != nil {
		if err := c.checkNamespace(n.GetName(), n.GetLabels()); err != nil {
			return notReady{v1.NamespaceNotServed, err.Error()}
		}
	}
	return notReady{}
}

// targetNamespace returns the Kubernetes namespace that a target points at: "" for other
// kinds, and for a target without a namespace if the own namespace is not known.
func (c *objectCache) targetNamespace(rec *record) string {
	if t, ok := rec.object.(*v1.DeploymentTarget); ok {
		return cmp.Or(t.Spec.Kubernetes.Namespace, c.ownNamespace)
	}
	return ""
}

// indexTarget adds a target to the index of targets by Kubernetes namespace, or removes it.
func (c *objectCache) indexTarget(rec *record, add bool) {
	name, uid := c.targetNamespace(rec), rec.object.GetUID()
	switch {
	case name == "":
	case add && c.targets[name] == nil:
		c.targets[name] = map[types.UID]bool{uid: true}
	case add:
		c.targets[name][uid] = true
	default:
		if delete(c.targets[name], uid); len(c.targets[name]) == 0 {
			delete(c.targets, name)
		}
	}
}

// enqueueTargetsOf queues the targets of a Kubernetes namespace for a status update.
func (c *objectCache) enqueueTargetsOf(namespace string) {
	for uid := range c.targets[namespace] {
		c.enqueue(uid)
	}
}
