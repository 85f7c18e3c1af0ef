package flink

import "strings"

// java returns the finding of the main class in the arguments of java.
func java(args []string) finding {
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "-jar":
			return finding{}
		case javaValues[a]:
			i++
		case isExpansion(a), strings.HasPrefix(a, "-"), strings.HasPrefix(a, "@"):
		default:
			if p, ok := classes[a]; ok {
				p.args = args[i+1:]
				return finding{started, p}
			}
			if strings.HasPrefix(a, "org.apache.flink.") {
				return finding{kind: otherProgram}
			}
			return finding{}
		}
	}
	return finding{}
}

// javaValues are the options of java whose value is the next argument.
var javaValues = map[string]bool{
	"-cp": true, "-classpath": true, "--class-path": true, "-p": true, "--module-path": true, "--upgrade-module-path": true, "--add-modules": true,
	"--add-reads": true, "--add-exports": true, "--add-opens": true, "--limit-modules": true, "--patch-module": true, "--source": true,
}

var shells = map[string]bool{"sh": true, "bash": true, "dash": true, "ash": true, "ksh": true, "zsh": true, "busybox": true}

// shell returns the finding of a shell: of the script after -c, else of the file in its first
// argument.
func shell(args []string, depth int) finding {
	command := false
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "-o" || a == "+o" || a == "-O" || a == "+O" || a == "--rcfile" || a == "--init-file":
			i++
		case a == "--":
		case len(a) > 1 && (a[0] == '-' || a[0] == '+'):
			if a[0] == '+' || a[1] == '-' {
				continue
			}
			if strings.Contains(a, "n") {
				return finding{} // -n: syntax check only
			}
			command = command || strings.Contains(a, "c")
			if strings.HasSuffix(a, "o") {
				i++ // such as -euo pipefail
			}
		case command:
			return inScript(a, args[i+1:], depth)
		default:
			return follow(args[i:], depth)
		}
	}
	return finding{}
}

// switchUser returns the finding of su: of the script after -c.
func switchUser(args []string, depth int) finding {
	for i, a := range args[:max(len(args)-1, 0)] {
		if a == "-c" || a == "--command" {
			return inScript(args[i+1], nil, depth)
		}
	}
	return finding{}
}

// wrapper is a program that runs the command after its own options and operands.
type wrapper struct {
	values   string // the letters of short options with a value
	operands int    // number of operands before the command
}

var wrappers = map[string]wrapper{
	"exec": {values: "a"}, "command": {}, "builtin": {}, "nohup": {}, "time": {values: "fo"}, "setsid": {}, "catchsegv": {},
	"env": {values: "uCS"}, "nice": {values: "n"}, "ionice": {values: "cn"}, "stdbuf": {values: "ioe"}, "unshare": {},
	"timeout": {values: "ks", operands: 1}, "taskset": {operands: 1}, "numactl": {values: "NCmpl"}, "chroot": {operands: 1},
	"tini": {values: "pe"}, "tini-static": {values: "pe"}, "dumb-init": {values: "r"}, "catatonit": {}, "pid1": {},
	"gosu": {operands: 1}, "su-exec": {operands: 1}, "sudo": {values: "ugCDhpRrTtU"}, "setpriv": {}, "runuser": {values: "ugG"},
	"chpst": {values: "ueUbmdonpfcrtl0"}, "s6-setuidgid": {operands: 1}, "xvfb-run": {},
}

// rest returns the command in the arguments of a wrapper.
func (w wrapper) rest(args []string) []string {
	operands := w.operands
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "--":
			return args[min(i+1+operands, len(args)):]
		case strings.HasPrefix(a, "--"):
		case len(a) > 1 && a[0] == '-':
			if len(a) == 2 && strings.Contains(w.values, a[1:]) {
				i++
			}
		case operands > 0:
			operands--
		default:
			return args[i:]
		}
	}
	return nil
}
