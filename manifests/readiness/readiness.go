// Package readiness explains why the replicas of a Deployment are not ready, from the status
// of the Deployment and of its pods. It reads nothing itself.
package readiness

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// Obstacle is a reason why replicas are not ready.
type Obstacle struct {
	Reason  string   // of Kubernetes, such as ImagePullBackOff
	Message string   // of Kubernetes, too
	Pods    []string // that have it; empty: pods cannot be created
	Fix     string
}

// String returns the obstacle without the fix.
func (o Obstacle) String() string {
	switch len(o.Pods) {
	case 0:
		return fmt.Sprintf("no pod is created: %s: %s", o.Reason, o.Message)
	case 1:
		return fmt.Sprintf("pod %s: %s: %s", o.Pods[0], o.Reason, o.Message)
	}
	return fmt.Sprintf("pods %s: %s: %s", strings.Join(o.Pods, ", "), o.Reason, o.Message)
}

// Obstacles returns what keeps the replicas of a Deployment from becoming ready, sorted, one
// for all pods with the same reason and message. It is empty if all are ready.
func Obstacles(d *appsv1.Deployment, pods []corev1.Pod) []Obstacle {
	var all []Obstacle
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue {
			all = append(all, Obstacle{Reason: c.Reason, Message: c.Message, Fix: fixCreation(d, c.Message)})
		}
	}
	for i := range pods {
		o, ok := ofPod(&pods[i])
		if !ok {
			continue
		}
		at := slices.IndexFunc(all, func(have Obstacle) bool {
			return len(have.Pods) > 0 && have.Reason == o.Reason && have.Message == o.Message
		})
		if at >= 0 {
			all[at].Pods = append(all[at].Pods, o.Pods...)
			continue
		}
		all = append(all, o)
	}
	for _, o := range all {
		slices.Sort(o.Pods)
	}
	slices.SortFunc(all, func(a, b Obstacle) int {
		return cmp.Or(cmp.Compare(len(a.Pods), len(b.Pods)), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Message, b.Message))
	})
	return all
}

// ofPod returns the obstacle of a pod. ok is false if it is ready or terminating.
func ofPod(p *corev1.Pod) (o Obstacle, ok bool) {
	if p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodSucceeded || is(p, corev1.PodReady) {
		return o, false
	}
	o.Pods = []string{p.Name}
	describe := fmt.Sprintf("kubectl describe pod -n %s %s", p.Namespace, p.Name)
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			o.Reason, o.Message, o.Fix = cmp.Or(c.Reason, corev1.PodReasonUnschedulable), c.Message, fixScheduling(p, c.Message)
			return o, true
		}
	}
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if c.Ready {
			continue
		}
		o.Reason, o.Message, o.Fix = ofContainer(p, c)
		if o.Reason != "" {
			return o, true
		}
	}
	switch {
	case p.Status.Reason != "": // such as Evicted
		o.Reason, o.Message, o.Fix = p.Status.Reason, p.Status.Message, describe
	case p.Status.Phase == corev1.PodRunning:
		o.Reason, o.Message = "NotReady", "its readiness probe fails"
		o.Fix = fmt.Sprintf("kubectl logs -n %s %s", p.Namespace, p.Name)
	default:
		o.Reason, o.Message, o.Fix = string(cmp.Or(p.Status.Phase, corev1.PodPending)), "not started by a node yet", describe
	}
	return o, true
}

