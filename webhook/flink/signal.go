package flink

import (
	"maps"
	"slices"
	"strings"
)

// Signals is a set of what in an object points at Flink.
type Signals uint32

// The signals. Strong ones are enough alone.
const (
	TypeLabel       Signals = 1 << iota // strong: type is flink-native-kubernetes or flink-standalone-kubernetes
	FlinkOwner                          // strong: owned by a Flink custom resource
	MainContainer                       // strong: a container named flink-main-container
	EntryPoint                          // strong: runs a script or a class that only Flink's processes have
	VervericaLabels                     // strong: system and app of Ververica Platform
	RoleLabel                           // component is jobmanager or taskmanager
	RoleContainer                       // a container of such a name
	RoleArgs                            // args of Flink's docker-entrypoint.sh
	AppNameLabel                        // app.kubernetes.io/name is flink
	AppRoleLabel                        // app.kubernetes.io/component is jobmanager or taskmanager
	FlinkEnv                            // FLINK_MODE or FLINK_PROPERTIES is set
	ConfigVolume                        // a volume named flink-config-volume
	LyftLabels                          // flink-app and flink-deployment-type, of lyft's operator
	FlinkKind                           // strong: it is a custom resource of Flink's
	FlinkImage                          // weak: the image's repository has the segment flink
)

const (
	strongSignals = TypeLabel | FlinkOwner | MainContainer | EntryPoint | VervericaLabels | FlinkKind
	roleSignals   = RoleLabel | RoleContainer | RoleArgs | AppRoleLabel
)

var signalNames = []string{
	"the label type", "a Flink custom resource as owner", "the container flink-main-container", "a Flink entry point",
	"the labels system and app", "the label component", "a container named jobmanager or taskmanager", "arguments of Flink's entry point script",
	"the label app.kubernetes.io/name", "the label app.kubernetes.io/component", "FLINK_MODE or FLINK_PROPERTIES", "the volume flink-config-volume",
	"the labels flink-app and flink-deployment-type", "its kind", "an image named flink",
}

