package workloads

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"drey.dev/drey/webhook/flink"
)

// TestJobsOrder: jobs with one id in several namespaces keep the order of their pods, so that the
// same request returns the same job.
func TestJobsOrder(t *testing.T) {
	all := jobs{at: map[[2]string]int{}}
	const namespaces = 20
	for i := range 2 * namespaces {
		namespace := fmt.Sprint("n", i%namespaces)
		all.add(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Labels: map[string]string{flink.LabelJobID: "j", flink.LabelDeploymentName: namespace},
		}})
	}
	if len(all.list) != namespaces {
		t.Fatalf("got %d jobs, want %d", len(all.list), namespaces)
	}
	for i, j := range all.list {
		if want := fmt.Sprint("n", i); j.DeploymentName != want {
			t.Errorf("job %d: got that of %s, want %s", i, j.DeploymentName, want)
		}
	}
}
