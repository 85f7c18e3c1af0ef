package flink

import (
	"path"
	"slices"
	"strings"
)

// A container's command line starts one program, which may start others: a shell runs the
// commands of a script, an init program runs its arguments. Only programs that are started
// count: a script or a class in the arguments of another program, such as pgrep, grep or a
// linter, does not start Flink.

// finding is the Flink process that a command line starts, and how sure that is.
type finding struct {
	kind    findingKind
	process process

	// other is a process of another role that a script starts, as in another branch of it.
	other process
}

// of returns the process of a role, the first one if none has it.
func (f finding) of(role Role) process {
	if role != UnknownRole && f.other.role == role {
		return f.other
	}
	return f.process
}

type findingKind int

// The kinds, in order of confidence.
const (
	nothing      findingKind = iota // process has only the arguments of an unknown program
	otherProgram                    // a Flink client, or a server outside a cluster
	mentioned                       // a script in the arguments of an unknown program: a hint at the role only
	wrapped                         // a start of Flink in the arguments of an unknown program
	byRole                          // a role, in the arguments of the image's unknown entry point, or of one that is not Flink's
	byEntryPoint                    // docker-entrypoint.sh with a role
	started                         // a script or a class of Flink
)

// maxDepth bounds the chain of programs that start one another.
const maxDepth = 8

// scope is what a command of a script may refer to.
type scope struct {
	depth int    // of programs that may still be followed
	stdin string // the text on the standard input of the command

	env, vars map[string]string // values of environment variables, and of those that the script sets
	files     map[string]string // texts of the files that here-documents write, by path

	repeated *int // bytes of texts that have been read, of maxRepeated
}

// spend counts the bytes of a text that a script may use again. It reports whether the text may
// be read.
func (s *scope) spend(bytes int) bool {
	if s.repeated == nil {
		s.repeated = new(int)
	}
	*s.repeated += max(bytes, minRepeated)
	return *s.repeated <= maxRepeated
}

func (s scope) deeper() scope {
	s.depth--
	return s
}

// find returns the most certain finding of a command line. Without a command, the entry point
// of the image is assumed to be that of Flink's: it starts roles, and runs other arguments as a
// command.
func find(command, args []string) finding { return findWith(command, args, nil) }

// findIn returns the most certain finding of the command line of a container. The values of
// environment variables count only if the name or the image is a sign of Flink: they are not
// evidence enough by themselves, and are not searched before a pod is sent for admission.
func findIn(c *Container) finding {
	f := find(c.Command, c.Args)
	if len(c.Starts) == 0 || !strings.Contains(c.Image, NameFlink) && !nameRoleOf(c.Name).suffix {
		return f
	}
	command, args := expandAll(c.Command, c.Starts), expandAll(c.Args, c.Starts)
	if g := findWith(command, args, c.Starts); g.kind >= f.kind {
		g.kind = max(f.kind, min(g.kind, byEntryPoint))
		return g
	}
	return f
}

// expandAll expands references such as $(VAR) in words, as the kubelet does. $$ is a dollar.
func expandAll(words []string, values map[string]string) []string {
	expanded := slices.Clone(words)
	for i, w := range expanded {
		if !strings.Contains(w, "$(") {
			continue
		}
		var b strings.Builder
		for rest := w; rest != ""; {
			before, after, found := strings.Cut(rest, "$")
			b.WriteString(before)
			name, end, closed := strings.Cut(after, ")")
			value, known := values[strings.TrimPrefix(name, "(")]
			switch {
			case !found:
				rest = ""
			case strings.HasPrefix(after, "$"):
				b.WriteByte('$')
				rest = after[1:]
			case closed && known && strings.HasPrefix(name, "("):
				b.WriteString(value)
				rest = end
			default:
				b.WriteByte('$')
				rest = after
			}
		}
		expanded[i] = b.String()
	}
	return expanded
}

// findWith is find with the values of environment variables.
func findWith(command, args []string, env map[string]string) finding {
	s := scope{depth: maxDepth, env: env}
	if len(command) > 0 {
		return follow(slices.Concat(command, args), s)
	}
	if len(args) > 0 {
		if p, ok := roles[args[0]]; ok {
			p.args = args[1:]
			return finding{kind: byRole, process: p}
		}
	}
	return follow(args, s)
}

// follow returns the finding of one command, through the programs that it starts.
func follow(argv []string, s scope) finding {
	for ; s.depth > 0; s.depth-- {
		for len(argv) > 0 && isAssignment(argv[0]) {
			argv = argv[1:]
		}
		if len(argv) == 0 {
			return finding{}
		}
		if f, ok := startOf(argv); ok {
			return f
		}
		if f, ok := builds(argv, s.deeper()); ok {
			return f
		}
		name := path.Base(argv[0])
		switch w, wraps := wrappers[name]; {
		case name == entryPoint:
			argv = argv[1:]
		case shells[name]:
			return shell(argv[1:], s.deeper())
		case name == "su", name == "runuser" && !runsCommand(argv[1:]):
			return afterCommand(argv[1:], s.deeper())
		case name == "command" && len(argv) > 1 && (argv[1] == "-v" || argv[1] == "-V"):
			return finding{} // prints the path of a program
		case name == "eval":
			return inScript(strings.Join(argv[1:], " "), nil, s.deeper())
		case wraps:
			argv = w.rest(argv[1:])
		case s.files[argv[0]] != "":
			return repeatedScript(s.files[argv[0]], argv, s.deeper())
		default:
			f := asArguments(argv[1:], s.deeper())
			switch {
			case f.kind >= wrapped && passive[name]:
				f.kind = mentioned
			case f.kind > wrapped && isExpansion(name): // it may be passive
				f.kind = wrapped
			}
			return f
		}
	}
	return finding{}
}

