package e2e

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// TestReadyKnowsIDs restarts drey in a cluster with 400 FlinkDeployments, 20 MB together.
// Once drey is ready, a pod with the UID of any of them as an id is denied.
func TestReadyKnowsIDs(t *testing.T) {
	t.Parallel()
	c := ownCluster(t)
	elsewhere := c.Namespace(t)
	config := rest.CopyConfig(c.Config())
	config.QPS = -1
	api, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	var uids []types.UID
	for i := range 400 {
		o := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment", "metadata": map[string]any{"name": fmt.Sprint("job-", i)},
			"spec": map[string]any{"job": map[string]any{}, "flinkConfiguration": map[string]any{"env.java.opts": strings.Repeat("-Da=b ", 50<<10/6)}},
		}}
		made, err := api.Resource(resources["FlinkDeployment"]).Namespace(elsewhere).Create(t.Context(), o, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		uids = append(uids, made.GetUID())
	}
	w, err := newWorld(t.Context(), c, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w.stopAtEnd(t)
	namespace := w.Namespace(t)
	w.register(t, "team-a", namespace)
	w.killDrey(t)
	w.restartDrey(t)
	pods := api.Resource(resources["Pod"]).Namespace(namespace)
	create := func(uid types.UID) error {
		o := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "a", "labels": map[string]any{"type": "flink-native-kubernetes", "component": "jobmanager", "deploymentId": string(uid)}},
			"spec": map[string]any{"containers": []any{map[string]any{"name": "flink-main-container", "image": "flink:2.2"}}},
		}}
		_, err := pods.Create(t.Context(), o, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}
	allowed := 0
	for _, uid := range uids {
		switch err := create(uid); {
		case err == nil:
			allowed++
		case !strings.Contains(err.Error(), "that id belongs to another object"):
			t.Fatalf("denied for another reason: %v", err)
		}
	}
	if allowed > 0 {
		t.Errorf("%d of %d pods with a foreign id were admitted", allowed, len(uids))
	}
	if err := create("11111111-2222-4333-8444-555555555555"); err != nil {
		t.Errorf("an id of no object: %v", err)
	}
}
