package flink

import (
	"maps"
	"path"
	"slices"
	"strings"
)

// process is a JobManager or a TaskManager that a command line starts.
type process struct {
	role   Role
	mode   Mode
	native bool     // of the native Kubernetes mode
	flinks bool     // of a role that is a word of Flink's only
	args   []string // the arguments after the script, the class or the role
}

// scripts are the programs of Flink's bin directory that start a process. ok is false if the
// arguments start none.
var scripts = map[string]func(args []string) (p process, ok bool){
	"kubernetes-jobmanager.sh":  nativeJobManager,
	"kubernetes-taskmanager.sh": always(process{role: TaskManager, native: true}),
	"jobmanager.sh":             unlessStop(process{role: JobManager, mode: Session}),
	"standalone-job.sh":         unlessStop(process{role: JobManager, mode: Application}),
	"taskmanager.sh":            unlessStop(process{role: TaskManager}),
	"start-cluster.sh":          always(process{role: JobManager, mode: Session}),
	"flink-console.sh":          service,
	"flink-daemon.sh":           daemon,
}

// services are the first arguments of flink-console.sh and flink-daemon.sh that
// start a JobManager or a TaskManager.
var services = map[string]process{
	"standalonesession":      {role: JobManager, mode: Session},
	"standalonejob":          {role: JobManager, mode: Application},
	"taskexecutor":           {role: TaskManager},
	"kubernetes-session":     {role: JobManager, mode: Session, native: true},
	"kubernetes-application": {role: JobManager, mode: Application, native: true},
	"kubernetes-taskmanager": {role: TaskManager, native: true},
}

// classes are the main classes of JobManagers and TaskManagers, including those of Stateful
// Functions and of earlier versions.
var classes = map[string]process{
	"org.apache.flink.kubernetes.entrypoint.KubernetesApplicationClusterEntrypoint": {role: JobManager, mode: Application, native: true},
	"org.apache.flink.kubernetes.entrypoint.KubernetesSessionClusterEntrypoint":     {role: JobManager, mode: Session, native: true},
	"org.apache.flink.kubernetes.taskmanager.KubernetesTaskExecutorRunner":          {role: TaskManager, native: true},
	"org.apache.flink.container.entrypoint.StandaloneApplicationClusterEntryPoint":  {role: JobManager, mode: Application},
	"org.apache.flink.container.entrypoint.StandaloneJobClusterEntryPoint":          {role: JobManager, mode: Application},
	"org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint":        {role: JobManager, mode: Session},
	"org.apache.flink.runtime.taskexecutor.TaskManagerRunner":                       {role: TaskManager},
	"org.apache.flink.runtime.jobmanager.JobManager":                                {role: JobManager, mode: Session}, // before Flink 1.9
	"org.apache.flink.runtime.taskmanager.TaskManager":                              {role: TaskManager},
	"org.apache.flink.statefun.flink.launcher.StatefulFunctionsClusterEntryPoint":   {role: JobManager, mode: Application},
}

// Classes returns the main classes of JobManagers and TaskManagers, sorted.
func Classes() []string { return slices.Sorted(maps.Keys(classes)) }

// Scripts returns the names of the programs that start a JobManager or a TaskManager, sorted.
func Scripts() []string { return slices.Sorted(maps.Keys(scripts)) }

// roles are the first arguments of the entry point of Flink's image
// (docker-entrypoint.sh) that start a JobManager or a TaskManager. The last two are
// those of Flink before 1.11.
var roles = map[string]process{
	"jobmanager":     {role: JobManager, mode: Session, flinks: true},
	"standalone-job": {role: JobManager, mode: Application, flinks: true},
	"taskmanager":    {role: TaskManager, flinks: true},
	"job-cluster":    {role: JobManager, mode: Application},
	"task-manager":   {role: TaskManager},
}

// Roles returns the arguments with which the entry point of Flink's image starts a JobManager
// or a TaskManager, sorted.
func Roles() []string { return slices.Sorted(maps.Keys(roles)) }

// entryPoint is the entry point of Flink's image. It runs its arguments as a command unless the
// first is a role.
const entryPoint = "docker-entrypoint.sh"

// otherPrograms are the programs and roles of Flink's image that start neither a JobManager
// nor a TaskManager: clients, and servers outside a cluster.
var otherPrograms = map[string]bool{
	"flink": true, "flink.sh": true, "pyflink-shell.sh": true, "sql-client.sh": true, "sql-gateway.sh": true, "historyserver.sh": true,
	"kubernetes-session.sh": true, "yarn-session.sh": true, "history-server": true, "help": true,
}

// always returns a script that starts a process with any arguments.
func always(p process) func([]string) (process, bool) {
	return func(args []string) (process, bool) {
		p := p
		p.args = args
		return p, true
	}
}

// unlessStop returns a script that starts a process unless its first argument is stop or
// stop-all.
func unlessStop(p process) func([]string) (process, bool) {
	return func(args []string) (process, bool) {
		if len(args) > 0 && strings.HasPrefix(args[0], "stop") {
			return process{}, false
		}
		return always(p)(args)
	}
}

func nativeJobManager(args []string) (process, bool) {
	p := process{role: JobManager, native: true, args: args}
	if len(args) > 0 {
		switch args[0] {
		case "kubernetes-application":
			p.mode = Application
		case "kubernetes-session":
			p.mode = Session
		}
	}
	return p, true
}

func service(args []string) (process, bool) {
	if len(args) == 0 {
		return process{}, false
	}
	p, ok := services[args[0]]
	p.args = args[1:]
	return p, ok
}

func daemon(args []string) (process, bool) {
	if len(args) == 0 || args[0] != "start" {
		return process{}, false
	}
	return service(args[1:])
}

// isUnambiguous reports whether a command is surely a start of Flink: the name of a script
// alone may also be the argument of a linter or a search.
func isUnambiguous(argv []string) bool {
	var first string
	if len(argv) > 1 {
		first = argv[1]
	}
	switch path.Base(argv[0]) {
	case "jobmanager.sh", "taskmanager.sh", "standalone-job.sh":
		return strings.HasPrefix(first, "start")
	case "kubernetes-jobmanager.sh":
		return strings.HasPrefix(first, "kubernetes-")
	case "kubernetes-taskmanager.sh":
		return strings.HasPrefix(first, "-D")
	case "start-cluster.sh":
		return false // it has no argument that tells it from a file
	}
	return true
}
