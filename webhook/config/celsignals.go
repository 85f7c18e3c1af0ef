package config

import (
	"strconv"
	"strings"

	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/verdict"
)

// celSignals are the expressions on the pod at a CEL path that both conditions use.
type celSignals struct {
	pod                                          string
	roleLabel, rolePart, nameLabel, configVolume string
	flinksRoleLabel                              string // roleLabel in Flink's spelling
	manyContainers, manyVolumes, longLines       string // hold beyond a bound
}

func newCelSignals(pod string) celSignals {
	component, appComponent := celLabel(pod, flink.LabelComponent), celLabel(pod, flink.LabelAppComponent)
	return celSignals{
		pod:             pod,
		roleLabel:       anyOf(celRole(component), celRole(appComponent)),
		flinksRoleLabel: anyOf(celFlinksRole(component), celFlinksRole(appComponent)),
		rolePart:        anyOf(celRolePart(component), celRolePart(appComponent)),
		nameLabel:       celLabel(pod, "app.kubernetes.io/name") + ` == "flink"`,
		configVolume:    "(has(" + pod + ".spec.volumes) && " + pod + `.spec.volumes.exists(v, v.name == ` + strconv.Quote(flink.ConfigVolumeName) + `))`,

		manyContainers: celManyContainers(pod),
		longLines:      celLongLines(pod),
		manyVolumes:    "(has(" + pod + ".spec.volumes) && " + pod + ".spec.volumes.size() > " + celMaxVolumes + ")",
	}
}

func celManyContainers(pod string) string {
	return "(" + pod + ".spec.containers.size() > " + celMaxContainers + ")"
}

// hinted holds for a pod with many containers that has a hint of Flink or is too large to be
// searched. The texts bound the search: a sum over the words costs more than to join them.
func (s celSignals) hinted() string {
	return anyOf(s.pod+".spec.containers.size() > "+celMaxListed, "["+s.texts()+"].exists(l, "+anyOf(
		"l.map(x, x.size()).sum() > "+celMaxLine,
		"[("+s.labels()+` + l).join("\n")].exists(t, `+s.hint()+")",
	)+")")
}

// labels is the list of the labels that may name Flink.
func (s celSignals) labels() string {
	return "[" + strings.Join([]string{celLabel(s.pod, flink.LabelComponent), celLabel(s.pod, flink.LabelAppComponent), celLabel(s.pod, flink.LabelApp), celLabel(s.pod, flink.LabelName)}, ", ") + "]"
}

// celNamesFlink holds for a text that names Flink.
func celNamesFlink(text string) string {
	return anyOf(text+`.contains("flink")`, text+`.contains("statefun")`)
}

// celLineNamesFlink holds for a container whose command line names Flink. Few words are not
// joined.
var celLineNamesFlink = `[` + celWords + `].exists(l, ` + anyOf(
	allOf(`l.size() <= `+celMaxCounted, `l.exists(w, `+celNamesFlink("w")+`)`),
	allOf(`l.size() > `+celMaxCounted, `[l.join("\n")].exists(w, `+celNamesFlink("w")+`)`),
) + `)`

// celLongLines holds for most pods whose command lines together exceed a bound. It counts
// what can be counted without joining the words, which costs several times as much. The pod
// must not have many containers.
func celLongLines(pod string) string {
	return `(` + pod + `.spec.containers.map(c, [` + celWords + `].map(l, l.size() > ` + celMaxWords + ` ? 1 + ` + celMaxLine +
		` : (l.size() > ` + celMaxCounted + ` ? 0 : l.map(w, w.size()).sum()))[0]).sum() > ` + celMaxLine + `)`
}

// texts is the list of the names, images and command lines of the containers, one word per line.
func (s celSignals) texts() string {
	return s.pod + ".spec.containers.map(c, ([c.name, " + celImage + `] + c.?command.orValue([]) + c.?args.orValue([])).join("\n"))`
}

// read binds the texts of a pod to t, one word per line: some labels, and those of its containers.
func (s celSignals) read(holds string) string {
	return "[(" + s.labels() + " + " + s.texts() + `).join("\n")].exists(t, ` + holds + ")"
}

