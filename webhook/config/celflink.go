package config

import (
	"strconv"
	"strings"

	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/verdict"
)

// The API server evaluates these CEL expressions before it calls drey: a pod that
// has nothing of Flink's costs no call. There are two.
//
// celFlink scopes the webhooks. It holds for all that flink.Recognize recognizes,
// and for what only mentions a script or a class of Flink's: drey decides then. It
// compares and searches, and parses nothing, so that it costs no more than the size
// of the pod.
//
// celRunsFlink scopes the policy that denies while drey is down. It holds only for
// what flink.Recognize recognizes, as far as the first words of a command line show.
//
// A test holds both against the Go code.
//
// The API server limits the cost of a condition, which grows with every byte that the
// condition searches. The time of exists, all and map grows with the square of the
// iterations. So each of them runs over a bounded list, and words are joined by join,
// which takes linear time. A pod beyond a bound may be Flink to celFlink, so that drey
// decides; celRunsFlink holds for it if it names Flink.
const (
	celMaxContainers  = "32"     // in a pod
	celMaxVariables   = "1000"   // environment variables of all containers together
	celMaxVolumes     = "256"    // in a pod
	celMaxOwners      = "64"     // owner references of an object
	celMaxLine        = "131072" // bytes of all command lines, names and images together
	celMaxName        = "512"    // bytes of an image or a name: no registry and no pod has a longer one
	celMaxProgram     = "256"    // bytes of the path of a program
	celMaxScript      = "8192"   // bytes of all command lines together among which scripts are read
	celMaxPrecise     = "4096"   // likewise, of those that are searched for each script and class
	celMaxNamesSearch = "512"    // containers that are searched for the name of Flink
)

// celFlink holds when the pod, or the template, at the CEL path pod may run Flink.
func celFlink(pod string) string { return anyOf(celMayHaveFlinkOwner, celFlinkPod(pod)) }

// celFlinkPod is celFlink without the owners of the object.
func celFlinkPod(pod string) string {
	const (
		entryPoint = celText + `.contains("docker-entrypoint.sh")`
		roleArgs   = `(` + celRoleArgs + ` || ` + entryPoint + `)`
		flinkWord  = `(` + celImage + `.size() > ` + celMaxName + ` || ` + celImage + `.contains("flink"))`
		statefun   = celImage + `.contains("statefun")`
		env        = `(m > ` + celMaxVariables + ` || ` + celFlinkEnv + `)`
	)
	s := newCelSignals(pod)
	s.configVolume = anyOf(s.manyVolumes, s.configVolume)
	return anyOf(celFlinkLabels(pod), s.manyContainers, s.searched(anyOf(
		"n > "+celMaxLine,
		s.container(anyOf(`c.name == "flink-main-container"`, celMentions)),
		allOf(s.roleLabel, s.container(anyOf(celRole("c.name"), celImage+`.size() > `+celMaxName, celFlinkImage))),
		allOf(anyOf(s.roleLabel, s.container(celRole("c.name"))), anyOf(s.container(env), s.configVolume)),
		allOf(s.container(roleArgs), anyOf(s.rolePart, s.nameLabel, s.configVolume, s.container(anyOf(flinkWord, env)))),
		s.container(allOf(celRole("c.name"), entryPoint)),
		s.statefun(anyOf(flinkWord, statefun), `m > `+celMaxVariables+` || `+celStatefunRole),
	)))
}

const (
	celImage    = `c.?image.orValue("")`
	celRoleArgs = `(c.?args[?0].orValue("") in ` + celEntryPointRoles + ` || c.?command[?1].orValue("") in ` + celEntryPointRoles + `)`

	// celText is the command line of a container: a word a line.
	celText = `(c.?command.orValue([]) + c.?args.orValue([])).join("\n")`
)

// celMentions holds for a container whose command line has a script or a class of
// Flink's in it. A longer one is not searched for each of them: drey decides.
var celMentions = `[` + celText + `].exists(w, ` + anyOf(
	allOf(`w.contains(".sh")`, anyOf(celIsLong, `w.contains("manager.sh")`, `w.contains("standalone-job.sh")`, `w.contains("start-cluster.sh")`, `w.contains("flink-console.sh")`, `w.contains("flink-daemon.sh")`)),
	allOf(`w.contains("flink")`, anyOf(celIsLong, celList(flink.Classes())+`.exists(name, w.contains(name))`)),
) + `)`

const celIsLong = `n > ` + celMaxPrecise

