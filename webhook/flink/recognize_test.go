package flink_test

import (
	"slices"
	"strings"
	"testing"

	"drey.dev/drey/webhook/flink"
)

// build parses an object from a line of words, such as
//
//	type=flink-native-kubernetes c:flink-main-container image:flink args:kubernetes-taskmanager.sh owner:apps/v1:Deployment:my-job
//
// A word with = is a label; c: begins a container; owner: is the controller, and owned: another
// owner.
func build(line string) *flink.Object {
	o := &flink.Object{Kind: "Pod", Namespace: "flink", Name: "p", Labels: map[string]string{}, Annotations: map[string]string{}}
	for _, word := range strings.Fields(line) {
		kind, value, _ := strings.Cut(word, ":")
		last := func() *flink.Container {
			if len(o.Pod.Containers) == 0 {
				o.Pod.Containers = append(o.Pod.Containers, flink.Container{Name: "main"})
			}
			return &o.Pod.Containers[len(o.Pod.Containers)-1]
		}
		switch kind {
		case "c":
			o.Pod.Containers = append(o.Pod.Containers, flink.Container{Name: value})
		case "image":
			last().Image = value
		case "command":
			last().Command = strings.Split(strings.ReplaceAll(value, "+", " "), ",")
		case "args":
			last().Args = strings.Split(strings.ReplaceAll(value, "+", " "), ",")
		case "env":
			last().Env = append(last().Env, value)
		case "mode":
			last().Env, last().Mode = append(last().Env, "FLINK_MODE"), value
		case "volume":
			o.Pod.Volumes = append(o.Pod.Volumes, value)
		case "mirror":
			o.Annotations["kubernetes.io/config.mirror"] = "1"
		case "owner", "owned":
			p := strings.Split(value, ":")
			o.OwnerReferences = append(o.OwnerReferences, flink.OwnerReference{APIVersion: p[0], Kind: p[1], Name: p[2], UID: "uid-" + p[2], Controller: kind == "owner"})
		default:
			key, v, _ := strings.Cut(word, "=")
			o.Labels[key] = v
		}
	}
	o.Pod.Labels = o.Labels
	return o
}

