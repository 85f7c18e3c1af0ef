package flink

import (
	"path"
	"slices"
	"strings"
)

// A container's command line starts one program, which may start others: a shell
// runs the commands of a script, an init the rest of its arguments. Only what is run
// counts. A script or a class that is merely an argument of another program, such
// as pgrep, grep or a linter, is no start of Flink.

// finding is what a command line starts.
type finding struct {
	kind    findingKind
	process process
}

type findingKind int

// The kinds, the surest last.
const (
	nothing      findingKind = iota // the process has the arguments of an unknown program alone
	otherProgram                    // a client of Flink's or a server beside a cluster
	mentioned                       // a script as the argument of an unknown program: shows a role, proves nothing
	wrapped                         // a start of Flink as the arguments of an unknown program
	byRole                          // a role for the entry point of the image, whichever that is
	byEntryPoint                    // docker-entrypoint.sh with a role
	started                         // a script or a class of Flink's
)

// maxDepth bounds how many programs are followed that run one another.
const maxDepth = 8

// find returns the surest thing that a command starts. Without a command, the
// arguments are those of the image's entry point, which is taken for that of Flink's
// image: it has roles, and runs other arguments as a command.
func find(command, args []string) finding {
	if len(command) > 0 {
		return follow(slices.Concat(command, args), maxDepth)
	}
	if len(args) > 0 {
		if p, ok := roles[args[0]]; ok {
			p.args = args[1:]
			return finding{byRole, p}
		}
	}
	return follow(args, maxDepth)
}

// follow looks at one command.
func follow(argv []string, depth int) finding {
	for ; depth > 0; depth-- {
		for len(argv) > 0 && isAssignment(argv[0]) {
			argv = argv[1:]
		}
		if len(argv) == 0 {
			return finding{}
		}
		name := path.Base(argv[0])
		if script, ok := scripts[name]; ok {
			if p, ok := script(argv[1:]); ok {
				return finding{started, p}
			}
			return finding{kind: otherProgram}
		}
		switch w, wraps := wrappers[name]; {
		case others[name]:
			return finding{kind: otherProgram}
		case name == entryPoint:
			if len(argv) == 1 {
				return finding{}
			}
			if p, ok := roles[argv[1]]; ok {
				p.args = argv[2:]
				return finding{byEntryPoint, p}
			}
			argv = argv[1:]
		case name == "java" || isExpansion(name):
			return java(argv[1:])
		case shells[name]:
			return shell(argv[1:], depth-1)
		case name == "su":
			return switchUser(argv[1:], depth-1)
		case name == "command" && len(argv) > 1 && (argv[1] == "-v" || argv[1] == "-V"):
			return finding{} // it looks for a program
		case name == "eval":
			return inScript(strings.Join(argv[1:], " "), nil, depth-1)
		case wraps:
			argv = w.rest(argv[1:])
		default:
			return asArguments(argv[1:], depth-1)
		}
	}
	return finding{}
}

// isAssignment reports whether a word sets a variable of the environment.
func isAssignment(word string) bool {
	name, _, ok := strings.Cut(word, "=")
	return ok && name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

func isExpansion(name string) bool { return strings.HasPrefix(name, expansion) }

// java finds the main class among the arguments of a Java virtual machine.
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

// shell looks at what a shell is to run: the script after -c, or else the file that
// is its first argument.
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
				return finding{} // it is read, and not run
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

// switchUser looks at what su is to run: the script after -c.
func switchUser(args []string, depth int) finding {
	for i, a := range args[:max(len(args)-1, 0)] {
		if a == "-c" || a == "--command" {
			return inScript(args[i+1], nil, depth)
		}
	}
	return finding{}
}

func inScript(script string, positional []string, depth int) finding {
	var best finding
	eachCommand(script, positional, func(argv []string) bool {
		for len(argv) > 0 && keywords[argv[0]] { // of a script that is read by words
			argv = argv[1:]
		}
		if f := follow(argv, depth); f.kind > best.kind || best.kind == nothing && len(best.process.args) == 0 {
			best = f
		}
		return best.kind < started
	})
	return best
}

var keywords = map[string]bool{"if": true, "then": true, "else": true, "elif": true, "while": true, "until": true, "do": true, "!": true}

// asArguments looks at the arguments of an unknown program, which may be a command
// that it runs: the script of a mesh or a vault that waits, then runs the rest.
func asArguments(args []string, depth int) finding {
	if depth > 2 {
		depth = 2 // each argument may begin a command: the work stays linear
	}
	best := finding{process: process{args: args}}
	for i := range min(len(args), maxArguments) {
		switch name := path.Base(args[i]); {
		case name == entryPoint, name == "java", shells[name]:
		case scripts[name] == nil:
			continue
		}
		f := follow(args[i:], depth)
		switch {
		case f.kind < byRole:
			continue
		case isDistinct(args[i:]):
			return finding{wrapped, f.process}
		case best.kind < mentioned:
			best = finding{mentioned, f.process}
		}
	}
	return best
}

// maxArguments bounds how many arguments of an unknown program are looked at.
const maxArguments = 16

// wrapper is a program that runs its arguments after some options and operands of
// its own.
type wrapper struct {
	values   string // the letters of its short options that take a value
	operands int    // before the command
}

var wrappers = map[string]wrapper{
	"exec": {values: "a"}, "command": {}, "builtin": {}, "nohup": {}, "time": {values: "fo"}, "setsid": {}, "catchsegv": {},
	"env": {values: "uCS"}, "nice": {values: "n"}, "ionice": {values: "cn"}, "stdbuf": {values: "ioe"}, "unshare": {},
	"timeout": {values: "ks", operands: 1}, "taskset": {operands: 1}, "numactl": {values: "NCmpl"}, "chroot": {operands: 1},
	"tini": {values: "pe"}, "tini-static": {values: "pe"}, "dumb-init": {values: "r"}, "catatonit": {}, "pid1": {},
	"gosu": {operands: 1}, "su-exec": {operands: 1}, "sudo": {values: "ugCDhpRrTtU"}, "setpriv": {}, "runuser": {values: "ugG"},
	"chpst": {values: "ueUbmdonpfcrtl0"}, "s6-setuidgid": {operands: 1}, "xvfb-run": {},
}

// rest returns the command among a wrapper's arguments.
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