// celRunsFlink holds when the pod at the CEL path pod surely runs Flink, and when it is
// larger than can be told and names Flink.
func celRunsFlink(pod string) string {
	s := newCelSignals(pod)
	role := anyOf(celRole("c.name"), celRoleArgs)
	names := anyOf(role, celImage+`.contains("flink")`, celImage+`.contains("statefun")`, `c.name == "flink-main-container"`, celText+`.contains("flink")`)
	return anyOf(celHasFlinkOwner, celFlinkLabels(pod),
		allOf("!"+s.manyContainers, s.searched(anyOf(
			celShowsFlink(pod),
			allOf(anyOf(s.manyVolumes, "n > "+celMaxLine, "m > "+celMaxVariables), anyOf(`t.contains("flink")`, `t.contains("statefun")`, s.roleLabel, s.container(role))),
		))),
		allOf(s.manyContainers, anyOf(s.roleLabel, s.nameLabel, allOf(s.pod+".spec.containers.size() <= "+celMaxNamesSearch, s.container(names)))),
	)
}

// celRunsFlinkPod holds when the pod at the CEL path pod surely runs Flink, whatever owns
// the object.
func celRunsFlinkPod(pod string) string {
	s := newCelSignals(pod)
	return anyOf(celFlinkLabels(pod), allOf("!"+s.manyContainers, s.searched(celShowsFlink(pod))))
}

// celShowsFlink holds when the containers of a pod within the bounds surely run Flink.
func celShowsFlink(pod string) string {
	const (
		// A word list begins with the entry point of the image, unless command replaces it.
		argv    = `(c.?command.orValue([]).size() == 0 ? ["docker-entrypoint.sh"] : c.command) + c.?args.orValue([])`
		native  = `(^|/)kubernetes-(job|task)manager[.]sh$`
		byHand  = `(^|/)(jobmanager|taskmanager|standalone-job)[.]sh$`
		command = `(?:^\s*|[;&|({\n]\s*|\b(?:exec|then|do|else)\s+)(?:[^\s;&|"'()#]*/)?` // where a shell expects a command
		role    = command + `docker-entrypoint[.]sh\s+(?:jobmanager|taskmanager|standalone-job|job-cluster|task-manager)(?:\s|$)`
		line    = command + `(?:kubernetes-(?:job|task)manager[.]sh(?:\s|$)|(?:jobmanager|taskmanager|standalone-job)[.]sh\s+start)`
		env     = `(m <= ` + celMaxVariables + ` && ` + celFlinkEnv + `)`
	)
	isEntry := celProgram("0", `(^|/)docker-entrypoint[.]sh$`)
	class := command + `java\s[^;&|\n]*\s(?:` + strings.ReplaceAll(strings.Join(flink.Classes(), "|"), ".", "[.]") + `)(?:\s|$)`
	byRole := allOf(anyOf(celRoleArgs, celText+`.contains("docker-entrypoint.sh")`),
		`[`+argv+`].exists(a, `+anyOf(isEntry+` && a[?1].orValue("") in `+celEntryPointRoles, celScript("0", role))+`)`)
	starts := celMentions + ` && [` + argv + `].exists(a, [0, 1].exists(i, (i == 0 || ` + isEntry + `) && ` + anyOf(
		celProgram("i", native),
		celProgram("i", byHand)+` && a[?i+1].orValue("").startsWith("start")`,
		celProgram("i", "(^|/)java$")+` && [1, 2, 3, 4].exists(k, [1, 2, 3].all(j, j >= k || a[?i+j].orValue("").startsWith("-")) && `+
			`a[?i+k].orValue("") in ["-cp", "-classpath"] && a[?i+k+2].orValue("") in `+celList(flink.Classes())+`)`,
		celScript("i", line+"|"+class),
	) + `))`
	s := newCelSignals(pod)
	s.configVolume = allOf("!"+s.manyVolumes, s.configVolume)
	// A command line that says more of Flink than a role may be that of a client: drey decides.
	other := `!(` + byRole + `) && ["\n" + ` + celText + ` + "\n"].exists(w, w.contains("flink") || w.replace("docker-entrypoint.sh\n", "").contains(".sh") || ` +
		`w.contains("\nhistory-server\n") || w.contains("\nhelp\n"))`
	return allOf("n <= "+celMaxLine, anyOf(
		s.container(anyOf(`c.name == "flink-main-container"`, starts)),
		allOf(anyOf(
			allOf(s.roleLabel, s.container(anyOf(celRole("c.name"), byRole, celFlinkImage))),
			allOf(anyOf(s.roleLabel, s.container(anyOf(celRole("c.name"), byRole))), anyOf(s.container(env), s.configVolume)),
			allOf(s.container(byRole), s.container(celFlinkWord)),
			s.statefun(anyOf(celFlinkWord, celStatefunWord), `m <= `+celMaxVariables+` && `+celStatefunRole),
		), "!"+s.container(other)),
	))
}