func TestStrength(t *testing.T) {
	const none, weak, medium, strong = flink.None, flink.Weak, flink.Medium, flink.Strong
	for line, want := range map[string]flink.Strength{
		"":                                 none,
		"app=web c:nginx image:nginx":      none,
		"type=flink-native-kubernetes":     strong,
		"type=flink-standalone-kubernetes": strong,
		"type=native":                      none,
		"c:flink-main-container":           strong,
		"c:sidecar c:flink-main-container": strong,
		"command:/docker-entrypoint.sh,bash,-c,kubernetes-jobmanager.sh+kubernetes-session": strong,
		"args:bash,-c,exec+/opt/flink/bin/kubernetes-taskmanager.sh":                        strong,
		"args:java,org.apache.flink.runtime.taskexecutor.TaskManagerRunner":                 strong,
		"args:java,org.apache.flink.kubernetes.operator.FlinkOperator":                      none,
		"args:java,org.apache.flink.runtime.webmonitor.history.HistoryServer":               none,
		"system=ververica-platform app=flink-job":                                           strong,
		"system=ververica-platform app=flink-session-cluster":                               strong,
		"system=ververica-platform app=vvp-platform":                                        none,
		"app=flink-job": none,
		"owned:flink.apache.org/v1beta1:FlinkDeployment:a":    strong,
		"owner:flinkoperator.k8s.io/v1beta1:FlinkCluster:a":   strong,
		"owner:flink.k8s.io/v1beta1:FlinkApplication:a":       strong,
		"owner:example.com/v1:FlinkDeployment:a":              none,
		"owner:flink.apache.org/v1beta1:FlinkStateSnapshot:a": none,

		"component=jobmanager":                                                  weak,
		"component=jobmanager c:jobmanager":                                     medium,
		"component=taskmanager args:taskmanager":                                medium,
		"component=taskmanager image:flink:2.2":                                 medium,
		"component=taskmanager image:example.com/my/flink@sha256:00":            medium,
		"component=taskmanager image:example.com/flink-jobs/a":                  weak,
		"component=taskmanager image:flink:5000/other":                          weak,
		"component=web image:flink":                                             weak,
		"app.kubernetes.io/name=flink app.kubernetes.io/component=jobmanager":   medium,
		"app.kubernetes.io/name=flink app.kubernetes.io/component=history":      weak,
		"app.kubernetes.io/component=jobmanager":                                weak,
		"c:taskmanager":                                                         weak,
		"c:taskmanager env:FLINK_PROPERTIES":                                    medium,
		"component=task-manager c:task-manager":                                 weak,
		"component=task-manager c:main args:task-manager":                       weak,
		"component=task-manager command:docker-entrypoint.sh args:task-manager": weak,
		"component=task-manager c:task-manager env:FLINK_PROPERTIES":            medium,
		"component=task-manager c:task-manager image:flink":                     medium,
		"component=task-manager c:taskmanager":                                  medium,
		"component=taskmanager c:task-manager":                                  medium,
		"component=task-manager args:standalone-job":                            medium,
		"args:task-manager image:my-flink":                                      medium,
		"c:taskmanager env:JOB_MANAGER_RPC_ADDRESS":                             medium,
		"c:main env:JOB_MANAGER_RPC_ADDRESS image:flink":                        weak,
		"c:taskmanager volume:flink-config-volume":                              medium,
		"c:main env:FLINK_PROPERTIES volume:flink-config-volume image:flink":    weak,
		"image:bitnami/flink mode:taskmanager":                                  medium,
		"image:example.com/base mode:taskmanager":                               weak,
		"image:bitnami/flink mode:history-server":                               weak,
		"image:bitnami/flink mode:taskmanager args:flink,run":                   weak,
		"args:standalone-job image:flink":                                       medium,
		"args:standalone-job":                                                   weak,
		"args:standalone-job,--job-classname,a.B":                               medium,
		"args:standalone-job,--job-classname=a.B":                               medium,
		"args:taskmanager,-Djobmanager.rpc.address=a":                           medium,
		"args:taskmanager,-D,jobmanager.rpc.address=a":                          medium,
		"args:taskmanager,-Dspring.profiles.active=a":                           weak,
		"args:web,--job-classname,a.B":                                          none,
		"command:/run,taskmanager args:-Djobmanager.rpc.address=a":              none,
		"command:docker-entrypoint.sh,jobmanager":                               medium,
		"command:/docker-entrypoint.sh args:taskmanager":                        medium,
		"command:/docker-entrypoint.sh args:standalone-job":                     medium,
		"command:bash,-c,/docker-entrypoint.sh+jobmanager+&+sleep+9":            medium,
		"args:/docker-entrypoint.sh,taskmanager":                                medium,
		"command:/docker-entrypoint.sh args:task-manager":                       weak,
		"command:/my-entrypoint.sh args:taskmanager":                            weak,
		"command:/my-entrypoint.sh args:taskmanager image:example.com/flink-a":  medium,
		"command:/wait-for.sh args:taskmanager image:example.com/flink-a":       weak,
		"command:/docker-entrypoint.sh args:job-cluster":                        weak,
		"command:/docker-entrypoint.sh args:web":                                none,
		"command:/wait.sh,/docker-entrypoint.sh args:taskmanager":               weak,
		"command:/wait.sh,--,/docker-entrypoint.sh args:taskmanager":            medium,
		"command:kubectl,exec,a,--,/docker-entrypoint.sh,taskmanager":           none,
		"args:history-server image:flink env:FLINK_PROPERTIES":                  weak,
		"image:apache/flink":                                                    weak,

		"app.kubernetes.io/name=flink-kubernetes-operator image:flink component=jobmanager": none,
		"app.kubernetes.io/name=flink-kubernetes-operator c:flink-main-container":           strong,
		"app.kubernetes.io/name=flink-kubernetes-operator args:taskmanager.sh,start":        strong,
		"type=flink-native-kubernetes mirror:":                                              none,
	} {
		t.Run(line, func(t *testing.T) {
			w := flink.Recognize(build(line))
			if w.Strength != want {
				t.Errorf("strength %d by %v, want %d", w.Strength, w.Signals.Names(), want)
			}
			if w.Recognized() != (want >= medium) {
				t.Errorf("Recognized() is %t", w.Recognized())
			}
		})
	}
}