// ofContainer returns the reason, the message and the fix of a container that is not ready;
// an empty reason if the container runs.
func ofContainer(p *corev1.Pod, c corev1.ContainerStatus) (reason, message, fix string) {
	logs := fmt.Sprintf("kubectl logs -n %s %s", p.Namespace, p.Name)
	w, before, now := c.State.Waiting, c.LastTerminationState.Terminated, c.State.Terminated
	switch {
	case w != nil && slices.Contains([]string{"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}, w.Reason):
		return w.Reason, cmp.Or(w.Message, c.Image), fmt.Sprintf("push the image, or name another: drey install -n %s --image REGISTRY/drey:TAG; for a private registry, kubectl create secret docker-registry, and imagePullSecrets in serviceaccount/%s",
			p.Namespace, cmp.Or(p.Spec.ServiceAccountName, "default"))
	case w != nil && w.Reason == "CrashLoopBackOff" && before != nil:
		return w.Reason, ended(before), logs + " --previous"
	case w != nil && w.Reason == "CreateContainerConfigError":
		return w.Reason, w.Message, fmt.Sprintf("create the missing object: kubectl describe pod -n %s %s", p.Namespace, p.Name)
	case w != nil && w.Reason != "" && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing":
		return w.Reason, cmp.Or(w.Message, "see the pod's events"), fmt.Sprintf("kubectl describe pod -n %s %s", p.Namespace, p.Name)
	case now != nil && now.ExitCode != 0:
		return cmp.Or(now.Reason, "Error"), ended(now), logs
	}
	return "", "", ""
}

// ended describes how a container ended.
func ended(t *corev1.ContainerStateTerminated) string {
	text := fmt.Sprintf("exit code %d", t.ExitCode)
	if t.Reason != "" && t.Reason != "Error" {
		text = t.Reason + ", " + text
	}
	if message := strings.TrimSpace(t.Message); message != "" {
		text += ": " + message
	}
	return text
}

// fixCreation returns the fix for pods that the API server does not create.
func fixCreation(d *appsv1.Deployment, message string) string {
	namespace := d.Namespace
	switch {
	case strings.Contains(message, "insufficient quota to match these scopes"):
		return fmt.Sprintf("this cluster limits the priority class %s to namespaces with a ResourceQuota for it: restore resourcequota/%s in namespace %s",
			d.Spec.Template.Spec.PriorityClassName, d.Name, namespace)
	case strings.Contains(message, "exceeded quota"), strings.Contains(message, "failed quota"):
		return fmt.Sprintf("raise the quota, or lower drey's requests: kubectl describe resourcequota -n %s", namespace)
	case strings.Contains(message, "violates PodSecurity"):
		return fmt.Sprintf("restore the security context of the pods, or relax the namespace: kubectl get namespace %s --show-labels", namespace)
	case strings.Contains(message, "security context constraint"):
		return fmt.Sprintf("leave the user and groups to the constraint: remove runAsUser, runAsGroup and fsGroup from deployment/%s", d.Name)
	case strings.Contains(message, "serviceaccount") && strings.Contains(message, "not found"):
		return fmt.Sprintf("restore serviceaccount/%s in namespace %s", cmp.Or(d.Spec.Template.Spec.ServiceAccountName, "default"), namespace)
	case strings.Contains(message, "admission webhook"), strings.Contains(message, "ValidatingAdmissionPolicy"), strings.Contains(message, "failed calling webhook"):
		return fmt.Sprintf("exclude namespace %s from that webhook or policy, or repair it", namespace)
	}
	return fmt.Sprintf("kubectl describe replicaset -n %s", namespace)
}

// fixScheduling returns the fix for a pod without a node.
func fixScheduling(p *corev1.Pod, message string) string {
	switch {
	case strings.Contains(message, "taint"):
		return fixTaint(message)
	case strings.Contains(message, "node affinity/selector"):
		return "label a node for drey, or install with the labels of one: drey install --node-selector KEY=VALUE, or the chart's value nodeSelector; see kubectl get nodes --show-labels"
	case strings.Contains(message, "Insufficient"):
		return "add a node, or free resources on one: kubectl describe nodes"
	case strings.Contains(message, "PersistentVolumeClaim"):
		return fmt.Sprintf("provide the volume: kubectl describe pvc -n %s", p.Namespace)
	}
	return fmt.Sprintf("kubectl describe pod -n %s %s", p.Namespace, p.Name)
}

// taint matches a taint in a message of the scheduler.
var taint = regexp.MustCompile(`untolerated taint(?:\(s\))? \{([^:{}]+): ?([^{}]*)\}`)

// fixTaint returns the fix for a taint that keeps a pod from a node. Those of Kubernetes are for nodes that do
// not work.
func fixTaint(message string) string {
	toleration := "KEY=VALUE"
	if m := taint.FindStringSubmatch(message); m != nil {
		if strings.HasPrefix(m[1], "node.kubernetes.io/") {
			return "repair the nodes: kubectl describe nodes"
		}
		toleration = strings.TrimSuffix(m[1]+"="+m[2], "=")
	}
	return fmt.Sprintf("tolerate the taint: drey install --toleration %s, or the chart's value tolerations; or remove the taint: kubectl taint nodes NODE KEY-", toleration)
}

func is(p *corev1.Pod, condition corev1.PodConditionType) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == condition && c.Status == corev1.ConditionTrue
	})
}
