package flink

import (
	"slices"
	"strings"
)

// Signals is a set of signs of Flink in an object.
type Signals uint32

// The signals. A strong one is sufficient alone.
const (
	TypeLabel       Signals = 1 << iota // strong: type is flink-native-kubernetes or flink-standalone-kubernetes
	FlinkOwner                          // strong: owned by a Flink custom resource
	MainContainer                       // strong: a container named flink-main-container
	EntryPoint                          // strong: starts a script or a class of Flink
	VervericaLabels                     // strong: system and app of Ververica Platform
	RoleLabel                           // component is, or ends with, jobmanager or taskmanager
	RoleContainer                       // a container name is, or ends with, one
	RoleArgs                            // a role for the entry point of Flink's image
	AppNameLabel                        // app.kubernetes.io/name is flink
	AppRoleLabel                        // app.kubernetes.io/component, like component
	FlinkEnv                            // one of imageVariables is set
	ConfigVolume                        // a volume named flink-config-volume
	LyftLabels                          // flink-app and flink-deployment-type, of lyft's operator
	FlinkKind                           // strong: a Flink custom resource
	FlinkImage                          // weak: the image repository has the path segment flink
	FlinkWord                           // weak: a path segment of the image repository has the word flink
	Wrapped                             // a start of Flink in the arguments of an unknown program
	RolePart                            // component or app.kubernetes.io/component contains a role
	StatefunRole                        // ROLE is master or worker, as for the image of Stateful Functions
	StatefunName                        // the word statefun in the image or in the label app
	RoleEnv                             // FLINK_MODE is a role, which the entry point of bitnami's image reads
	OtherProgram                        // against Flink: a container runs a client, or a server outside a cluster
	RoleScript                          // docker-entrypoint.sh with a role
	FlinkOptions                        // options of Flink after a role, such as -Djobmanager.rpc.address
	FlinkSpelling                       // no signal by itself, and without a name: a role is spelled as Flink does, jobmanager and not job-manager, as other products do
)

const (
	strongSignals   = TypeLabel | FlinkOwner | MainContainer | EntryPoint | VervericaLabels | FlinkKind
	processSignals  = TypeLabel | MainContainer | EntryPoint // of a JobManager or a TaskManager
	roleSignals     = RoleLabel | RoleContainer | AppRoleLabel | startSignals
	startSignals    = RoleArgs | RoleScript | Wrapped
	statefunSignals = StatefunName | FlinkImage | FlinkWord | ConfigVolume | AppNameLabel
	flinkSignals    = FlinkImage | FlinkWord | FlinkEnv | FlinkOptions | ConfigVolume | AppNameLabel
)

var signalNames = []string{
	"the label type", "a Flink custom resource as owner", "the container flink-main-container", "a Flink entry point",
	"the labels system and app", "the label component", "a container named jobmanager or taskmanager", "arguments of Flink's entry point script",
	"the label app.kubernetes.io/name", "the label app.kubernetes.io/component", "a variable of Flink's image", "the volume flink-config-volume",
	"the labels flink-app and flink-deployment-type", "its kind", "an image named flink", "an image with flink in its name",
	"a start of Flink in the arguments of another program", "jobmanager or taskmanager within the label component", "ROLE of Stateful Functions", "statefun in a name",
	"a role in FLINK_MODE", "a Flink client, or a server outside a cluster", "Flink's entry point script", "options of Flink",
}

