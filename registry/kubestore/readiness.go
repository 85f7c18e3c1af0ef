package kubestore

import (
	"cmp"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
	if rec.target == nil {
		return ""
	}
	return cmp.Or(rec.target.name, c.ownNamespace)
}

// indexTarget adds a target to the list of those that point at a Kubernetes namespace.
func (c *objectCache) indexTarget(rec *record) {
	name := c.targetNamespace(rec)
	if name == "" {
		return
	}
	if rec.target = c.targets[name]; rec.target == nil {
		rec.target = &targetNamespace{name: name}
		c.targets[name] = rec.target
	}
	rec.next = rec.target.first
	if rec.next != nil {
		rec.next.prev = rec
	}
	rec.target.first = rec
}

func (c *objectCache) unindexTarget(rec *record) {
	if c.targetNamespace(rec) == "" {
		return
	}
	if rec.next != nil {
		rec.next.prev = rec.prev
	}
	if rec.prev != nil {
		rec.prev.next = rec.next
	} else if rec.target.first = rec.next; rec.target.first == nil {
		delete(c.targets, rec.target.name)
	}
	rec.next, rec.prev = nil, nil
}

// enqueueTargetsOf queues the targets of a Kubernetes namespace for a status update.
func (c *objectCache) enqueueTargetsOf(namespace string) {
	if n := c.targets[namespace]; n != nil {
		for rec := n.first; rec != nil; rec = rec.next {
			c.enqueue(rec.uid)
		}
	}
}