// celProgram holds for a command line whose word at an index is the path of a program.
func celProgram(i, path string) string {
	word := `a[?` + i + `].orValue("")`
	return allOf(word+".size() <= "+celMaxProgram, word+`.matches("`+path+`")`)
}

// celScript holds for a command line whose word at an index is a shell, and whose
// script matches. Where there is more to read it is left to drey: the script of a native
// TaskManager has about two thousand bytes.
func celScript(i, script string) string {
	return allOf("n <= "+celMaxScript, celProgram(i, "(^|/)(ba|da|a)?sh$"), celProgram(i+"+1", "^-[a-z]*c$"),
		`a[?`+i+`+2].orValue("").matches(r"""`+script+`""")`)
}

// celSignals are the expressions that both have in common.
type celSignals struct {
	pod                                          string
	roleLabel, rolePart, nameLabel, configVolume string
	manyContainers, manyVolumes                  string // more than are searched
}

func newCelSignals(pod string) celSignals {
	component, appComponent := celLabel(pod, "component"), celLabel(pod, "app.kubernetes.io/component")
	return celSignals{
		pod:          pod,
		roleLabel:    anyOf(celRole(component), celRole(appComponent)),
		rolePart:     anyOf(celRolePart(component), celRolePart(appComponent)),
		nameLabel:    celLabel(pod, "app.kubernetes.io/name") + ` == "flink"`,
		configVolume: "(has(" + pod + ".spec.volumes) && " + pod + `.spec.volumes.exists(v, v.name == "flink-config-volume"))`,

		manyContainers: celManyContainers(pod),
		manyVolumes:    "(has(" + pod + ".spec.volumes) && " + pod + ".spec.volumes.size() > " + celMaxVolumes + ")",
	}
}

func celManyContainers(pod string) string {
	return "(" + pod + ".spec.containers.size() > " + celMaxContainers + ")"
}

// read binds what a pod says of itself to t, a word a line: some labels, and the names,
// images and command lines of its containers.
func (s celSignals) read(holds string) string {
	labels := []string{celLabel(s.pod, "component"), celLabel(s.pod, "app.kubernetes.io/component"), celLabel(s.pod, "app"), celLabel(s.pod, "app.kubernetes.io/name")}
	containers := s.pod + ".spec.containers.map(c, ([c.name, " + celImage + `] + c.?command.orValue([]) + c.?args.orValue([])).join("\n"))`
	return "[([" + strings.Join(labels, ", ") + "] + " + containers + `).join("\n")].exists(t, ` + holds + ")"
}

// measured binds the bytes of t to n, and the number of all environment variables to m.
func (s celSignals) measured(holds string) string {
	return "[t.size()].exists(n, [" + s.pod + ".spec.containers.map(c, c.?env.orValue([]).size()).sum()].exists(m, " + holds + "))"
}

// searched is what holds of a pod that has something of Flink's, or is large.
func (s celSignals) searched(holds string) string {
	return s.read(allOf(s.hint(), s.measured(holds)))
}

func (s celSignals) container(holds string) string {
	return s.pod + ".spec.containers.exists(c, " + holds + ")"
}

// hint holds wherever one of the others does, and where a pod is large. It costs one
// pass over a pod that has nothing of Flink's.
func (s celSignals) hint() string {
	hints := []string{"t.size() > " + celMaxLine}
	for _, word := range []string{"flink", ".sh", "manager", "statefun", "job-cluster", "standalone-job"} {
		hints = append(hints, `t.contains("`+word+`")`)
	}
	return anyOf(s.manyVolumes, s.configVolume, anyOf(hints...))
}

// statefun holds for the image of Stateful Functions, and what is like it.
func (s celSignals) statefun(word, role string) string {
	return allOf(
		anyOf(s.container(word), s.configVolume, s.nameLabel, celStatefun(celLabel(s.pod, "app")), celStatefun(celLabel(s.pod, "app.kubernetes.io/name"))),
		s.container(role),
	)
}

// celStatefun holds for a name that has this word between separators.
func celStatefun(name string) string {
	return allOf(name+`.contains("statefun")`, anyOf(name+`.size() > `+celMaxName, name+`.matches("(^|[-_./])statefun([-_./]|$)")`))
}

