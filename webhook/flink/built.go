package flink

import (
	"path"
	"slices"
	"strings"
)

// findExec returns the finding of find: of the commands after -exec and its variants. {} is the
// name that find searches for, if it is a literal.
func findExec(args []string, s scope) finding {
	found := expansion
	for i, a := range args {
		if i+1 < len(args) && (a == "-name" || a == "-path" || a == "-wholename") && !strings.ContainsAny(args[i+1], "*?[") {
			found = args[i+1]
		}
	}
	var best finding
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "-exec", "-execdir", "-ok", "-okdir":
		default:
			continue
		}
		command := args[i+1:]
		if end := slices.IndexFunc(command, func(a string) bool { return a == ";" || a == "+" }); end >= 0 {
			command = command[:end]
		}
		i += len(command)
		if f := followReplaced(command, "{}", found, &s); f.kind > best.kind {
			best = f
		}
	}
	return best
}

// xargsOptions are the options of xargs. -e, -i and -l take a value only in the same word.
var xargsOptions = wrapper{
	values: "adEILnPs",
	long:   []string{"arg-file", "delimiter", "max-args", "max-procs", "max-chars", "process-slot-var"},
}

// xargs returns the finding of the command of xargs. The words of the standard input follow its
// arguments, or stand for the placeholder of -I, if the script shows them.
func xargs(args []string, s scope) finding {
	command := xargsOptions.rest(args)
	if len(command) == 0 {
		return finding{} // echo
	}
	stdin := s.stdin
	s.stdin = ""
	if placeholder := xargsPlaceholder(args[:len(args)-len(command)]); placeholder != "" {
		if stdin == "" {
			stdin = expansion
		}
		return followReplaced(command, placeholder, strings.TrimSpace(stdin), &s)
	}
	return follow(slices.Concat(command, strings.Fields(stdin)), s)
}

// xargsPlaceholder returns the text in the arguments that xargs replaces, empty if none.
func xargsPlaceholder(options []string) string {
	for i, o := range options {
		switch {
		case o == "-I" && i+1 < len(options):
			return options[i+1]
		case o == "-i" || o == "--replace":
			return "{}"
		}
		for _, prefix := range []string{"--replace=", "-I", "-i"} {
			if value, ok := strings.CutPrefix(o, prefix); ok && value != "" {
				return value
			}
		}
	}
	return ""
}

// followReplaced is follow with the value of a placeholder in the words of a command. What the
// values add counts as repeated text.
func followReplaced(words []string, placeholder, value string, s *scope) finding {
	if len(value) > maxValue {
		value = expansion
	}
	added := 0
	for _, w := range words {
		added += strings.Count(w, placeholder) * len(value)
	}
	if added > 0 && !s.spend(added) {
		return finding{}
	}
	replaced := make([]string, len(words))
	for i, w := range words {
		replaced[i] = strings.ReplaceAll(w, placeholder, value)
	}
	return follow(replaced, *s)
}

// builds returns the finding of a program that builds the command that it runs. ok is false for
// other programs.
func builds(argv []string, s scope) (f finding, ok bool) {
	switch path.Base(argv[0]) {
	case "find":
		return findExec(argv[1:], s), true
	case "xargs":
		return xargs(argv[1:], s), true
	case "script", "flock", "sg":
		f = afterCommand(argv[1:], s)
		return f, f.kind != nothing
	case "env":
		text, rest, ok := splitString(argv[1:])
		if !ok {
			return finding{}, false
		}
		return inScript("env "+text+` "$@"`, append([]string{"env"}, rest...), s), true
	}
	option, ok := commandOptions[path.Base(argv[0])]
	if !ok {
		return finding{}, false
	}
	command, ok := longOption(argv[1:], option)
	return inScript(command, nil, s), ok
}

// commandOptions are the options of programs that hold the command which they run.
var commandOptions = map[string]string{"consul-template": "exec", "doppler": "command", "go-init": "main", "infisical": "command"}

// longOption returns the value of an option with one hyphen or two.
func longOption(args []string, option string) (value string, ok bool) {
	for i, a := range args {
		name, value, hasValue := strings.Cut(strings.TrimLeft(a, "-"), "=")
		switch {
		case name != option || a[0] != '-':
		case hasValue:
			return value, true
		case i+1 < len(args):
			return args[i+1], true
		}
	}
	return "", false
}

// splitString returns the text that env splits into its arguments, the value of -S, and the
// arguments that follow it.
func splitString(args []string) (text string, rest []string, ok bool) {
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch value, hasValue := strings.CutPrefix(a, "--split-string="); {
		case hasValue:
			return value, args[i+1:], true
		case isAssignment(a), a == "-":
			continue
		case a == "--split-string" && i+1 < len(args):
			return args[i+1], args[i+2:], true
		case a == "--unset", a == "--chdir":
			i++
			continue
		case !strings.HasPrefix(a, "-") || a == "--":
			return "", nil, false
		case strings.HasPrefix(a, "--"):
			continue
		}
		option := strings.IndexAny(a, "uCS") // the first letter with a value: the rest of the word, or the next one
		switch {
		case option < 0:
		case a[option] != 'S' && option+1 == len(a):
			i++
		case a[option] != 'S':
		case option+1 < len(a):
			return a[option+1:], args[i+1:], true
		case i+1 < len(args):
			return args[i+1], args[i+2:], true
		}
	}
	return "", nil, false
}
