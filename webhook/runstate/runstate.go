// Package runstate reads what a workload runs from its status: a Deployment, StatefulSet or
// Job, or a custom resource of one of Flink's operators. It is pure.
package runstate

import (
	"cmp"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"drey.dev/drey/webhook/flink"
)

// State is the run state of a workload, derived from its status.
type State string

// The run states of workloads.
const (
	Transitioning State = "Transitioning" // starting, restarting or stopping
	Running       State = "Running"
	Failed        State = "Failed"
	Finished      State = "Finished"
	Stopped       State = "Stopped" // exists, and runs nothing: canceled, suspended or scaled to zero
)

// Run is the run state of one workload, with its job.
type Run struct {
	Kind  string // of the workload
	State State
	JobID string    // a UUID with hyphens; empty if the object does not state it
	Since time.Time // of the state if the object states it, else the creation
}

// Of returns the run of a Deployment, StatefulSet, Job or Flink custom resource: the whole
// object, as decoded JSON. ok is false for other kinds.
func Of(object *unstructured.Unstructured) (run Run, ok bool) {
	read, ok := runReaders[object.GetKind()]
	if !ok {
		return Run{}, false
	}
	run = read(fields{object.Object})
	run.Kind, run.JobID = object.GetKind(), flink.JobID(run.JobID)
	if run.Since.IsZero() {
		run.Since = object.GetCreationTimestamp().Time
	}
	if object.GetDeletionTimestamp() != nil {
		run.State = Transitioning
	}
	return run, true
}

var runReaders = map[string]func(fields) Run{
	"Deployment":               runOfDeployment,
	"StatefulSet":              runOfStatefulSet,
	"Job":                      runOfJob,
	"FlinkDeployment":          runOfFlink,
	"FlinkSessionJob":          runOfFlink,
	"FlinkBlueGreenDeployment": runOfFlink,
	"FlinkCluster":             runOfFlinkCluster,
	"FlinkApplication":         runOfFlinkApplication,
}

func runOfDeployment(f fields) Run {
	available, since := f.condition("Available")
	run := Run{State: Transitioning, JobID: f.templateJobID()}
	switch {
	case f.integer(1, "spec", "replicas") == 0:
		run.State = stoppedIf(f.integer(0, "status", "replicas") == 0)
	case available == "True" && f.observed():
		run.State, run.Since = Running, since
	}
	return run
}

func runOfStatefulSet(f fields) Run {
	desired := f.integer(1, "spec", "replicas")
	run := Run{State: Transitioning, JobID: f.templateJobID()}
	switch {
	case desired == 0:
		run.State = stoppedIf(f.integer(0, "status", "replicas") == 0)
	case f.integer(0, "status", "readyReplicas") >= desired && f.observed():
		run.State = Running
	}
	return run
}

func stoppedIf(noPods bool) State {
	if noPods {
		return Stopped
	}
	return Transitioning
}

func runOfJob(f fields) Run {
	run := Run{State: Transitioning, JobID: f.templateJobID()}
	for _, end := range []struct {
		condition string
		state     State
	}{{"Complete", Finished}, {"Failed", Failed}} {
		if status, since := f.condition(end.condition); status == "True" {
			run.State, run.Since = end.state, since
			return run
		}
	}
	suspended, _, _ := unstructured.NestedBool(f.object, "spec", "suspend")
	switch {
	case f.integer(0, "status", "ready") > 0:
		run.State, run.Since = Running, f.time("status", "startTime")
	case suspended && f.integer(0, "status", "active") == 0:
		run.State = Stopped
	}
	return run
}

// runOfFlink reads the status of Flink's operator. A session cluster has no job: its
// JobManager counts.
func runOfFlink(f fields) Run {
	state := f.text("status", "jobStatus", "state")
	run := Run{State: flinkJobStates[state], JobID: f.text("status", "jobStatus", "jobId"), Since: f.time("status", "jobStatus", "startTime")}
	_, hasJob, _ := unstructured.NestedFieldNoCopy(f.object, "spec", "job")
	_, hasTemplate, _ := unstructured.NestedFieldNoCopy(f.object, "spec", "template")
	switch {
	case f.text("status", "lifecycleState") == "FAILED":
		run.State = Failed
	case hasJob || hasTemplate:
		if state == "" && f.text("spec", "job", "state") == "suspended" {
			run.State = Stopped
		}
	case f.text("status", "jobManagerDeploymentStatus") == "READY":
		run.State = Running
	case f.text("status", "jobManagerDeploymentStatus") == "ERROR":
		run.State = Failed
	}
	run.State = cmp.Or(run.State, Transitioning)
	return run
}

// flinkJobStates maps Flink's JobStatus; states that are not listed are transitions.
var flinkJobStates = map[string]State{
	"RUNNING": Running, "FAILED": Failed, "FINISHED": Finished, "CANCELED": Stopped, "SUSPENDED": Stopped,
}

// runOfFlinkCluster reads the status of spotify's operator.
func runOfFlinkCluster(f fields) Run {
	run := Run{State: Transitioning, JobID: f.text("status", "components", "job", "id")}
	switch f.text("status", "state") {
	case "Running":
		run.State = Running
	case "Stopped":
		run.State = Stopped
	}
	switch f.text("status", "components", "job", "state") {
	case "Succeeded":
		run.State = Finished
	case "Failed", "DeployFailed", "Lost":
		run.State = Failed
	case "Pending", "Deploying", "Restarting", "Updating":
		run.State = Transitioning
	}
	return run
}

// runOfFlinkApplication reads the status of lyft's operator.
func runOfFlinkApplication(f fields) Run {
	run := Run{State: flinkJobStates[f.text("status", "jobStatus", "state")], JobID: f.text("status", "jobStatus", "jobID")}
	switch f.text("status", "phase") {
	case "DeployFailed":
		run.State = Failed
	case "Running":
	default:
		run.State = Transitioning
	}
	run.State = cmp.Or(run.State, Transitioning)
	return run
}

// fields reads the fields of an object. Fields that are absent or of other types are zero.
type fields struct{ object map[string]any }

func (f fields) text(path ...string) string {
	s, _, _ := unstructured.NestedString(f.object, path...)
	return s
}

func (f fields) integer(absent int64, path ...string) int64 {
	n, ok, err := unstructured.NestedInt64(f.object, path...)
	if !ok || err != nil {
		return absent
	}
	return n
}

// time reads RFC 3339 or, as Flink's operator writes it, milliseconds since 1970.
func (f fields) time(path ...string) time.Time {
	text := f.text(path...)
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.UnixMilli(ms)
	}
	t, _ := time.Parse(time.RFC3339, text)
	return t
}

// observed reports whether the status describes the present spec.
func (f fields) observed() bool {
	return f.integer(0, "status", "observedGeneration") >= f.integer(0, "metadata", "generation")
}

func (f fields) templateJobID() string {
	return f.text("spec", "template", "metadata", "labels", flink.LabelJobID)
}

func (f fields) condition(name string) (status string, since time.Time) {
	all, _, _ := unstructured.NestedFieldNoCopy(f.object, "status", "conditions")
	list, _ := all.([]any)
	for _, item := range list {
		condition, _ := item.(map[string]any)
		if c := (fields{condition}); c.text("type") == name {
			return c.text("status"), c.time("lastTransitionTime")
		}
	}
	return "", time.Time{}
}
