package readiness

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestObstacles: each reason of Kubernetes is reported with its message and a fix.
func TestObstacles(t *testing.T) {
	waiting := func(reason, message string) corev1.PodStatus {
		return corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{
			Name: "drey", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}},
		}}}
	}
	crashed := waiting("CrashLoopBackOff", "back-off 40s restarting failed container")
	crashed.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 2, Reason: "Error", Message: "invalid field\n"}
	killed := waiting("CrashLoopBackOff", "back-off")
	killed.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"}
	unschedulable := func(message string) corev1.PodStatus {
		return corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: message}}}
	}
	ready := corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
	for rule, c := range map[string]struct {
		failure string // message of the condition ReplicaFailure
		pods    []corev1.PodStatus
		says    string
		fix     string
	}{
		"ready":                        {"", []corev1.PodStatus{ready}, "", ""},
		"priority class without quota": {`pods "drey-1" is forbidden: insufficient quota to match these scopes: [{PriorityClass In [system-cluster-critical]}]`, nil, "no pod is created: FailedCreate: pods", "restore resourcequota/drey in namespace drey-system"},
		"quota exceeded":               {`exceeded quota: bounded, requested: requests.memory=128Mi`, nil, "exceeded quota", "kubectl describe resourcequota -n drey-system"},
		"Pod Security":                 {`violates PodSecurity "restricted:latest"`, nil, "violates PodSecurity", "kubectl get namespace drey-system"},
		"SCC":                          {`unable to validate against any security context constraint`, nil, "constraint", "remove runAsUser"},
		"no ServiceAccount":            {`error looking up service account drey-system/drey: serviceaccount "drey" not found`, nil, "not found", "restore serviceaccount/drey"},
		"webhook of others":            {`Internal error occurred: failed calling webhook "inject.example"`, nil, "inject.example", "exclude namespace drey-system"},
		"other failure":                {`boom`, nil, "boom", "kubectl describe replicaset"},
		"image":                        {"", []corev1.PodStatus{waiting("ImagePullBackOff", "Back-off pulling image"), waiting("ImagePullBackOff", "Back-off pulling image")}, "pods drey-0, drey-1: ImagePullBackOff: Back-off", "drey install -n drey-system --image"},
		"crash":                        {"", []corev1.PodStatus{crashed}, "pod drey-0: CrashLoopBackOff: exit code 2: invalid field", "kubectl logs -n drey-system drey-0 --previous"},
		"out of memory":                {"", []corev1.PodStatus{killed}, "OOMKilled, exit code 137", "--previous"},
		"missing ConfigMap":            {"", []corev1.PodStatus{waiting("CreateContainerConfigError", `configmap "drey" not found`)}, `configmap "drey" not found`, "kubectl describe pod -n drey-system drey-0"},
		"taint":                        {"", []corev1.PodStatus{unschedulable("0/1 nodes are available: 1 node(s) had untolerated taint {dedicated: infra}.")}, "Unschedulable: 0/1 nodes", "drey install --toleration dedicated=infra, "},
		"taint without a value":        {"", []corev1.PodStatus{unschedulable("0/1 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }.")}, "Unschedulable: 0/1 nodes", "drey install --toleration node-role.kubernetes.io/control-plane, "},
		"taint of Kubernetes":          {"", []corev1.PodStatus{unschedulable("0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/disk-pressure: }.")}, "Unschedulable: 0/1 nodes", "repair the nodes"},
		"no node with the labels":      {"", []corev1.PodStatus{unschedulable("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.")}, "Unschedulable: 0/1 nodes", "--node-selector KEY=VALUE"},
		"resources":                    {"", []corev1.PodStatus{unschedulable("0/1 nodes are available: 1 Insufficient memory.")}, "Insufficient memory", "kubectl describe nodes"},
		"probe":                        {"", []corev1.PodStatus{ready, {Phase: corev1.PodRunning}}, "pod drey-1: NotReady", "kubectl logs -n drey-system drey-1"},
		"no node yet":                  {"", []corev1.PodStatus{{Phase: corev1.PodPending}}, "Pending", "kubectl describe pod"},
		"evicted":                      {"", []corev1.PodStatus{{Phase: corev1.PodFailed, Reason: "Evicted", Message: "low on resource: memory"}}, "Evicted: low on resource", "kubectl describe pod"},
	} {
		t.Run(rule, func(t *testing.T) {
			d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "drey-system", Name: "drey"}}
			d.Spec.Template.Spec.ServiceAccountName = "drey"
			if c.failure != "" {
				d.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", Message: c.failure}}
			}
			var pods []corev1.Pod
			for i, status := range c.pods {
				pods = append(pods, corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "drey-system", Name: "drey-" + string(rune('0'+i))}, Status: status})
			}
			got := Obstacles(d, pods)
			if c.says == "" {
				if len(got) > 0 {
					t.Errorf("got %v, want none", got)
				}
				return
			}
			if len(got) != 1 || !strings.Contains(got[0].String(), c.says) || !strings.Contains(got[0].Fix, c.fix) {
				t.Errorf("got %+v, want %q and the fix %q", got, c.says, c.fix)
			}
		})
	}
}

// TestObstaclesTerminating: a terminating pod is none of the new replicas.
func TestObstaclesTerminating(t *testing.T) {
	now := metav1.Now()
	pods := []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Name: "old", DeletionTimestamp: &now}}}
	if got := Obstacles(&appsv1.Deployment{}, pods); len(got) > 0 {
		t.Errorf("got %v, want none", got)
	}
}
