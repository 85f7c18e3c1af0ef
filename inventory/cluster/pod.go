package cluster

import (
	"strings"
	"time"
	"unique"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"drey.dev/drey/inventory"
	"drey.dev/drey/webhook/flink"
)

// identity is the part of a pod that it shares with the other pods of its controller.
type identity struct {
	recognized bool
	flavor     flink.Flavor
	mode       flink.Mode
	role       flink.Role

	labels struct { // the values of its labels
		platformNamespace, deploymentID, deploymentName, sessionClusterID, sessionClusterName, jobID string
	}
	missing string // keys of labels, with commas

	owner flink.OwnerReference // that leads to the root; zero if there is none
	hash  string               // pod-template-hash
}

// pod is what the inventory keeps of a pod, besides its name.
type pod struct {
	identity unique.Handle[identity]
	created  int64 // Unix time
	requests inventory.Resources
	ready    bool
}

// listed is a pod with its name, as reflectors hand it over.
type listed struct {
	cache.ObjectName
	pod
	gone bool // it has terminated
}

// GetObjectMeta implements metav1.ObjectMetaAccessor.
func (l *listed) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: l.Namespace, Name: l.Name}
}

const labelPodHash = "pod-template-hash"

// newListed returns what the inventory keeps of a pod.
func newListed(p *corev1.Pod) *listed {
	w := flink.Recognize(toObject(p))
	id := identity{recognized: w.Recognized(), flavor: w.Flavor, mode: w.Mode, role: w.Role, hash: strings.Clone(p.Labels[labelPodHash])}
	l := &id.labels
	var missing []string
	for _, label := range []struct {
		key   string
		value *string
	}{
		{flink.LabelSystem, nil}, {flink.LabelPlatformNamespace, &l.platformNamespace}, {flink.LabelKind, nil},
		{flink.LabelDeploymentID, &l.deploymentID}, {flink.LabelDeploymentName, &l.deploymentName},
		{flink.LabelSessionClusterID, &l.sessionClusterID}, {flink.LabelSessionClusterName, &l.sessionClusterName}, {flink.LabelJobID, &l.jobID},
	} {
		value := strings.Clone(p.Labels[label.key]) // the pod is garbage afterwards
		if label.value != nil {
			*label.value = value
		}
		if value == "" && isRequired(label.key, p.Labels, w.Mode) {
			missing = append(missing, label.key)
		}
	}
	id.missing = strings.Join(missing, ",")
	if ref, ok := flink.PreferredOwner(ownerReferences(p)); ok {
		id.owner = ref
	}
	return &listed{
		ObjectName: cache.ObjectName{Namespace: strings.Clone(p.Namespace), Name: strings.Clone(p.Name)},
		pod:        pod{identity: unique.Make(id), created: p.CreationTimestamp.Unix(), requests: requests(p), ready: isReady(p)},
		gone:       p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed,
	}
}

// toPod returns a pod for readers of the inventory.
func toPod(name string, p pod) inventory.Pod {
	id := p.identity.Value()
	shown := inventory.Pod{Name: name, Role: string(id.role), Ready: p.ready, Requests: p.requests, Since: time.Unix(p.created, 0).UTC(), Labels: map[string]string{}}
	for key, value := range map[string]string{
		flink.LabelPlatformNamespace: id.labels.platformNamespace, flink.LabelDeploymentID: id.labels.deploymentID, flink.LabelDeploymentName: id.labels.deploymentName,
		flink.LabelSessionClusterID: id.labels.sessionClusterID, flink.LabelSessionClusterName: id.labels.sessionClusterName, flink.LabelJobID: id.labels.jobID,
	} {
		if value != "" {
			shown.Labels[key] = value
		}
	}
	if id.missing != "" {
		shown.MissingLabels = strings.Split(id.missing, ",")
	}
	return shown
}

