package kubelet_test

import (
	"context"
	"fmt"
	"os/exec"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/test/framework/kubelet"
)

// runtime runs the command of the first container, if it has one.
type runtime struct{}

func (runtime) Command(_ context.Context, pod *corev1.Pod, dir string) (*exec.Cmd, error) {
	command := pod.Spec.Containers[0].Command
	if len(command) == 0 {
		return nil, nil
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = dir
	return cmd, nil
}

// TestKubeletRestartPolicy: restart policies apply, and a process ends with its pod.
func TestKubeletRestartPolicy(t *testing.T) {
	c := cluster.Shared(t)
	namespace := c.Namespace(t)
	client := kubernetes.NewForConfigOrDie(c.Config()).CoreV1().Pods(namespace)
	k := kubelet.Start(t, kubelet.Options{Cluster: c, Namespaces: []string{namespace}, Runtime: runtime{}})
	await := func(t *testing.T, name string, check func(*corev1.Pod) bool) {
		t.Helper()
		eventually.OK(t, func() error {
			pod, err := client.Get(t.Context(), name, metav1.GetOptions{})
			if err == nil && !check(pod) {
				err = fmt.Errorf("pod %s: %+v", name, pod.Status)
			}
			return err
		})
	}
	create := func(t *testing.T, name string, policy corev1.RestartPolicy, command ...string) {
		t.Helper()
		_, err := client.Create(t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec:       corev1.PodSpec{RestartPolicy: policy, Containers: []corev1.Container{{Name: "main", Image: "none", Command: command}}},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	isReady := func(pod *corev1.Pod) bool {
		ready := map[corev1.PodConditionType]bool{}
		for _, c := range pod.Status.Conditions {
			ready[c.Type] = c.Status == corev1.ConditionTrue
		}
		return pod.Status.Phase == corev1.PodRunning && ready[corev1.PodScheduled] && ready[corev1.PodReady]
	}

	t.Run("no command", func(t *testing.T) {
		create(t, "idle", corev1.RestartPolicyAlways)
		await(t, "idle", isReady)
		if k.PID(namespace, "idle") != 0 {
			t.Error("pod idle has a process")
		}
	})
	t.Run("Never: Failed", func(t *testing.T) {
		create(t, "fails", corev1.RestartPolicyNever, "/bin/sh", "-c", "exit 3")
		await(t, "fails", func(pod *corev1.Pod) bool {
			s := pod.Status
			return s.Phase == corev1.PodFailed && s.ContainerStatuses[0].State.Terminated.ExitCode == 3
		})
	})
	t.Run("OnFailure: Succeeded", func(t *testing.T) {
		create(t, "succeeds", corev1.RestartPolicyOnFailure, "/bin/sh", "-c", "exit 0")
		await(t, "succeeds", func(pod *corev1.Pod) bool { return pod.Status.Phase == corev1.PodSucceeded })
	})
	t.Run("Always: restarted after SIGKILL, stopped with the pod", func(t *testing.T) {
		create(t, "lives", corev1.RestartPolicyAlways, "sleep", "1000")
		await(t, "lives", isReady)
		before := k.PID(namespace, "lives")
		if before == 0 {
			t.Fatal("pod lives has no process")
		}
		if err := k.Kill(namespace, "lives"); err != nil {
			t.Fatal(err)
		}
		await(t, "lives", func(pod *corev1.Pod) bool {
			return isReady(pod) && pod.Status.ContainerStatuses[0].RestartCount == 1 && k.PID(namespace, "lives") != 0 && k.PID(namespace, "lives") != before
		})
		pid := k.PID(namespace, "lives")
		if err := client.Delete(t.Context(), "lives", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		eventually.OK(t, func() error {
			if exec.Command("kill", "-0", fmt.Sprint(pid)).Run() == nil {
				return fmt.Errorf("process %d outlives its pod", pid)
			}
			return nil
		})
	})
}