// Names returns a description of each signal in the set.
func (s Signals) Names() []string {
	var names []string
	for i, name := range signalNames {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// additions are signals that a manifest can add, and how.
var additions = []struct {
	signal Signals
	text   string
}{
	{EntryPoint, "a command that starts a JobManager or a TaskManager, such as jobmanager.sh"},
	{RoleArgs, "jobmanager, standalone-job or taskmanager as the first argument for the entry point of Flink's image"},
	{RoleLabel, "the label component with the value jobmanager or taskmanager"},
	{AppRoleLabel, "the label app.kubernetes.io/component with the value jobmanager or taskmanager"},
	{RoleContainer, "a container named jobmanager or taskmanager"},
	{FlinkImage, "an image named flink"},
	{AppNameLabel, "the label app.kubernetes.io/name with the value flink"},
	{FlinkEnv, "the variable FLINK_PROPERTIES"},
}

// Sufficient describes the signals each of which would make a set that is too weak sufficient.
func (s Signals) Sufficient() []string {
	var texts []string
	for _, a := range additions {
		if s.strength() < Medium && (s|a.signal).strength() >= Medium {
			texts = append(texts, a.text)
		}
	}
	return texts
}

func (s Signals) hasAll(wanted Signals) bool { return s&wanted == wanted }
func (s Signals) hasAny(wanted Signals) bool { return s&wanted != 0 }

// strength rates a set. A process counts most, then the image, then labels and names. Other
// products use the same labels and names, so Medium takes both a sign of the role and a sign
// of Flink. A history server, a SQL gateway or a client has no sign of a role.
func (s Signals) strength() Strength {
	switch {
	case s.hasAny(strongSignals):
		return Strong
	case s.hasAll(LyftLabels):
		return Medium
	case s.hasAll(OtherProgram) && !s.hasAny(startSignals|RoleContainer|RoleEnv|StatefunRole):
	case s.hasAny(RoleLabel|AppRoleLabel) && (s.hasAll(FlinkImage) || s.hasAny(RoleContainer|startSignals) && s.hasAll(FlinkSpelling)),
		s.hasAll(AppRoleLabel) && s.hasAll(AppNameLabel),
		s.hasAny(roleSignals) && s.hasAny(FlinkEnv|ConfigVolume),
		s.hasAny(startSignals) && (s.hasAny(flinkSignals) || s.hasAll(RolePart|FlinkSpelling)),
		s.hasAll(Wrapped | RoleContainer | FlinkSpelling),
		s.hasAll(RoleScript | FlinkSpelling),
		s.hasAll(RoleEnv) && s.hasAny(FlinkImage|FlinkWord),
		s.hasAll(StatefunRole) && s.hasAny(statefunSignals):
		return Medium
	}
	if s&^(OtherProgram|FlinkSpelling) != 0 {
		return Weak
	}
	return None
}

// imageVariables are the environment variables that the entry points of Flink's and bitnami's
// images read.
var imageVariables = []string{"FLINK_MODE", "FLINK_PROPERTIES", "JOB_MANAGER_RPC_ADDRESS", "TASK_MANAGER_NUMBER_OF_TASK_SLOTS"}

// ImageVariables returns the environment variables that are a sign of Flink, sorted.
func ImageVariables() []string { return slices.Clone(imageVariables) }

// evidence is the result of one pass over an object.
type evidence struct {
	signals Signals
	role    Role
	mode    Mode
	name    nameRole // of labels and containers; the process overrides it

	native     bool   // a process is of the native Kubernetes mode
	clusterID  string // kubernetes.cluster-id of a process
	jobID      string // --job-id of a process
	jobIDLabel string // of another operator's label

	modeFromSpec bool // the mode is that of a process, not of labels alone

	// Properties that a native JobManager passes to its TaskManagers: those in which its
	// configuration differs from the file. Applications have execution.target=embedded,
	// sessions do not; both have web.tmpdir. Source: Flink's
	// BootstrapTools.getDynamicPropertiesAsString and
	// ApplicationClusterEntryPoint.configureExecution.
	embeddedTarget, webTmpdir bool
}

func gather(o *Object) evidence {
	var e evidence
	e.readLabels(o.Pod.Labels)
	for _, ref := range o.OwnerReferences {
		if ref.isFlinkResource() {
			e.signals |= FlinkOwner
		}
	}
	for i := range o.Pod.Containers {
		e.readContainer(&o.Pod.Containers[i])
	}
	if slices.Contains(o.Pod.Volumes, ConfigVolumeName) {
		e.signals |= ConfigVolume
	}
	e.fill(e.name.role, UnknownMode)
	switch {
	case e.role != TaskManager:
	case e.embeddedTarget:
		e.fill(UnknownRole, Application)
	case e.webTmpdir:
		e.fill(UnknownRole, Session)
	}
	e.modeFromSpec = e.mode != UnknownMode
	e.fill(UnknownRole, modeFromLabels(o.Pod.Labels))
	e.fill(UnknownRole, e.name.mode)
	return e
}

// modeFromLabels returns the mode that labels imply. The process overrides it: in native mode,
// app is the cluster id, which may be any word.
func modeFromLabels(labels map[string]string) Mode {
	switch {
	case labels[LabelKind] == AppJob, labels[LabelApp] == AppJob, labels[LabelDeploymentID] != "", labels[LabelDeploymentName] != "":
		return Application
	case labels[LabelKind] == AppSessionCluster, labels[LabelApp] == AppSessionCluster, labels[LabelSessionClusterID] != "", labels[LabelSessionClusterName] != "":
		return Session
	}
	return UnknownMode
}

func (e *evidence) readLabels(labels map[string]string) {
	switch labels[LabelType] {
	case TypeNative, TypeStandalone:
		e.signals |= TypeLabel
	}
	app := labels[LabelApp]
	if labels[LabelSystem] == System && (app == AppJob || app == AppSessionCluster) {
		e.signals |= VervericaLabels
	}
	if labels[LabelLyftApp] != "" && labels[LabelLyftType] != "" {
		e.signals |= LyftLabels
		e.readName(labels[LabelLyftType], LyftLabels, LyftLabels)
		e.fill(UnknownRole, Application) // lyft has no session clusters
	}
	e.readName(labels[LabelComponent], RoleLabel, RolePart)
	e.readName(labels[LabelAppComponent], AppRoleLabel, RolePart)
	if labels[LabelName] == NameFlink {
		e.signals |= AppNameLabel
	}
	if hasWord(app, nameStatefun) || hasWord(labels[LabelName], nameStatefun) {
		e.signals |= StatefunName
	}
	e.jobIDLabel = labels[labelJobIDSpotify]
}

// readName adds a signal if a name ends with a role, or another one if it contains a role.
func (e *evidence) readName(name string, signal, partial Signals) {
	n := nameRoleOf(name)
	if n.flinks {
		e.signals |= FlinkSpelling
	}
	switch {
	case n.role == UnknownRole:
	case n.suffix:
		e.signals |= signal
		e.name.fill(n)
	default:
		e.signals |= partial
		e.name.fill(n)
	}
}

// startsAsSidecar reports whether a native sidecar starts Flink. Others count for nothing: beside
// the containers of a pod they are helpers, whatever their names and images.
func startsAsSidecar(c *Container, f finding) bool {
	_, hasRole := roles[c.Mode]
	return f.kind >= wrapped || f.kind == nothing && hasRole && strings.Contains(c.Image, NameFlink)
}

// readContainer reads the command line of a container first. The name and the environment of
// a client, or of a server outside a cluster, do not count.
func (e *evidence) readContainer(c *Container) {
	if c.Name == MainContainerName && !c.Sidecar {
		e.signals |= MainContainer
	}
	f := findIn(c)
	if c.Sidecar && !startsAsSidecar(c, f) {
		return
	}
	switch f.kind {
	case otherProgram:
		e.signals |= OtherProgram
		e.readImage(c.Image)
		return
	case byRole:
		e.signals |= RoleArgs
	case byEntryPoint:
		e.signals |= RoleScript
	case wrapped:
		e.signals |= Wrapped
	case started:
		e.signals |= EntryPoint
	}
	role := e.name.role
	if role == UnknownRole {
		role = nameRoleOf(c.Name).role
	}
	p := f.of(role)
	if p.flinks {
		e.signals |= FlinkSpelling
	}
	e.fill(p.role, p.mode)
	if p, ok := roles[c.Mode]; ok && f.kind == nothing {
		e.signals |= RoleEnv
		e.fill(p.role, p.mode)
	}
	e.native = e.native || p.native
	e.readArguments(p.args)
	if f.kind >= wrapped && hasFlinkOption(p.args) {
		e.signals |= FlinkOptions
	}
	e.readName(c.Name, RoleContainer, 0)
	e.readImage(c.Image)
	if slices.ContainsFunc(c.Env, func(name string) bool { return slices.Contains(imageVariables, name) }) {
		e.signals |= FlinkEnv
	}
	e.readStatefun(c)
}

func (e *evidence) readImage(image string) {
	repository := repositoryOf(image)
	switch {
	case hasSegment(repository, NameFlink):
		e.signals |= FlinkImage
	case hasWord(repository, NameFlink), hasWord(repository, namePyFlink):
		e.signals |= FlinkWord
	}
	if hasWord(repository, nameStatefun) {
		e.signals |= StatefunName
	}
}

// fill sets the role and the mode that are unknown so far.
func (e *evidence) fill(role Role, mode Mode) {
	if e.role == UnknownRole {
		e.role = role
	}
	if e.mode == UnknownMode {
		e.mode = mode
	}
}