func TestModeRoleAndName(t *testing.T) {
	for line, want := range map[string]string{
		// native
		"app=a type=flink-native-kubernetes args:bash,-c,kubernetes-jobmanager.sh+kubernetes-application":                                  "native application jobmanager a",
		"app=a type=flink-native-kubernetes args:bash,-c,kubernetes-jobmanager.sh+kubernetes-session":                                      "native session jobmanager a",
		"app=a type=flink-native-kubernetes command:kubernetes-jobmanager.sh args:kubernetes-session":                                      "native session jobmanager a",
		"app=a type=flink-native-kubernetes args:bash,-c,kubernetes-taskmanager.sh":                                                        "native  taskmanager a",
		"app=a type=flink-native-kubernetes args:bash,-c,kubernetes-taskmanager.sh+-Dexecution.target=embedded":                            "native application taskmanager a",
		"app=a type=flink-native-kubernetes args:bash,-c,kubernetes-taskmanager.sh+-Dweb.tmpdir=/tmp/x":                                    "native session taskmanager a",
		"app=a type=flink-native-kubernetes args:bash,-c,kubernetes-taskmanager.sh+-Dweb.tmpdir=/tmp/x+-Dexecution.target=embedded":        "native application taskmanager a",
		"args:bash,-c,kubernetes-jobmanager.sh+kubernetes-session+-Dkubernetes.cluster-id=b":                                               "native session jobmanager b",
		"app=flink-job type=flink-native-kubernetes args:kubernetes-jobmanager.sh,kubernetes-session owner:apps/v1:ReplicaSet:flink-job-5": "native session jobmanager flink-job",
		"app=a component=taskmanager type=flink-native-kubernetes sessionClusterName=s":                                                    "native session taskmanager a",
		"app=a component=taskmanager type=flink-native-kubernetes jobId=j":                                                                 "native  taskmanager a",
		// standalone, by the operator
		"app=a component=jobmanager type=flink-standalone-kubernetes args:jobmanager":                                      "standalone session jobmanager a",
		"app=a component=jobmanager type=flink-standalone-kubernetes args:standalone-job,--x":                              "standalone application jobmanager a",
		"component=taskmanager type=flink-standalone-kubernetes args:taskmanager owner:apps/v1:ReplicaSet:a-taskmanager-5": "standalone  taskmanager a",
		// the manifests of the documentation
		"app=flink component=jobmanager c:jobmanager args:jobmanager owner:apps/v1:ReplicaSet:b-jobmanager-77 pod-template-hash=77":                   "docs session jobmanager b",
		"app=flink component=jobmanager c:jobmanager args:standalone-job owner:batch/v1:Job:b-jobmanager":                                             "docs application jobmanager b",
		"app=flink component=taskmanager c:taskmanager args:taskmanager owner:apps/v1:StatefulSet:b-taskmanager":                                      "docs  taskmanager b",
		"app=flink component=jobmanager c:jobmanager args:jobmanager":                                                                                 "docs session jobmanager ",
		"app=flink component=jobmanager c:jobmanager args:jobmanager owner:apps/v1:ReplicaSet:-jobmanager":                                            "docs session jobmanager -jobmanager",
		"system=ververica-platform app=flink-session-cluster component=jobmanager c:jobmanager args:jobmanager owner:apps/v1:Deployment:b-jobmanager": "docs session jobmanager b",
		// others
		"system=ververica-platform app=flink-job owner:batch/v1:Job:job-1":                                                                "ververica application  job-1",
		"c:flink-main-container owner:apps/v1:StatefulSet:z":                                                                              "other   z",
		"component=jobmanager c:jobmanager args:standalone-job owner:flinkoperator.k8s.io/v1beta1:FlinkCluster:wordcount":                 "docs application jobmanager wordcount",
		"component=jobmanager c:jobmanager args:jobmanager owner:apps/v1:ReplicaSet:x-1 owned:flink.apache.org/v1beta1:FlinkDeployment:y": "docs session jobmanager y",
	} {
		t.Run(line, func(t *testing.T) {
			w := flink.Recognize(build(line))
			if got := strings.Join([]string{string(w.Flavor), string(w.Mode), string(w.Role), w.Identity.Name}, " "); got != want {
				t.Errorf("got %q, want %q (by %v)", got, want, w.Signals.Names())
			}
		})
	}
}