// isRequired reports whether drey gives a label to a pod: the ids and names are those of its
// mode, which may be unknown, as may be the job id.
func isRequired(key string, labels map[string]string, mode flink.Mode) bool {
	session := mode == flink.Session || labels[flink.LabelKind] == flink.AppSessionCluster || labels[flink.LabelSessionClusterID] != ""
	application := mode == flink.Application || labels[flink.LabelKind] == flink.AppJob || labels[flink.LabelDeploymentID] != ""
	switch key {
	case flink.LabelKind:
		return session || application
	case flink.LabelDeploymentID, flink.LabelDeploymentName:
		return application
	case flink.LabelSessionClusterID, flink.LabelSessionClusterName:
		return session
	case flink.LabelJobID:
		return false
	}
	return true
}

func isReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// requests returns what the scheduler reserves for a pod: the sum of its containers and
// sidecars, at least the largest init container, or the requests of the pod.
func requests(p *corev1.Pod) (sum inventory.Resources) {
	for i := range p.Spec.Containers {
		sum = sum.Plus(resources(p.Spec.Containers[i].Resources.Requests))
	}
	var initial inventory.Resources
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		r := resources(c.Resources.Requests)
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			sum = sum.Plus(r)
			continue
		}
		initial = inventory.Resources{MilliCPU: max(initial.MilliCPU, r.MilliCPU), Memory: max(initial.Memory, r.Memory)}
	}
	sum = inventory.Resources{MilliCPU: max(sum.MilliCPU, initial.MilliCPU), Memory: max(sum.Memory, initial.Memory)}
	if p.Spec.Resources != nil {
		if cpu, ok := p.Spec.Resources.Requests[corev1.ResourceCPU]; ok {
			sum.MilliCPU = cpu.MilliValue()
		}
		if memory, ok := p.Spec.Resources.Requests[corev1.ResourceMemory]; ok {
			sum.Memory = memory.Value()
		}
	}
	return sum.Plus(resources(p.Spec.Overhead))
}

func resources(list corev1.ResourceList) inventory.Resources {
	return inventory.Resources{MilliCPU: list.Cpu().MilliValue(), Memory: list.Memory().Value()}
}

func ownerReferences(p *corev1.Pod) []flink.OwnerReference {
	refs := make([]flink.OwnerReference, len(p.OwnerReferences))
	for i, r := range p.OwnerReferences {
		refs[i] = flink.OwnerReference{
			APIVersion: strings.Clone(r.APIVersion), Kind: strings.Clone(r.Kind), Name: strings.Clone(r.Name), UID: strings.Clone(string(r.UID)), Controller: r.Controller != nil && *r.Controller,
		}
	}
	return refs
}

// toObject returns a pod as recognition reads it.
func toObject(p *corev1.Pod) *flink.Object {
	o := &flink.Object{
		Kind: "Pod", Namespace: p.Namespace, Name: p.Name, GenerateName: p.GenerateName, UID: string(p.UID),
		Labels: p.Labels, Annotations: p.Annotations, OwnerReferences: ownerReferences(p),
		Pod: flink.Pod{Labels: p.Labels, Annotations: p.Annotations},
	}
	for i := range p.Spec.Containers {
		o.Pod.Containers = append(o.Pod.Containers, toContainer(&p.Spec.Containers[i]))
	}
	for i := range p.Spec.InitContainers {
		if c := &p.Spec.InitContainers[i]; c.RestartPolicy != nil && *c.RestartPolicy == flink.RestartAlways {
			sidecar := toContainer(c)
			sidecar.Sidecar = true
			o.Pod.Containers = append(o.Pod.Containers, sidecar)
		}
	}
	for i := range p.Spec.Volumes {
		o.Pod.Volumes = append(o.Pod.Volumes, p.Spec.Volumes[i].Name)
	}
	return o
}

func toContainer(c *corev1.Container) flink.Container {
	container := flink.Container{Name: c.Name, Image: c.Image, Command: c.Command, Args: c.Args}
	for _, v := range c.Env {
		container.Env = append(container.Env, v.Name)
		container.ReadVariable(v.Name, v.Value)
	}
	return container
}
