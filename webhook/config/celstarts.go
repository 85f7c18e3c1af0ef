package config

import (
	"strings"

	"drey.dev/drey/webhook/flink"
)

// The conditions on the command line of a container c that surely starts Flink, for the policy:
// they read the first words, and scripts by regular expressions. n is the length of the searched
// texts.

const (
	// The image's entry point precedes args unless command replaces it.
	celArgv = `(c.?command.orValue([]).size() == 0 ? ["docker-entrypoint.sh"] : c.command) + c.?args.orValue([])`

	celCommand = `(?:^\s*|[;&|({\n]\s*|\b(?:exec|then|do|else)\s+)(?:[^\s;&|"'()#]*/)?`                                   // where a shell expects a command
	celAlone   = `^(?:[^'"<#\x60\\]*[;&|\n])?\s*(?:exec\s+)?(?:[^\s;&|"'()#]*/)?`                                         // the same, without quotes and here-documents before it
	celRoleOf  = `docker-entrypoint[.]sh\s+(?:jobmanager|taskmanager|standalone-job`                                      // of Flink's spelling
	celByHand  = `(^|/)(jobmanager|taskmanager|standalone-job)[.]sh$`                                                     // needs start
	celNative  = `(^|/)kubernetes-(job|task)manager[.]sh$`                                                                // with any arguments
	celStart   = `(?:kubernetes-(?:job|task)manager[.]sh(?:\s|$)|(?:jobmanager|taskmanager|standalone-job)[.]sh\s+start)` // of a script
	celIsEntry = `a[?0].orValue("").size() <= ` + celMaxProgram + ` && a[?0].orValue("").matches("(^|/)docker-entrypoint[.]sh$")`
	celEntered = celText + `.contains("docker-entrypoint.sh")`
)

// celByRole holds for a role that the image's entry point may start, which may be of another
// product.
var celByRole = allOf(anyOf(celRoleArgs, celEntered), `[`+celArgv+`].exists(a, `+
	anyOf(celIsEntry+` && a[?1].orValue("") in `+celEntryPointRoles, celScript("0", celCommand+celRoleOf+`|job-cluster|task-manager)(?:\s|$)`))+`)`)

// celRoleScript holds for docker-entrypoint.sh with a role in Flink's spelling.
var celRoleScript = allOf(`c.?command.orValue([]).size() > 0`, celEntered, `[`+celWords+`].exists(a, `+
	anyOf(celIsEntry+` && a[?1].orValue("") in ["jobmanager", "standalone-job", "taskmanager"]`, celScript("0", celAlone+celRoleOf+`)(?:\s|$)`))+`)`)

// celRoleOptions holds for a role with options of Flink.
var celRoleOptions = allOf(`c.?command.orValue([]).size() == 0`, `c.?args[?0].orValue("") in `+celEntryPointRoles, celFlinkOptions(`\n`))

// celStarts holds for a script or a class of Flink.
var celStarts = celMentions + ` && [` + celArgv + `].exists(a, [0, 1].exists(i, (i == 0 || ` + celIsEntry + `) && ` + anyOf(
	celProgram("i", celNative),
	celProgram("i", celByHand)+` && a[?i+1].orValue("").startsWith("start")`,
	celProgram("i", "(^|/)java$")+` && [1, 2, 3, 4].exists(k, [1, 2, 3].all(j, j >= k || a[?i+j].orValue("").startsWith("-")) && `+
		`a[?i+k].orValue("") in ["-cp", "-classpath"] && a[?i+k+2].orValue("") in `+celList(flink.Classes())+`)`,
	celScript("i", celCommand+celStart+"|"+celCommand+`java\s[^;&|\n]*\s(?:`+strings.ReplaceAll(strings.Join(flink.Classes(), "|"), ".", "[.]")+`)(?:\s|$)`),
) + `))`

// celOther holds for a command line with more of Flink than a role, which may be a client's: drey
// decides.
var celOther = `!(` + celByRole + `) && ["\n" + ` + celText + ` + "\n"].exists(w, w.contains("flink") || w.replace("docker-entrypoint.sh\n", "").contains(".sh") || ` +
	`w.contains("\nhistory-server\n") || w.contains("\nhelp\n"))`

// celFlinkOptions holds for a container whose command line has text of one of Flink's options
// after a prefix.
func celFlinkOptions(prefix string) string {
	var options []string
	for _, o := range flink.ProcessOptions {
		if prefix == "" {
			o = strings.TrimPrefix(o, "-D")
		}
		options = append(options, celText+`.contains("`+prefix+o+`")`)
	}
	return anyOf(options...)
}

// celProgram holds if the word at an index of a command line is the path of a program.
func celProgram(i, path string) string {
	word := `a[?` + i + `].orValue("")`
	return allOf(word+".size() <= "+celMaxProgram, word+`.matches("`+path+`")`)
}

// celScript holds if the word at an index of a command line is a shell, and the script after
// it matches. Drey decides on longer scripts: a native TaskManager's has about 2,000 bytes.
func celScript(i, script string) string {
	return allOf("n <= "+celMaxScript, celProgram(i, "(^|/)(ba|da|a)?sh$"), celProgram(i+"+1", "^-[a-mo-rt-z]*c$"),
		`a[?`+i+`+2].orValue("").matches(r"""`+script+`""")`)
}
