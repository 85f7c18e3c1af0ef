package flink

import "strings"

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
