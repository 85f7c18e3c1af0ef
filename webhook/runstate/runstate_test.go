package runstate

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func TestOf(t *testing.T) {
	const created, available = "2026-03-01T12:00:00Z", "2026-03-01T12:01:00Z"
	for rule, c := range map[string]struct {
		object string
		state  State
		jobID  string
		since  string // "": created
	}{
		"Deployment without status": {object: `{kind: Deployment, spec: {replicas: 1}}`, state: Transitioning},
		"Deployment available": {object: `{kind: Deployment, spec: {template: {metadata: {labels: {jobId: 7a0c0e1d-2b3a-4958-8776-655443322110}}}},
			status: {conditions: [{type: Progressing, status: "True"}, {type: Available, status: "True", lastTransitionTime: "` + available + `"}]}}`,
			state: Running, jobID: "7a0c0e1d-2b3a-4958-8776-655443322110", since: available},
		"Deployment not available": {object: `{kind: Deployment, status: {conditions: [{type: Available, status: "False"}]}}`, state: Transitioning},
		"Deployment with a status of an older spec": {object: `{kind: Deployment, metadata: {generation: 2}, status: {observedGeneration: 1, conditions: [{type: Available, status: "True"}]}}`,
			state: Transitioning},
		"Deployment scaled to zero":           {object: `{kind: Deployment, spec: {replicas: 0}}`, state: Stopped},
		"Deployment scaled to zero with pods": {object: `{kind: Deployment, spec: {replicas: 0}, status: {replicas: 1}}`, state: Transitioning},
		"Deployment terminating": {object: `{kind: Deployment, metadata: {deletionTimestamp: "` + available + `"}, status: {conditions: [{type: Available, status: "True", lastTransitionTime: "` + created + `"}]}}`,
			state: Transitioning},
		"StatefulSet ready":     {object: `{kind: StatefulSet, spec: {replicas: 2}, status: {readyReplicas: 2}}`, state: Running},
		"StatefulSet not ready": {object: `{kind: StatefulSet, spec: {replicas: 2}, status: {readyReplicas: 1}}`, state: Transitioning},
		"Job ready":             {object: `{kind: Job, status: {active: 1, ready: 1, startTime: "` + available + `"}}`, state: Running, since: available},
		"Job starting":          {object: `{kind: Job, status: {active: 1}}`, state: Transitioning},
		"Job complete":          {object: `{kind: Job, status: {conditions: [{type: Complete, status: "True"}]}}`, state: Finished},
		"Job failed":            {object: `{kind: Job, status: {conditions: [{type: Failed, status: "True"}]}}`, state: Failed},
		"Job suspended":         {object: `{kind: Job, spec: {suspend: true}}`, state: Stopped},
		"FlinkDeployment running": {object: `{kind: FlinkDeployment, spec: {job: {}}, status: {jobManagerDeploymentStatus: READY, jobStatus: {state: RUNNING, jobId: 7A0C0E1D2B3A49588776655443322110, startTime: "1772366460000"}}}`,
			state: Running, jobID: "7a0c0e1d-2b3a-4958-8776-655443322110", since: available},
		"FlinkDeployment new":                     {object: `{kind: FlinkDeployment, spec: {job: {state: running}}}`, state: Transitioning},
		"FlinkDeployment reconciling":             {object: `{kind: FlinkDeployment, spec: {job: {}}, status: {jobStatus: {state: RECONCILING}}}`, state: Transitioning},
		"FlinkDeployment finished":                {object: `{kind: FlinkDeployment, spec: {job: {}}, status: {jobStatus: {state: FINISHED}}}`, state: Finished},
		"FlinkDeployment suspended":               {object: `{kind: FlinkDeployment, spec: {job: {state: suspended}}, status: {jobStatus: {state: SUSPENDED}}}`, state: Stopped},
		"FlinkDeployment suspended before it ran": {object: `{kind: FlinkDeployment, spec: {job: {state: suspended}}}`, state: Stopped},
		"FlinkDeployment failed to deploy":        {object: `{kind: FlinkDeployment, spec: {job: {}}, status: {lifecycleState: FAILED, jobStatus: {state: RECONCILING}}}`, state: Failed},
		"FlinkDeployment of a session":            {object: `{kind: FlinkDeployment, spec: {}, status: {jobManagerDeploymentStatus: READY}}`, state: Running},
		"FlinkDeployment of a session deploying":  {object: `{kind: FlinkDeployment, status: {jobManagerDeploymentStatus: DEPLOYING}}`, state: Transitioning},
		"FlinkSessionJob running":                 {object: `{kind: FlinkSessionJob, spec: {job: {}}, status: {jobStatus: {state: RUNNING}}}`, state: Running},
		"FlinkBlueGreenDeployment running":        {object: `{kind: FlinkBlueGreenDeployment, spec: {template: {}}, status: {jobStatus: {state: RUNNING}}}`, state: Running},
		"FlinkCluster running": {object: `{kind: FlinkCluster, status: {state: Running, components: {job: {state: Running, id: 7a0c0e1d2b3a49588776655443322110}}}}`,
			state: Running, jobID: "7a0c0e1d-2b3a-4958-8776-655443322110"},
		"FlinkCluster stopped with a failed job": {object: `{kind: FlinkCluster, status: {state: Stopped, components: {job: {state: Failed}}}}`, state: Failed},
		"FlinkApplication running":               {object: `{kind: FlinkApplication, status: {phase: Running, jobStatus: {state: RUNNING}}}`, state: Running},
		"FlinkApplication updating":              {object: `{kind: FlinkApplication, status: {phase: Updating, jobStatus: {state: RUNNING}}}`, state: Transitioning},
		"fields of other types":                  {object: `{kind: Deployment, spec: [1], status: {conditions: x}}`, state: Transitioning},
	} {
		t.Run(rule, func(t *testing.T) {
			var o unstructured.Unstructured
			if err := yaml.Unmarshal([]byte(c.object), &o.Object); err != nil {
				t.Fatal(err)
			}
			if err := unstructured.SetNestedField(o.Object, created, "metadata", "creationTimestamp"); err != nil {
				t.Fatal(err)
			}
			// As the client decodes it: integers are int64.
			text, err := o.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			if err := o.UnmarshalJSON(text); err != nil {
				t.Fatal(err)
			}
			if c.since == "" {
				c.since = created
			}
			run, ok := Of(&o)
			if !ok || run.State != c.state || run.JobID != c.jobID || run.Since.UTC().Format(time.RFC3339) != c.since {
				t.Errorf("got %+v, want %+v", run, c)
			}
		})
	}
	if _, ok := Of(&unstructured.Unstructured{Object: map[string]any{"kind": "CronJob"}}); ok {
		t.Error("a CronJob has a run")
	}
}
