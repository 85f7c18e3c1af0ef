package cluster

import (
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestControllers: a Deployment gets a ReplicaSet and a pod, and the garbage collector deletes
// them.
func TestControllers(t *testing.T) {
	t.Parallel()
	c := Shared(t)
	namespace := c.Namespace(t)
	createDeployment(t, c, namespace)

	var pod corev1.Pod
	waitFor(t, "the Deployment's pod", func() bool {
		pods, err := c.core.Pods(namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil || len(pods.Items) == 0 {
			return false
		}
		pod = pods.Items[0]
		return true
	})
	owner := metav1.GetControllerOf(&pod)
	if owner == nil || owner.Kind != "ReplicaSet" {
		t.Fatalf("the pod's owner is %v; want a ReplicaSet", owner)
	}
	set, err := clientOf(t, c.Config()).AppsV1().ReplicaSets(namespace).Get(t.Context(), owner.Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if owner := metav1.GetControllerOf(set); owner == nil || owner.Kind != "Deployment" {
		t.Errorf("the ReplicaSet's owner is %v; want a Deployment", owner)
	}
	if pod.Spec.ServiceAccountName != "default" || len(pod.Spec.Volumes) != 1 {
		t.Errorf("the pod has ServiceAccount %q and volumes %v; want the default one and its token", pod.Spec.ServiceAccountName, pod.Spec.Volumes)
	}

	background := metav1.DeletePropagationBackground
	if err := clientOf(t, c.Config()).AppsV1().Deployments(namespace).Delete(t.Context(), "web", metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "garbage collection of the ReplicaSet and the pod", func() bool {
		sets, err := clientOf(t, c.Config()).AppsV1().ReplicaSets(namespace).List(t.Context(), metav1.ListOptions{})
		pods, err2 := c.core.Pods(namespace).List(t.Context(), metav1.ListOptions{})
		return err == nil && err2 == nil && len(sets.Items)+len(pods.Items) == 0
	})
}

// TestRestart: a restarted component has another process, and the same address and data.
func TestRestart(t *testing.T) {
	t.Parallel()
	c := Start(t)
	namespace := c.Namespace(t)
	for _, restart := range []struct {
		name      string
		component Component
		do        func() error
	}{
		{"API server, SIGTERM", APIServer, func() error { return c.RestartAPIServer(t.Context(), syscall.SIGTERM) }},
		{"API server, SIGKILL", APIServer, func() error { return c.RestartAPIServer(t.Context(), syscall.SIGKILL) }},
		{"etcd, SIGTERM", Etcd, func() error { return c.RestartEtcd(t.Context(), syscall.SIGTERM) }},
		{"etcd, SIGKILL", Etcd, func() error { return c.RestartEtcd(t.Context(), syscall.SIGKILL) }},
	} {
		before, began := c.PID(restart.component), time.Now()
		if err := restart.do(); err != nil {
			t.Fatalf("%s: %v", restart.name, err)
		}
		t.Logf("%s: %s", restart.name, time.Since(began).Round(10*time.Millisecond))
		if after := c.PID(restart.component); after == before || !running(after) || running(before) {
			t.Errorf("%s: process %d became %d", restart.name, before, after)
		}
		if _, err := c.core.Namespaces().Get(t.Context(), namespace, metav1.GetOptions{}); err != nil {
			t.Errorf("%s: %v", restart.name, err)
		}
	}
	createDeployment(t, c, namespace)
	waitFor(t, "a pod after the restarts", func() bool {
		pods, err := c.core.Pods(namespace).List(t.Context(), metav1.ListOptions{})
		return err == nil && len(pods.Items) == 1
	})
}

func createDeployment(t *testing.T, c *Cluster, namespace string) {
	t.Helper()
	labels := map[string]string{"app": "web"}
	_, err := clientOf(t, c.Config()).AppsV1().Deployments(namespace).Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "none"}}},
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}