// measured binds the length of t in bytes to n, and the number of environment variables to m.
func (s celSignals) measured(holds string) string {
	return "[t.size()].exists(n, [" + s.pod + ".spec.containers.map(c, c.?env.orValue([]).size()).sum()].exists(m, " + holds + "))"
}

// searched limits an expression to pods with a hint of Flink, and large ones.
func (s celSignals) searched(holds string) string {
	return s.read(allOf(s.hint(), s.measured(holds)))
}

func (s celSignals) container(holds string) string {
	return s.pod + ".spec.containers.exists(c, " + holds + ")"
}

// sidecar holds if a native sidecar has a hint of Flink or is too large to be searched. Its words
// are counted before they are joined.
func (s celSignals) sidecar() string {
	hinted := `[` + celSidecarWords + `].exists(l, ` + anyOf("l.size() > "+celMaxListed, "l.map(w, w.size()).sum() > "+celMaxScript,
		`[l.join("\n")].exists(t, `+anyOf(celHints()...)+")") + ")"
	return s.sidecars(anyOf("i.size() > "+celMaxListed, "["+celSidecars+"].exists(k, "+anyOf("k.size() > "+celMaxContainers, "k.exists(c, "+hinted+")")+")"))
}

// sureSidecar holds if all native sidecars are within the bounds together, and an expression holds
// for one with a hint of Flink. The expression may use n, the length of their words.
func (s celSignals) sureSidecar(holds string) string {
	hinted := `[` + celSidecarWords + `.join("\n")].exists(t, ` + anyOf(celHints()...) + ")"
	return s.sidecars(allOf("i.size() <= "+celMaxListed, "["+celSidecars+"].exists(k, "+allOf("k.size() <= "+celMaxContainers,
		"k.all(c, "+celSidecarWords+".size() <= "+celMaxListed+")",
		"[k.map(c, "+celSidecarWords+".map(w, w.size()).sum()).sum()].exists(n, "+allOf("n <= "+celMaxScript, "k.exists(c, "+allOf(hinted, holds)+")")+")")+")"))
}

// sidecars binds the init containers of a pod to i.
func (s celSignals) sidecars(holds string) string {
	init := s.pod + ".spec.initContainers"
	return "(has(" + init + ") && [" + init + "].exists(i, " + holds + "))"
}

const (
	celSidecars     = `i.filter(c, c.?restartPolicy.orValue("") == "` + flink.RestartAlways + `")` // the native ones among init containers
	celSidecarWords = `([c.?name.orValue(""), ` + celImage + `] + ` + celWords + `)`
)

// hint holds if any other signal does, and for large pods. It costs one pass over a pod
// without a sign of Flink.
func (s celSignals) hint() string {
	return anyOf(s.manyVolumes, s.configVolume, "t.size() > "+celMaxLine, anyOf(celHints()...))
}

// celHints hold for a text t that may be of Flink.
func celHints() []string {
	var hints []string
	for _, word := range []string{"flink", ".sh", "manager", "statefun", "job-cluster", "standalone-job"} {
		hints = append(hints, `t.contains("`+word+`")`)
	}
	return hints
}

// statefun holds for pods of Stateful Functions.
func (s celSignals) statefun(word, role string) string {
	return allOf(
		anyOf(s.container(word), s.configVolume, s.nameLabel, celStatefun(celLabel(s.pod, flink.LabelApp)), celStatefun(celLabel(s.pod, flink.LabelName))),
		s.container(role),
	)
}

// celStatefun holds for a name with the word statefun between separators.
func celStatefun(name string) string {
	return allOf(name+`.contains("statefun")`, anyOf(name+`.size() > `+celMaxName, name+`.matches("(^|[-_./])statefun([-_./]|$)")`))
}

