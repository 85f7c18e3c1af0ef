package flink

import (
	"slices"
	"strings"
)

// readArguments reads the options on the command line of a process.
func (e *evidence) readArguments(args []string) {
	for i, a := range args {
		key, value, hasValue := strings.Cut(a, "=")
		switch key {
		case "--job-id", "-jid":
			if !hasValue && i+1 < len(args) {
				value = args[i+1]
			}
			if e.jobID == "" {
				e.jobID = value
			}
		case "-Dexecution.target":
			e.embeddedTarget = e.embeddedTarget || value == "embedded"
		case "-Dweb.tmpdir":
			e.webTmpdir = true
		case "-Dkubernetes.cluster-id":
			e.clusterID = value
		default:
			if i > 0 && args[i-1] == "-D" && !strings.HasPrefix(a, "-") {
				e.readArguments([]string{"-D" + a})
			}
		}
	}
}

// ProcessOptions begin options that only a JobManager or a TaskManager reads. -D may be a word of its
// own.
var ProcessOptions = []string{"--job-classname", "-Djobmanager.", "-Dtaskmanager."}

// hasFlinkOption reports whether arguments have one of [ProcessOptions].
func hasFlinkOption(args []string) bool {
	for i, a := range args {
		if i > 0 && args[i-1] == "-D" {
			a = "-D" + a
		}
		if slices.ContainsFunc(ProcessOptions, func(o string) bool { return strings.HasPrefix(a, o) }) {
			return true
		}
	}
	return false
}
