package flink

import (
	"slices"
	"strings"
)

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
				return finding{kind: started, process: p}
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
// argument, else of the script on its standard input.
func shell(args []string, s scope) finding {
	command, stdin := false, s.stdin
	s.stdin = ""
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "-o" || a == "+o" || a == "-O" || a == "+O" || a == "--rcfile" || a == "--init-file":
			i++
		case a == "--" || a == "-":
		case len(a) > 1 && (a[0] == '-' || a[0] == '+'):
			if a[0] == '+' || a[1] == '-' {
				continue
			}
			if strings.Contains(a, "n") {
				return finding{} // -n: syntax check only
			}
			if strings.Contains(a, "s") {
				return repeatedScript(stdin, args[i:], s)
			}
			command = command || strings.Contains(a, "c")
			if strings.HasSuffix(a, "o") {
				i++ // such as -euo pipefail
			}
		case command:
			return inScript(a, args[i+1:], s)
		default:
			return follow(args[i:], s)
		}
	}
	return repeatedScript(stdin, nil, s)
}

// afterCommand returns the finding of su, runuser or script: of the shell script after -c.
func afterCommand(args []string, s scope) finding {
	for i, a := range args {
		if script, ok := strings.CutPrefix(a, "--command="); ok {
			return inScript(script, nil, s)
		}
		if i+1 < len(args) && (a == "--command" || isShortOption(a) && strings.HasSuffix(a, "c")) {
			return inScript(args[i+1], nil, s)
		}
	}
	return finding{}
}

// runsCommand reports whether runuser runs a command of its own arguments as the user of an
// option. Without the option, its first operand is the user.
func runsCommand(args []string) bool {
	return slices.ContainsFunc(args, func(a string) bool {
		return isShortOption(a) && a[1] == 'u' || a == "--user" || strings.HasPrefix(a, "--user=")
	})
}

func isShortOption(a string) bool { return len(a) > 1 && a[0] == '-' && a[1] != '-' }

// wrapper is a program that runs the command after its own options and operands.
type wrapper struct {
	values   string   // the letters of short options with a value
	long     []string // the names of long options with a value, which may be the next argument; with one hyphen or two
	operands int      // number of operands before the command
}

var wrappers = map[string]wrapper{
	".":             {},
	"builtin":       {},
	"catatonit":     {},
	"catchsegv":     {},
	"cgexec":        {values: "g"},
	"chpst":         {values: "ueUbmdonpfcrtl0"},
	"chrt":          {values: "TPD", operands: 1},
	"chroot":        {long: []string{"userspec", "groups"}, operands: 1},
	"command":       {},
	"doas":          {values: "Cu"},
	"docker-init":   {values: "pe"},
	"dockerize":     {long: []string{"wait", "timeout", "wait-retry-interval", "wait-http-header", "template", "delims", "stdout", "stderr"}},
	"dumb-init":     {values: "r", long: []string{"rewrite"}},
	"env":           {values: "uC", long: []string{"unset", "chdir"}},
	"envdir":        {operands: 1},
	"exec":          {values: "a"},
	"fakeroot":      {},
	"flock":         {values: "wE", long: []string{"wait", "timeout", "conflict-exit-code"}, operands: 1},
	"gosu":          {operands: 1},
	"init":          {}, // of s6-overlay
	"ionice":        {values: "cn", long: []string{"class", "classdata"}},
	"linkerd-await": {values: "pbt", long: []string{"port", "backoff", "timeout"}},
	"ltrace":        {values: "aADeFlnopsSuwx"},
	"my_init":       {},
	"nice":          {values: "n", long: []string{"adjustment"}},
	"nohup":         {},
	"numactl":       {values: "NCmpil", long: []string{"interleave", "membind", "cpunodebind", "physcpubind", "preferred"}},
	"pid1":          {},
	"prlimit":       {},
	"runuser":       {values: "ugG", long: []string{"user", "group", "supp-group"}},
	"s6-envdir":     {operands: 1},
	"s6-setuidgid":  {operands: 1},
	"scuttle":       {},
	"setpriv":       {long: []string{"reuid", "regid", "groups", "inh-caps", "ambient-caps", "bounding-set", "securebits", "pdeathsig", "selinux-label", "apparmor-profile"}},
	"setsid":        {},
	"source":        {},
	"ssh-agent":     {values: "aEOPt"},
	"sshpass":       {values: "fdpP"},
	"stdbuf":        {values: "ioe", long: []string{"input", "output", "error"}},
	"strace":        {values: "abeEIoOpPsSuUX"},
	"su-exec":       {operands: 1},
	"sudo":          {values: "ugCDhpRrTtU", long: []string{"user", "group", "close-from", "chdir", "host", "prompt", "chroot", "role", "command-timeout", "type", "other-user"}},
	"taskset":       {operands: 1},
	"time":          {values: "fo", long: []string{"format", "output"}},
	"timeout":       {values: "ks", long: []string{"kill-after", "signal"}, operands: 1},
	"tini":          {values: "pe"},
	"tini-static":   {values: "pe"},
	"unbuffer":      {},
	"unshare":       {},
	"vault-env":     {},
	"with-contenv":  {},
	"xvfb-run":      {values: "efnpsw", long: []string{"error-file", "auth-file", "server-num", "xauth-protocol", "server-args", "wait"}},
}

// rest returns the command in the arguments of a wrapper.
func (w wrapper) rest(args []string) []string {
	operands := w.operands
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "--":
			return args[min(i+1+operands, len(args)):]
		case len(a) > 1 && a[0] == '-' && slices.Contains(w.long, strings.TrimLeft(a, "-")):
			i++
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