const (
	celEntryPointRoles = `["job-cluster", "jobmanager", "standalone-job", "task-manager", "taskmanager"]`
	celPullable        = celImage + `.size() <= ` + celMaxName
	celFlinkImage      = celPullable + ` && ` + celImage + `.contains("flink") && c.image.matches("^([^@]*/)?flink(/|(:[^/@]*)?(@|$))")`                          // a segment of the repository, tag and digest apart
	celFlinkWord       = celPullable + ` && ` + celImage + `.contains("flink") && c.image.matches("^([^@]*/)?([^@:/]*[-_.])?(py)?flink([-_./]|(:[^/@]*)?(@|$))")` // surely a word of the repository
	celStatefunWord    = celPullable + ` && ` + celImage + `.contains("statefun") && c.image.matches("^([^@]*/)?([^@:/]*[-_.])?statefun([-_./]|(:[^/@]*)?(@|$))")`
	celStatefunRole    = `c.?env.orValue([]).exists(e, e.name == "ROLE" && e.?value.orValue("") in ["master", "worker"])`
	celRoleEnv         = `c.?env.orValue([]).exists(e, e.name == "FLINK_MODE" && e.?value.orValue("") in ` + celEntryPointRoles + `)`
)

var celFlinkEnv = `c.?env.orValue([]).exists(e, e.name in ` + celList(flink.ImageVariables()) + `)`

// celRole holds for a name that ends in a role of a Flink process.
func celRole(name string) string {
	return allOf(anyOf(name+`.endsWith("manager")`, name+`.endsWith("job-cluster")`),
		anyOf(name+`.size() > `+celMaxName, name+`.matches("(^|[-_./])(job[-_]?manager|task[-_]?manager|job-cluster)$")`))
}

// celFlinksRole surely holds for a name that ends in a role in Flink's spelling.
func celFlinksRole(name string) string {
	return allOf(name+`.endsWith("manager")`, name+`.size() <= `+celMaxName, name+`.matches("(^|[-_./])(job|task)manager$")`)
}

// celRolePart holds for a name that contains a role of a Flink process.
func celRolePart(name string) string {
	return anyOf(name+`.size() > `+celMaxName, allOf(anyOf(name+`.contains("manager")`, name+`.contains("job-cluster")`),
		name+`.matches("(^|[-_./])(job[-_]?manager|task[-_]?manager|job-cluster)([-_./]|$)")`))
}

// celFlinkLabels holds for labels that identify Flink without another signal.
func celFlinkLabels(object string) string {
	return anyOf(celSureLabels(object), celNameLabels(object))
}

// celSureLabels holds for labels that identify Flink whatever the containers run.
func celSureLabels(object string) string {
	return anyOf(
		celTypeLabel(object),
		allOf(celLabel(object, verdict.LabelSystem)+` == `+strconv.Quote(verdict.System), celLabel(object, verdict.LabelApp)+` in `+celList([]string{verdict.AppJob, verdict.AppSessionCluster})),
		allOf(celLabel(object, "flink-app")+` != ""`, celLabel(object, "flink-deployment-type")+` != ""`),
	)
}

// celNameLabels holds for the recommended labels of Flink and a role. They identify Flink unless
// a container runs a client.
func celNameLabels(object string) string {
	return allOf(celLabel(object, flink.LabelName)+` == "flink"`, celRole(celLabel(object, flink.LabelAppComponent)))
}

// celHasFlinkOwner holds for an object with an owner reference to one of Flink's custom
// resources, celMayHaveFlinkOwner also for one with more owner references than are
// searched.
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

// celNotOperator excludes pods of Flink's operator, which name Flink everywhere, unless
// they show a JobManager or a TaskManager.
func celNotOperator(pod string) string {
	s := newCelSignals(pod)
	return anyOf(celNotNamedOperator(pod), celTypeLabel(pod), s.manyContainers, s.sidecar(),
		s.read(s.measured(anyOf("n > "+celMaxLine, s.container(anyOf(celMainContainer, celMentions))))))
}

// celSurelyNotOperator is the part of celNotOperator without a search.
func celSurelyNotOperator(pod string) string {
	s := newCelSignals(pod)
	return anyOf(celNotNamedOperator(pod), celTypeLabel(pod), s.manyContainers, s.container(celMainContainer))
}

func celNotNamedOperator(object string) string {
	return celLabel(object, "app.kubernetes.io/name") + ` != "flink-kubernetes-operator"`
}

func celTypeLabel(object string) string {
	return celLabel(object, flink.LabelType) + ` in ` + celList([]string{flink.TypeNative, flink.TypeStandalone})
}

// celMainContainer holds for the container c of Flink's native and operator pods.
var celMainContainer = "c.name == " + strconv.Quote(flink.MainContainerName)