// TestClusterNames: the name of the workload, then those of JobManagers that differ in the role
// only.
func TestClusterNames(t *testing.T) {
	const docs = "component=taskmanager c:taskmanager args:taskmanager owner:apps/v1:StatefulSet:"
	for line, want := range map[string]string{
		docs + "orders-taskmanager":                         "orders",
		docs + "taskmanager":                                "taskmanager jobmanager",
		docs + "taskmanager-orders":                         "taskmanager-orders jobmanager-orders",
		docs + "orders-taskmanager-v2":                      "orders-taskmanager-v2 orders-jobmanager-v2",
		docs + "orders-task-manager":                        "orders",
		docs + "orders-task-manager-v2":                     "orders-task-manager-v2 orders-job-manager-v2 orders-job-cluster-v2",
		docs + "orders-tm":                                  "orders-tm orders-jm",
		docs + "html-worker-1":                              "html-worker-1 html-master-1",
		docs + "orders":                                     "orders",
		docs[:len(docs)-len(" owner:apps/v1:StatefulSet:")]: "",
	} {
		t.Run(line, func(t *testing.T) {
			w := flink.Recognize(build(line))
			if got := strings.Join(w.ClusterNames(), " "); got != want || !w.IsSeparateTaskManager() {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestJobID(t *testing.T) {
	const docs = "component=jobmanager c:jobmanager "
	for line, want := range map[string]string{
		docs + "args:standalone-job,--job-id,7A0C0E1D2B3A49588776655443322110":     "7a0c0e1d-2b3a-4958-8776-655443322110",
		docs + "args:standalone-job,--job-id=7a0c0e1d2b3a49588776655443322110":     "7a0c0e1d-2b3a-4958-8776-655443322110",
		docs + "args:bash,-c,run+--job-id+7a0c0e1d2b3a49588776655443322110+--more": "7a0c0e1d-2b3a-4958-8776-655443322110",
		docs + "flinkoperator.k8s.io/job-id=7a0c0e1d2b3a49588776655443322110":      "7a0c0e1d-2b3a-4958-8776-655443322110",
		docs + "args:standalone-job,--job-id,not-hex":                              "not-hex",
		docs + "args:standalone-job,--job-id":                                      "",
		docs + "args:standalone-job,--job-idea,7a0c0e1d2b3a49588776655443322110":   "",
	} {
		t.Run(line, func(t *testing.T) {
			if got := flink.Recognize(build(line)).Identity.JobID; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// TestJobIDPrecedence: command line, then status of the custom resource, then label of another
// operator.
func TestJobIDPrecedence(t *testing.T) {
	const docs, own, label, status = "component=jobmanager c:jobmanager args:standalone-job", "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222", "33333333-3333-3333-3333-333333333333"
	raw := func(id string) string { return strings.ReplaceAll(id, "-", "") }
	for rule, c := range map[string]struct{ line, status, want string }{
		"command line":               {docs + ",--job-id," + raw(own), "", own},
		"command line before status": {docs + ",--job-id," + raw(own), raw(status), own},
		"command line before label":  {docs + ",--job-id," + raw(own) + " flinkoperator.k8s.io/job-id=" + raw(label), "", own},
		"status before label":        {docs + " flinkoperator.k8s.io/job-id=" + raw(label), raw(status), status},
		"label":                      {docs + " flinkoperator.k8s.io/job-id=" + raw(label), "", label},
		"empty option":               {docs + ",--job-id=", raw(status), status},
	} {
		t.Run(rule, func(t *testing.T) {
			cluster := flink.Owner{APIVersion: "flinkoperator.k8s.io/v1beta1", Kind: "FlinkCluster", Name: "a", UID: "u", Mode: flink.Application, JobID: c.status}
			if got := flink.Recognize(build(c.line)).WithOwners([]flink.Owner{cluster}, true).Identity.JobID; got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestRoot(t *testing.T) {
	for line, want := range map[string]flink.Root{
		"": {},
		"owner:apps/v1:ReplicaSet:my-job-6d4b9c pod-template-hash=6d4b9c":             {Kind: "Deployment", Name: "my-job"},
		"owner:apps/v1:ReplicaSet:my-job-6d4b9c":                                      {Kind: "Deployment", Name: "my-job"},
		"owner:apps/v1:ReplicaSet:single":                                             {Kind: "Deployment", Name: "single"},
		"owner:batch/v1:Job:my-job":                                                   {Kind: "Job", Name: "my-job", UID: "uid-my-job"},
		"owned:apps/v1:Deployment:not-its-controller":                                 {},
		"owner:apps/v1:Deployment:d owned:flink.apache.org/v1beta1:FlinkDeployment:f": {Kind: "FlinkDeployment", Name: "f", UID: "uid-f"},
	} {
		t.Run(line, func(t *testing.T) {
			if got := flink.Recognize(build("c:flink-main-container " + line)).Root; got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestMadeByJobManager(t *testing.T) {
	const taskManager = "app=a component=taskmanager type=flink-native-kubernetes "
	for line, want := range map[string]bool{
		taskManager + "owner:apps/v1:Deployment:a":   true,
		taskManager + "owned:apps/v1:Deployment:a":   false,
		taskManager + "owner:apps/v1:ReplicaSet:a-1": false,
		taskManager: false,
		"app=a component=jobmanager type=flink-native-kubernetes owner:apps/v1:Deployment:a":      false,
		"app=a component=taskmanager type=flink-standalone-kubernetes owner:apps/v1:Deployment:a": false,
	} {
		t.Run(line, func(t *testing.T) {
			if got := flink.Recognize(build(line)).MadeByJobManager; got != want {
				t.Errorf("got %t", got)
			}
		})
	}
	deployment := build(taskManager + "owner:apps/v1:Deployment:a")
	deployment.Kind = "Deployment"
	if flink.Recognize(deployment).MadeByJobManager {
		t.Error("a Deployment: got true")
	}
}

// TestSufficientSignals: a workload that is not recognized is recognized with each of the described
// signals, and with no other addition.
func TestSufficientSignals(t *testing.T) {
	additions := map[string]string{ // the words of build by the described signal
		"a command that starts":                 "args:jobmanager.sh",
		"jobmanager, standalone-job or task":    "args:standalone-job",
		"the label component ":                  "component=jobmanager",
		"the label app.kubernetes.io/component": "app.kubernetes.io/component=taskmanager",
		"a container named":                     "c:jobmanager",
		"an image named flink":                  "image:flink:1.20",
		"the label app.kubernetes.io/name":      "app.kubernetes.io/name=flink",
		"the variable FLINK_PROPERTIES":         "env:FLINK_PROPERTIES",
	}
	for _, line := range []string{
		"image:flink:1.20", "image:example.com/my-flink-job", "component=jobmanager", "app.kubernetes.io/component=taskmanager", "c:taskmanager", "env:FLINK_PROPERTIES",
		"app.kubernetes.io/name=flink", "volume:flink-config-volume", "component=my-jobmanager-x image:flink", "image:flink args:sql-client.sh",
	} {
		w := flink.Recognize(build(line))
		if w.Strength != flink.Weak {
			t.Errorf("%s: got %s, want weak", line, w.Strength)
		}
		described := w.Signals.Sufficient()
		for text, words := range additions {
			isDescribed := slices.ContainsFunc(described, func(d string) bool { return strings.HasPrefix(d, text) })
			if got := flink.Recognize(build(line + " " + words)).Recognized(); got != isDescribed {
				t.Errorf("%s with %s: recognized: got %t, and described: %t", line, words, got, isDescribed)
			}
		}
		if len(described) == 0 {
			t.Errorf("%s: got no signal", line)
		}
	}
	if got := flink.Recognize(build("type=flink-native-kubernetes")).Signals.Sufficient(); len(got) > 0 {
		t.Errorf("recognized: got %q, want none", got)
	}
}