// Names says in words what the set holds, for people.
func (s Signals) Names() []string {
	var names []string
	for i, name := range signalNames {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

func (s Signals) has(wanted Signals) bool  { return s&wanted == wanted }
func (s Signals) some(wanted Signals) bool { return s&wanted != 0 }

// strength weighs a set. Words that other products use too count only when
// something says both which process of a Flink cluster this is and that it is
// Flink's: a history server or a SQL gateway has the second and not the first.
func (s Signals) strength() Strength {
	switch {
	case s.some(strongSignals):
		return Strong
	case s.has(LyftLabels),
		s.has(RoleLabel) && s.some(RoleContainer|RoleArgs|FlinkImage),
		s.has(AppRoleLabel) && s.has(AppNameLabel),
		s.some(roleSignals) && s.some(FlinkEnv|ConfigVolume),
		s.has(RoleArgs) && s.has(FlinkImage):
		return Medium
	case s != 0:
		return Weak
	}
	return None
}

// The scripts of native mode. What the JobManager's is told says its mode.
const (
	scriptJobManager  = "kubernetes-jobmanager.sh"
	scriptTaskManager = "kubernetes-taskmanager.sh"
	toldApplication   = "kubernetes-application"
	toldSession       = "kubernetes-session"
)

// start is what a process shows by how it is started.
type start struct {
	role Role
	mode Mode
}

// entryClasses are those that only a JobManager or a TaskManager starts with.
var entryClasses = map[string]start{
	"org.apache.flink.kubernetes.entrypoint.KubernetesApplicationClusterEntrypoint": {JobManager, Application},
	"org.apache.flink.kubernetes.entrypoint.KubernetesSessionClusterEntrypoint":     {JobManager, Session},
	"org.apache.flink.container.entrypoint.StandaloneApplicationClusterEntryPoint":  {JobManager, Application},
	"org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint":        {JobManager, Session},
	"org.apache.flink.kubernetes.taskmanager.KubernetesTaskExecutorRunner":          {TaskManager, UnknownMode},
	"org.apache.flink.runtime.taskexecutor.TaskManagerRunner":                       {TaskManager, UnknownMode},
}

// EntryClasses are the classes by which a process is known to be a JobManager or a
// TaskManager, in order.
func EntryClasses() []string { return slices.Sorted(maps.Keys(entryClasses)) }

// Arguments of docker-entrypoint.sh in Flink's image. jobmanager starts a
// session cluster, standalone-job an application.
var roleArgs = map[string]start{
	"jobmanager":     {JobManager, Session},
	"standalone-job": {JobManager, Application},
	"taskmanager":    {TaskManager, UnknownMode},
}

// evidence is what one pass over an object found.
type evidence struct {
	signals Signals
	role    Role
	mode    Mode
	jobID   string // as written

	// Properties that a native JobManager writes on the command line of its
	// TaskManagers: those in which its own configuration differs from the file.
	// An application's has set execution.target to embedded by then, a
	// session's has not; both have set web.tmpdir. (Flink's
	// BootstrapTools.getDynamicPropertiesAsString and
	// ApplicationClusterEntryPoint.configureExecution.)
	embedded, rendered bool
}

func gather(o *Object) evidence {
	var e evidence
	e.readLabels(o.Pod.Labels)
	for _, owner := range o.Owners {
		if owner.isFlink() {
			e.signals |= FlinkOwner
		}
	}
	for i := range o.Pod.Containers {
		e.readContainer(&o.Pod.Containers[i])
	}
	if slices.Contains(o.Pod.Volumes, configVolume) {
		e.signals |= ConfigVolume
	}
	switch {
	case e.role != TaskManager:
	case e.embedded:
		e.learn(UnknownRole, Application)
	case e.rendered:
		e.learn(UnknownRole, Session)
	}
	e.learn(UnknownRole, statedMode(o.Pod.Labels))
	return e
}

// statedMode is what labels say of the mode. It comes after what the process
// shows: a cluster id, which is the app of native mode, may be any word.
func statedMode(labels map[string]string) Mode {
	switch {
	case labels[labelApp] == appJob, labels[labelDeploymentID] != "", labels[labelDeploymentName] != "":
		return Application
	case labels[labelApp] == appSession, labels[labelSessionClusterID] != "", labels[labelSessionClusterName] != "":
		return Session
	}
	return UnknownMode
}

func (e *evidence) readLabels(labels map[string]string) {
	switch labels[labelType] {
	case typeNative, typeStandalone:
		e.signals |= TypeLabel
	}
	if app := labels[labelApp]; labels[labelSystem] == systemVerverica && (app == appJob || app == appSession) {
		e.signals |= VervericaLabels
	}
	if role, ok := roleOf(labels[labelComponent]); ok {
		e.signals |= RoleLabel
		e.role = role
	}
	if labels[labelLyftApp] != "" && labels[labelLyftType] != "" {
		e.signals |= LyftLabels
		role, _ := roleOf(labels[labelLyftType])
		e.learn(role, Application) // it has no sessions
	}
	if labels[labelName] == nameFlink {
		e.signals |= AppNameLabel
	}
	if role, ok := roleOf(labels[labelAppComponent]); ok {
		e.signals |= AppRoleLabel
		e.learn(role, UnknownMode)
	}
	e.jobID = labels[labelJobIDSpotify]
}

func (e *evidence) readContainer(c *Container) {
	if c.Name == mainContainer {
		e.signals |= MainContainer
	}
	if role, ok := roleOf(c.Name); ok {
		e.signals |= RoleContainer
		e.learn(role, UnknownMode)
	}
	if hasSegment(c.Image, nameFlink) {
		e.signals |= FlinkImage
	}
	if slices.Contains(c.Env, "FLINK_MODE") || slices.Contains(c.Env, "FLINK_PROPERTIES") {
		e.signals |= FlinkEnv
	}
	if s, ok := roleArgs[entryPointArg(c)]; ok {
		e.signals |= RoleArgs
		e.learn(s.role, s.mode)
	}
	last := e.readCommand("", c.Command)
	e.readCommand(last, c.Args)
}

// entryPointArg is the first thing that docker-entrypoint.sh is told.
func entryPointArg(c *Container) string {
	if len(c.Command) > 1 && strings.HasSuffix(c.Command[0], "docker-entrypoint.sh") {
		return c.Command[1]
	}
	if len(c.Args) > 0 {
		return c.Args[0]
	}
	return ""
}

// readCommand looks for entry points, and for what they are told. A shell's
// script is one argument with many words, so it goes by words. It returns the
// last one, which may be what the next arguments belong to.
func (e *evidence) readCommand(before string, arguments []string) string {
	for _, argument := range arguments {
		for word := range strings.FieldsSeq(argument) {
			word = strings.Trim(word, `'"`)
			e.readWord(before, word)
			before = word
		}
	}
	return before
}

func (e *evidence) readWord(before, word string) {
	class, isClass := entryClasses[word]
	id, isID := strings.CutPrefix(word, "--job-id=")
	switch {
	case isClass:
		e.enter(class)
	case strings.Contains(word, scriptJobManager):
		e.enter(start{role: JobManager})
	case strings.Contains(word, scriptTaskManager):
		e.enter(start{role: TaskManager})
	case word == toldApplication && strings.Contains(before, scriptJobManager):
		e.learn(JobManager, Application)
	case word == toldSession && strings.Contains(before, scriptJobManager):
		e.learn(JobManager, Session)
	case word == "-Dexecution.target=embedded":
		e.embedded = true
	case strings.HasPrefix(word, "-Dweb.tmpdir="):
		e.rendered = true
	case isID:
		e.jobID = id
	case before == "--job-id":
		e.jobID = word
	}
}

func (e *evidence) enter(s start) {
	e.signals |= EntryPoint
	e.learn(s.role, s.mode)
}

// learn keeps what is known already.
func (e *evidence) learn(role Role, mode Mode) {
	if e.role == UnknownRole {
		e.role = role
	}
	if e.mode == UnknownMode {
		e.mode = mode
	}
}

func roleOf(word string) (Role, bool) {
	switch r := Role(word); r {
	case JobManager, TaskManager:
		return r, true
	}
	return UnknownRole, false
}

// hasSegment reports whether an image's repository has the segment, tag and
// digest apart.
func hasSegment(image, segment string) bool {
	image, _, _ = strings.Cut(image, "@")
	if colon := strings.LastIndexByte(image, ':'); colon > strings.LastIndexByte(image, '/') {
		image = image[:colon]
	}
	for s := range strings.SplitSeq(image, "/") {
		if s == segment {
			return true
		}
	}
	return false
}