// startOf returns the finding of a program of Flink's image or of java. ok is false for other
// programs, and for the image's entry point with a command.
func startOf(argv []string) (f finding, ok bool) {
	name := path.Base(argv[0])
	if script, ok := scripts[name]; ok {
		if p, ok := script(argv[1:]); ok {
			return finding{kind: started, process: p}, true
		}
		return finding{kind: otherProgram}, true
	}
	switch {
	case otherPrograms[name]:
		return finding{kind: otherProgram}, true
	case name == entryPoint && len(argv) == 1:
		return finding{}, true
	case name == entryPoint:
		p, ok := roles[argv[1]]
		p.args = argv[2:]
		return finding{kind: byEntryPoint, process: p}, ok
	case strings.Contains(name, "entrypoint") && len(argv) > 1:
		p, ok := roles[argv[1]]
		p.args = argv[2:]
		return finding{kind: byRole, process: p}, ok
	case name == "java":
		return java(argv[1:]), true
	case isExpansion(name):
		if f := java(argv[1:]); f.kind != nothing {
			return f, true
		}
		if prefixesStart(argv[1:]) {
			return startOf(argv[1:])
		}
	}
	return finding{}, false
}

// prefixesStart reports whether the words after an expansion are surely a start of Flink: the
// expansion is a wrapper, such as the empty one or gosu of Flink's own entry point.
func prefixesStart(argv []string) bool {
	return len(argv) > 0 && !isExpansion(path.Base(argv[0])) && isUnambiguous(argv)
}

// passive are programs that run none of their arguments, or run them in another container or on
// another machine.
var passive = map[string]bool{
	"echo": true, "printf": true, "cat": true, "tee": true, "ls": true, "cp": true, "mv": true, "ln": true, "rm": true, "chmod": true, "chown": true,
	"install": true, "touch": true, "test": true, "[": true, ":": true, "true": true, "grep": true, "egrep": true, "fgrep": true, "pgrep": true,
	"pkill": true, "sed": true, "awk": true, "head": true, "tail": true, "which": true, "type": true, "sha256sum": true, "shellcheck": true,
	"diff": true, "stat": true, "tar": true, "git": true, "set": true,
	"kubectl": true, "oc": true, "k3s": true, "k0s": true, "microk8s": true, "minikube": true, "helm": true,
	"docker": true, "docker-compose": true, "podman": true, "buildah": true, "nerdctl": true, "crictl": true, "ctr": true, "lxc": true, "machinectl": true,
	"ssh": true, "scp": true, "rsync": true, "tsh": true, "pdsh": true, "clush": true, "ansible": true, "salt": true, "vagrant": true,
	"gcloud": true, "aws": true, "az": true, "nomad": true, "fly": true, "flyctl": true, "heroku": true, "cf": true,
}

// isAssignment reports whether a word is an assignment to an environment variable.
func isAssignment(word string) bool {
	name, _, ok := strings.Cut(word, "=")
	return ok && name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

func isExpansion(name string) bool { return strings.HasPrefix(name, expansion) }

// inScript returns the most certain finding among the commands of a script.
func inScript(script string, positional []string, s scope) finding {
	var best finding
	eachCommand(script, positional, s, func(argv []string, s scope) bool {
		for len(argv) > 0 && keywords[argv[0]] { // of a script that is not parsed
			argv = argv[1:]
		}
		f := follow(argv, s)
		switch {
		case f.kind > best.kind || best.kind == nothing && len(best.process.args) == 0:
			best = f
		case f.kind == best.kind && f.kind >= wrapped && f.process.role != best.process.role && best.other.role == UnknownRole:
			best.other = f.process
		}
		return best.kind < started || best.other.role == UnknownRole
	})
	return best
}

// repeatedScript is inScript for a text that other commands may run too.
func repeatedScript(script string, positional []string, s scope) finding {
	if script == "" || !s.spend(len(script)) {
		return finding{}
	}
	return inScript(script, positional, s)
}

var keywords = map[string]bool{"if": true, "then": true, "else": true, "elif": true, "while": true, "until": true, "do": true, "!": true}

// asArguments returns the finding in the arguments of an unknown program, which may run them as
// a command, such as a wrapper that waits for a service mesh or fetches secrets. By convention,
// the words after -- are a command.
func asArguments(args []string, s scope) finding {
	s.depth = min(s.depth, 2) // every argument may begin a command: keeps the cost linear
	best := finding{process: process{args: args}}
	for i := range min(len(args), maxArguments) {
		switch name := path.Base(args[i]); {
		case name == entryPoint, name == "java", shells[name]:
		case scripts[name] == nil:
			continue
		}
		f := follow(args[i:], s)
		switch {
		case f.kind < byRole:
			continue
		case isUnambiguous(args[i:]) && i > 0 && args[i-1] == "--":
			return f
		case isUnambiguous(args[i:]):
			return finding{kind: wrapped, process: f.process}
		case best.kind < mentioned:
			best = finding{kind: mentioned, process: f.process}
		}
	}
	return best
}

// maxArguments bounds the arguments of an unknown program at which a command may begin.
const maxArguments = 16
