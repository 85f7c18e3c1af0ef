package webhook

import (
	"strconv"
	"strings"

	"drey.dev/drey/webhook/flink"
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

// celFlink holds when the pod, or the template, at the CEL path pod may run Flink.
func celFlink(pod string) string { return anyOf(celFlinkOwner, celFlinkPod(pod)) }

// celFlinkPod is celFlink without the owners of the object.
func celFlinkPod(pod string) string {
	const (
		entryPoint = celWords + `.exists(w, w.contains(".sh") && (` + celIsLong + ` || w.contains("docker-entrypoint.sh")))`
		roleArgs   = `([c.?args[?0].orValue(""), c.?command[?1].orValue("")].exists(w, w in ` + celEntryPointRoles + `) || ` + entryPoint + `)`
		flinkWord  = `c.?image.orValue("").contains("flink")`
	)
	s := newCelSignals(pod)
	return anyOf(celFlinkLabels(pod), allOf(s.hint(), anyOf(
		s.container(anyOf(`c.name == "flink-main-container"`, celMentions)),
		allOf(s.roleLabel, s.container(anyOf(celRole("c.name"), celFlinkImage))),
		allOf(anyOf(s.roleLabel, s.container(celRole("c.name"))), anyOf(s.container(celFlinkEnv), s.configVolume)),
		allOf(s.container(roleArgs), anyOf(s.rolePart, s.nameLabel, s.configVolume, s.container(anyOf(flinkWord, celFlinkEnv)))),
		s.container(allOf(celRole("c.name"), entryPoint)),
		s.statefun(`c.?image.orValue("").contains("flink")`, `c.?image.orValue("").contains("statefun")`),
	)))
}

const (
	celWords = `(c.?command.orValue([]) + c.?args.orValue([]))`

	// The API server bounds what an expression may cost. A word of more bytes is not
	// searched for each script and class: drey decides.
	celIsLong = `w.size() > 4096`
)

// celMentions holds for a container whose command line has a script or a class of
// Flink's in it.
var celMentions = celWords + `.exists(w, ` + anyOf(
	allOf(`w.contains(".sh")`, anyOf(celIsLong, `w.contains("manager.sh")`, `w.contains("standalone-job.sh")`, `w.contains("start-cluster.sh")`, `w.contains("flink-console.sh")`, `w.contains("flink-daemon.sh")`)),
	allOf(`w.contains("flink")`, anyOf(celIsLong, celList(flink.Classes())+`.exists(name, w.contains(name))`)),
) + `)`

// celRunsFlink holds when the pod at the CEL path pod surely runs Flink.
func celRunsFlink(pod string) string { return anyOf(celFlinkOwner, celRunsFlinkPod(pod)) }

// celRunsFlinkPod is celRunsFlink without the owners of the object.
func celRunsFlinkPod(pod string) string {
	const (
		// A word list begins with the entry point of the image, unless command replaces it.
		argv    = `(c.?command.orValue([]).size() == 0 ? ["docker-entrypoint.sh"] : c.command) + c.?args.orValue([])`
		isEntry = `a[?0].orValue("").matches("(^|/)docker-entrypoint[.]sh$")`
		native  = `(^|/)kubernetes-(job|task)manager[.]sh$`
		byHand  = `(^|/)(jobmanager|taskmanager|standalone-job)[.]sh$`
		command = `(?:^\s*|[;&|({\n]\s*|\b(?:exec|then|do|else)\s+)(?:[^\s;&|"'()#]*/)?` // where a shell expects a command
		role    = command + `docker-entrypoint[.]sh\s+(?:jobmanager|taskmanager|standalone-job|job-cluster|task-manager)(?:\s|$)`
		line    = command + `(?:kubernetes-(?:job|task)manager[.]sh(?:\s|$)|(?:jobmanager|taskmanager|standalone-job)[.]sh\s+start)`
	)
	class := command + `java\s[^;&|\n]*\s(?:` + strings.ReplaceAll(strings.Join(flink.Classes(), "|"), ".", "[.]") + `)(?:\s|$)`
	byRole := allOf(celWords+`.exists(w, w in `+celEntryPointRoles+` || w.contains("docker-entrypoint.sh"))`,
		`[`+argv+`].exists(a, `+anyOf(isEntry+` && a[?1].orValue("") in `+celEntryPointRoles, celScript("0", role))+`)`)
	starts := celMentions + ` && [` + argv + `].exists(a, [0, 1].exists(i, (i == 0 || ` + isEntry + `) && ` + anyOf(
		`a[?i].orValue("").matches("`+native+`")`,
		`a[?i].orValue("").matches("`+byHand+`") && a[?i+1].orValue("").startsWith("start")`,
		`a[?i].orValue("").matches("(^|/)java$") && [1, 2, 3, 4].exists(k, [1, 2, 3].all(j, j >= k || a[?i+j].orValue("").startsWith("-")) && `+
			`a[?i+k].orValue("") in ["-cp", "-classpath"] && a[?i+k+2].orValue("") in `+celList(flink.Classes())+`)`,
		celScript("i", line+"|"+class),
	) + `))`
	s := newCelSignals(pod)
	// A command line that says more of Flink than a role may be that of a client: drey decides.
	other := `!(` + byRole + `) && ` + celWords + `.exists(w, w.contains("flink") || w.contains(".sh") && !w.endsWith("docker-entrypoint.sh") || w in ["history-server", "help"])`
	return anyOf(celFlinkLabels(pod), allOf(s.hint(), anyOf(
		s.container(anyOf(`c.name == "flink-main-container"`, starts)),
		allOf(anyOf(
			allOf(s.roleLabel, s.container(anyOf(celRole("c.name"), byRole, celFlinkImage))),
			allOf(anyOf(s.roleLabel, s.container(anyOf(celRole("c.name"), byRole))), anyOf(s.container(celFlinkEnv), s.configVolume)),
			allOf(s.container(byRole), s.container(celFlinkWord)),
			s.statefun(celFlinkWord, celStatefunWord),
		), "!"+s.container(other)),
	)))
}

// celScript holds for a command line whose word at an index is a shell, and whose
// script matches. One of more bytes is left to drey: that of a native TaskManager has
// about two thousand.
func celScript(i, script string) string {
	return `a[?` + i + `].orValue("").matches("(^|/)(ba|da|a)?sh$") && a[?` + i + `+1].orValue("").matches("^-[a-z]*c$") && a[?` + i + `+2].orValue("").size() <= 8192 && ` +
		`a[?` + i + `+2].orValue("").matches(r"""` + script + `""")`
}

// celSignals are the expressions that both have in common.
type celSignals struct {
	pod                                          string
	roleLabel, rolePart, nameLabel, configVolume string
}

func newCelSignals(pod string) celSignals {
	component, appComponent := celLabel(pod, "component"), celLabel(pod, "app.kubernetes.io/component")
	return celSignals{
		pod:          pod,
		roleLabel:    anyOf(celRole(component), celRole(appComponent)),
		rolePart:     anyOf(celRolePart(component), celRolePart(appComponent)),
		nameLabel:    celLabel(pod, "app.kubernetes.io/name") + ` == "flink"`,
		configVolume: pod + `.spec.?volumes.orValue([]).exists(v, v.name == "flink-config-volume")`,
	}
}

func (s celSignals) container(holds string) string {
	return s.pod + ".spec.containers.exists(c, " + holds + ")"
}

// hint holds wherever one of the others does, and costs one pass over a pod that has
// nothing of Flink's.
func (s celSignals) hint() string {
	return anyOf(s.roleLabel, s.nameLabel, s.container(anyOf(
		`c.name == "flink-main-container"`, `c.name.endsWith("manager")`, `c.name.endsWith("job-cluster")`,
		`c.?image.orValue("").contains("flink")`, `c.?image.orValue("").contains("statefun")`,
		celWords+`.exists(w, w.contains(".sh") || w.contains("flink") || w in `+celEntryPointRoles+`)`,
	)), s.configVolume, celStatefun(celLabel(s.pod, "app")), celStatefun(celLabel(s.pod, "app.kubernetes.io/name")))
}

// statefun holds for the image of Stateful Functions, and what is like it.
func (s celSignals) statefun(flinkWord, statefunWord string) string {
	return allOf(
		anyOf(s.container(anyOf(flinkWord, statefunWord)), s.configVolume, s.nameLabel, celStatefun(celLabel(s.pod, "app")), celStatefun(celLabel(s.pod, "app.kubernetes.io/name"))),
		s.container(`c.?env.orValue([]).exists(e, e.name == "ROLE" && e.?value.orValue("") in ["master", "worker"])`),
	)
}

// celStatefun holds for a name that has this word between separators.
func celStatefun(name string) string {
	return allOf(name+`.contains("statefun")`, name+`.matches("(^|[-_./])statefun([-_./]|$)")`)
}

const (
	celEntryPointRoles = `["job-cluster", "jobmanager", "standalone-job", "task-manager", "taskmanager"]`
	celFlinkImage      = `c.?image.orValue("").contains("flink") && c.image.matches("^([^@]*/)?flink(/|(:[^/@]*)?(@|$))")`                     // a segment of the repository, tag and digest apart
	celFlinkWord       = `c.?image.orValue("").contains("flink") && c.image.matches("^([^@]*/)?([^@:/]*[-_.])?flink([-_./]|(:[^/@]*)?(@|$))")` // surely a word of the repository
	celStatefunWord    = `c.?image.orValue("").contains("statefun") && c.image.matches("^([^@]*/)?([^@:/]*[-_.])?statefun([-_./]|(:[^/@]*)?(@|$))")`
	celFlinkEnv        = `c.?env.orValue([]).exists(e, e.name in ["FLINK_MODE", "FLINK_PROPERTIES"])`
)

// celRole holds for a name that ends in the role of a Flink process.
func celRole(name string) string {
	return allOf(anyOf(name+`.endsWith("manager")`, name+`.endsWith("job-cluster")`), name+`.matches("(^|[-_./])(job[-_]?manager|task[-_]?manager|job-cluster)$")`)
}

// celRolePart holds for a name with the role of a Flink process in it.
func celRolePart(name string) string {
	return allOf(anyOf(name+`.contains("manager")`, name+`.contains("job-cluster")`), name+`.matches("(^|[-_./])(job[-_]?manager|task[-_]?manager|job-cluster)([-_./]|$)")`)
}

// celFlinkLabels holds for labels that are enough alone.
func celFlinkLabels(object string) string {
	return anyOf(
		celTypeLabel(object),
		allOf(celLabel(object, "system")+` == "ververica-platform"`, celLabel(object, "app")+` in ["flink-job", "flink-session-cluster"]`),
		allOf(celLabel(object, "flink-app")+` != ""`, celLabel(object, "flink-deployment-type")+` != ""`),
		allOf(celLabel(object, "app.kubernetes.io/name")+` == "flink"`, celRole(celLabel(object, "app.kubernetes.io/component"))),
	)
}

// celLabel is a label's value, "" if it is not there.
func celLabel(object, key string) string {
	return object + `.?metadata.?labels[?"` + key + `"].orValue("")`
}

// celFlinkOwner holds for an object that a custom resource of Flink's owns.
var celFlinkOwner = func() string {
	var known []string
	for _, c := range flink.CustomResources {
		known = append(known, c.Group+"/"+c.Kind)
	}
	return `object.metadata.?ownerReferences.orValue([]).exists(o, o.apiVersion.split("/")[0] + "/" + o.kind in ` + celList(known) + `)`
}()

// celNotOperator holds for everything but the pods of Flink's operator, which name
// Flink everywhere. A JobManager or a TaskManager is none, whatever it is called.
func celNotOperator(pod string) string {
	return anyOf(celNotNamedOperator(pod), celTypeLabel(pod), newCelSignals(pod).container(anyOf(`c.name == "flink-main-container"`, celMentions)))
}

// celSurelyNotOperator holds for a part of that.
func celSurelyNotOperator(pod string) string {
	return anyOf(celNotNamedOperator(pod), celTypeLabel(pod), newCelSignals(pod).container(`c.name == "flink-main-container"`))
}

func celNotNamedOperator(object string) string {
	return celLabel(object, "app.kubernetes.io/name") + ` != "flink-kubernetes-operator"`
}

func celTypeLabel(object string) string {
	return celLabel(object, "type") + ` in ["flink-native-kubernetes", "flink-standalone-kubernetes"]`
}

func celList(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(w)
	}
	return `[` + strings.Join(quoted, ", ") + `]`
}
