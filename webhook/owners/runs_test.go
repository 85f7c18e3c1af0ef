package owners

import (
	"reflect"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/runstate"
)

// TestRuns checks which cached workloads run an id.
func TestRuns(t *testing.T) {
	o := newFakes(t)
	for _, text := range []string{
		`{apiVersion: apps/v1, kind: Deployment, metadata: {name: jm, namespace: a, labels: {deploymentId: standalone}, annotations: {drey.dev/mode: application, note: long}, managedFields: [{manager: kubectl}]}, spec: {template: {metadata: {labels: {jobId: 7a0c0e1d-2b3a-4958-8776-655443322110}}, spec: {containers: [{name: a}]}}}, status: {conditions: [{type: Available, status: "True"}]}}`,
		`{apiVersion: apps/v1, kind: Deployment, metadata: {name: tm, namespace: a, labels: {deploymentId: standalone}}}`,
		`{apiVersion: flink.apache.org/v1beta1, kind: FlinkBlueGreenDeployment, metadata: {name: nuts, namespace: a, uid: bg, labels: {deploymentId: blue-green}}, spec: {template: {}}, status: {jobStatus: {state: RUNNING}}}`,
		`{apiVersion: flink.apache.org/v1beta1, kind: FlinkDeployment, metadata: {name: nuts-blue, namespace: a, labels: {deploymentId: blue-green}, ownerReferences: [{apiVersion: flink.apache.org/v1beta1, kind: FlinkBlueGreenDeployment, name: nuts, uid: bg, controller: true}]}}`,
		`{apiVersion: apps/v1, kind: Deployment, metadata: {name: nuts-blue, namespace: a, labels: {deploymentId: blue-green}}}`,
		`{apiVersion: flink.apache.org/v1beta1, kind: FlinkDeployment, metadata: {name: session, namespace: a, labels: {sessionClusterId: session}}, status: {jobManagerDeploymentStatus: READY}}`,
		`{apiVersion: flink.apache.org/v1beta1, kind: FlinkSessionJob, metadata: {name: job, namespace: a, labels: {deploymentId: job, sessionClusterId: session}}, spec: {job: {}}, status: {jobStatus: {state: FAILED}}}`,
	} {
		var u unstructured.Unstructured
		if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
			t.Fatal(err)
		}
		k, ok := kindIn(cachedKinds, flink.OwnerReference{APIVersion: u.GetAPIVersion(), Kind: u.GetKind()})
		if !ok {
			t.Fatalf("no cache of %s", u.GetKind())
		}
		trimmed := u.DeepCopy()
		if trimCustom(trimmed); !k.custom {
			trimBuiltIn(trimmed)
		}
		if got, want := newWholeEntry(k, trimmed), newWholeEntry(k, &u); !reflect.DeepEqual(got, want) {
			t.Errorf("trimmed: got %+v, want %+v", got, want)
		}
		if err := o.caches[k].informer.GetIndexer().Add(newWholeEntry(k, &u)); err != nil {
			t.Fatal(err)
		}
	}
	for id, want := range map[string][]runstate.Run{
		"standalone": {{Kind: "Deployment", State: runstate.Running, JobID: "7a0c0e1d-2b3a-4958-8776-655443322110"}, {Kind: "Deployment", State: runstate.Transitioning}},
		"blue-green": {{Kind: "FlinkBlueGreenDeployment", State: runstate.Running}},
		"session":    {{Kind: "FlinkDeployment", State: runstate.Running}},
		"job":        {{Kind: "FlinkSessionJob", State: runstate.Failed}},
		"unknown":    nil,
	} {
		got := o.Runs(id)
		if len(got) != len(want) {
			t.Errorf("%s: got %+v", id, got)
		}
		for _, run := range want {
			found := false
			for _, g := range got {
				found = found || g == run
			}
			if !found {
				t.Errorf("%s: got %+v, want %+v", id, got, run)
			}
		}
	}
	if n := o.calls(); n > 0 {
		t.Errorf("%d API calls", n)
	}
}