const (
	celEntryPointRoles = `["job-cluster", "jobmanager", "standalone-job", "task-manager", "taskmanager"]`
	celPullable        = celImage + `.size() <= ` + celMaxName
	celFlinkImage      = celPullable + ` && ` + celImage + `.contains("flink") && c.image.matches("^([^@]*/)?flink(/|(:[^/@]*)?(@|$))")`                     // a segment of the repository, tag and digest apart
	celFlinkWord       = celPullable + ` && ` + celImage + `.contains("flink") && c.image.matches("^([^@]*/)?([^@:/]*[-_.])?flink([-_./]|(:[^/@]*)?(@|$))")` // surely a word of the repository
	celStatefunWord    = celPullable + ` && ` + celImage + `.contains("statefun") && c.image.matches("^([^@]*/)?([^@:/]*[-_.])?statefun([-_./]|(:[^/@]*)?(@|$))")`
	celStatefunRole    = `c.?env.orValue([]).exists(e, e.name == "ROLE" && e.?value.orValue("") in ["master", "worker"])`
	celFlinkEnv        = `c.?env.orValue([]).exists(e, e.name in ["FLINK_MODE", "FLINK_PROPERTIES"])`
)

// celRole holds for a name that ends in the role of a Flink process.
func celRole(name string) string {
	return allOf(anyOf(name+`.endsWith("manager")`, name+`.endsWith("job-cluster")`),
		anyOf(name+`.size() > `+celMaxName, name+`.matches("(^|[-_./])(job[-_]?manager|task[-_]?manager|job-cluster)$")`))
}

// celRolePart holds for a name with the role of a Flink process in it.
func celRolePart(name string) string {
	return anyOf(name+`.size() > `+celMaxName, allOf(anyOf(name+`.contains("manager")`, name+`.contains("job-cluster")`),
		name+`.matches("(^|[-_./])(job[-_]?manager|task[-_]?manager|job-cluster)([-_./]|$)")`))
}

// celFlinkLabels holds for labels that are enough alone.
func celFlinkLabels(object string) string {
	return anyOf(
		celTypeLabel(object),
		allOf(celLabel(object, verdict.LabelSystem)+` == `+strconv.Quote(verdict.System), celLabel(object, verdict.LabelApp)+` in `+celList([]string{verdict.AppJob, verdict.AppSessionCluster})),
		allOf(celLabel(object, "flink-app")+` != ""`, celLabel(object, "flink-deployment-type")+` != ""`),
		allOf(celLabel(object, "app.kubernetes.io/name")+` == "flink"`, celRole(celLabel(object, "app.kubernetes.io/component"))),
	)
}

// celMayHaveFlinkOwner holds for an object that a custom resource of Flink's owns, and
// for one that has more owners than are searched. celHasFlinkOwner holds for the former
// alone.
var (
	celMayHaveFlinkOwner = anyOf(celManyOwners, celFlinkOwner)
	celHasFlinkOwner     = allOf("!"+celManyOwners, celFlinkOwner)
)

var celManyOwners = "(has(object.metadata.ownerReferences) && object.metadata.ownerReferences.size() > " + celMaxOwners + ")"

var celFlinkOwner = func() string {
	var known []string
	for _, c := range flink.CustomResources {
		known = append(known, `o.kind == `+strconv.Quote(c.Kind)+` && (o.apiVersion + "/").startsWith(`+strconv.Quote(c.Group+"/")+`)`)
	}
	return `(has(object.metadata.ownerReferences) && object.metadata.ownerReferences.exists(o, ` + anyOf(known...) + `))`
}()

// celNotOperator holds for everything but the pods of Flink's operator, which name
// Flink everywhere. A JobManager or a TaskManager is none, whatever it is called.
func celNotOperator(pod string) string {
	s := newCelSignals(pod)
	return anyOf(celNotNamedOperator(pod), celTypeLabel(pod), s.manyContainers,
		s.read(s.measured(anyOf("n > "+celMaxLine, s.container(anyOf(`c.name == "flink-main-container"`, celMentions))))))
}

// celSurelyNotOperator holds for a part of that.
func celSurelyNotOperator(pod string) string {
	s := newCelSignals(pod)
	return anyOf(celNotNamedOperator(pod), celTypeLabel(pod), s.manyContainers, s.container(`c.name == "flink-main-container"`))
}

func celNotNamedOperator(object string) string {
	return celLabel(object, "app.kubernetes.io/name") + ` != "flink-kubernetes-operator"`
}

func celTypeLabel(object string) string {
	return celLabel(object, "type") + ` in ["flink-native-kubernetes", "flink-standalone-kubernetes"]`
}
