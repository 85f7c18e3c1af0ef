package flink

import "slices"

// Signals is a set of what in an object points at Flink.
type Signals uint32

// The signals. Strong ones are enough alone.
const (
	TypeLabel       Signals = 1 << iota // strong: type is flink-native-kubernetes or flink-standalone-kubernetes
	FlinkOwner                          // strong: owned by a Flink custom resource
	MainContainer                       // strong: a container named flink-main-container
	EntryPoint                          // strong: starts a script or a class of Flink's
	VervericaLabels                     // strong: system and app of Ververica Platform
	RoleLabel                           // component is jobmanager, taskmanager, or ends so
	RoleContainer                       // a container of such a name
	RoleArgs                            // a role for the entry point of Flink's image
	AppNameLabel                        // app.kubernetes.io/name is flink
	AppRoleLabel                        // app.kubernetes.io/component, like component
	FlinkEnv                            // FLINK_MODE or FLINK_PROPERTIES is set
	ConfigVolume                        // a volume named flink-config-volume
	LyftLabels                          // flink-app and flink-deployment-type, of lyft's operator
	FlinkKind                           // strong: it is a custom resource of Flink's
	FlinkImage                          // weak: the image's repository has the segment flink
	FlinkWord                           // weak: a segment of the image's repository has the word flink
	Wrapped                             // docker-entrypoint.sh with a role, or a start of Flink as the arguments of an unknown program
	RolePart                            // a role within component or app.kubernetes.io/component
	StatefunRole                        // ROLE is master or worker, as the image of Stateful Functions has it
	StatefunName                        // the word statefun in the image's name or in the label app
	OtherProgram                        // against Flink: a container runs a client, or a server beside a cluster
)

const (
	strongSignals   = TypeLabel | FlinkOwner | MainContainer | EntryPoint | VervericaLabels | FlinkKind
	processSignals  = TypeLabel | MainContainer | EntryPoint // of a JobManager or a TaskManager itself
	roleSignals     = RoleLabel | RoleContainer | AppRoleLabel | startSignals
	startSignals    = RoleArgs | Wrapped
	statefunSignals = StatefunName | FlinkImage | FlinkWord | ConfigVolume | AppNameLabel
	flinkSignals    = FlinkImage | FlinkWord | FlinkEnv | ConfigVolume | AppNameLabel
)

var signalNames = []string{
	"the label type", "a Flink custom resource as owner", "the container flink-main-container", "a Flink entry point",
	"the labels system and app", "the label component", "a container named jobmanager or taskmanager", "arguments of Flink's entry point script",
	"the label app.kubernetes.io/name", "the label app.kubernetes.io/component", "FLINK_MODE or FLINK_PROPERTIES", "the volume flink-config-volume",
	"the labels flink-app and flink-deployment-type", "its kind", "an image named flink", "an image with flink in its name",
	"Flink's entry point script", "jobmanager or taskmanager within the label component", "ROLE of Stateful Functions", "statefun in a name",
	"a Flink client, or a server beside a cluster",
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

// strength weighs a set. The process that is started comes first, then the image,
// then labels and names, which other products use too: those count only when
// something says both which process of a Flink cluster this is and that it is
// Flink's. A history server, a SQL gateway or a client has the second and not the
// first.
func (s Signals) strength() Strength {
	switch {
	case s.some(strongSignals):
		return Strong
	case s.has(LyftLabels):
		return Medium
	case s.has(OtherProgram) && !s.some(startSignals|RoleContainer|StatefunRole):
	case s.some(RoleLabel|AppRoleLabel) && s.some(RoleContainer|startSignals|FlinkImage),
		s.has(AppRoleLabel) && s.has(AppNameLabel),
		s.some(roleSignals) && s.some(FlinkEnv|ConfigVolume),
		s.some(startSignals) && s.some(flinkSignals|RolePart),
		s.has(Wrapped) && s.has(RoleContainer),
		s.has(StatefunRole) && s.some(statefunSignals):
		return Medium
	}
	if s&^OtherProgram != 0 {
		return Weak
	}
	return None
}

// evidence is what one pass over an object found.
type evidence struct {
	signals Signals
	role    Role
	mode    Mode
	name    nameRole // what labels and containers are called; after what a process shows

	native    bool   // Flink's own Kubernetes integration starts a process
	clusterID string // kubernetes.cluster-id of a process
	jobID     string // --job-id of a process
	jobLabel  string // the job in another operator's label

	shown bool // the process shows its mode; labels alone do not

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
	for _, owner := range o.OwnerReferences {
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
	e.learn(e.name.role, UnknownMode)
	switch {
	case e.role != TaskManager:
	case e.embedded:
		e.learn(UnknownRole, Application)
	case e.rendered:
		e.learn(UnknownRole, Session)
	}
	e.shown = e.mode != UnknownMode
	e.learn(UnknownRole, statedMode(o.Pod.Labels))
	e.learn(UnknownRole, e.name.mode)
	return e
}

// statedMode is what labels say of the mode. It comes after what the process
// shows: a cluster id, which is the app of native mode, may be any word.
func statedMode(labels map[string]string) Mode {
	switch {
	case labels[LabelKind] == AppJob, labels[LabelApp] == AppJob, labels[LabelDeploymentID] != "", labels[LabelDeploymentName] != "":
		return Application
	case labels[LabelKind] == AppSessionCluster, labels[LabelApp] == AppSessionCluster, labels[LabelSessionClusterID] != "", labels[LabelSessionClusterName] != "":
		return Session
	}
	return UnknownMode
}

func (e *evidence) readLabels(labels map[string]string) {
	switch labels[labelType] {
	case typeNative, typeStandalone:
		e.signals |= TypeLabel
	}
	app := labels[LabelApp]
	if labels[LabelSystem] == System && (app == AppJob || app == AppSessionCluster) {
		e.signals |= VervericaLabels
	}
	if labels[labelLyftApp] != "" && labels[labelLyftType] != "" {
		e.signals |= LyftLabels
		e.readName(labels[labelLyftType], LyftLabels, LyftLabels)
		e.learn(UnknownRole, Application) // it has no sessions
	}
	e.readName(labels[labelComponent], RoleLabel, RolePart)
	e.readName(labels[labelAppComponent], AppRoleLabel, RolePart)
	if labels[labelName] == nameFlink {
		e.signals |= AppNameLabel
	}
	if hasWord(app, nameStatefun) || hasWord(labels[labelName], nameStatefun) {
		e.signals |= StatefunName
	}
	e.jobLabel = labels[labelJobIDSpotify]
}

// readName reads what may be the name of a role, or have it within. Each is a signal.
func (e *evidence) readName(name string, signal, partial Signals) {
	switch n := nameRoleOf(name); {
	case n.role == UnknownRole:
	case n.whole:
		e.signals |= signal
		e.name.learn(n)
	default:
		e.signals |= partial
		e.name.learn(n)
	}
}

// readContainer reads first what a container runs. The name of a client, or of a
// server beside a cluster, counts for nothing.
func (e *evidence) readContainer(c *Container) {
	if c.Name == mainContainer {
		e.signals |= MainContainer
	}
	f := find(c.Command, c.Args)
	switch f.kind {
	case otherProgram:
		e.signals |= OtherProgram
		e.readImage(c.Image)
		return
	case byRole:
		e.signals |= RoleArgs
	case wrapped, byEntryPoint:
		e.signals |= Wrapped
	case started:
		e.signals |= EntryPoint
	}
	p := f.process
	e.learn(p.role, p.mode)
	if p, ok := roles[c.Mode]; ok && f.kind == nothing { // of bitnami's image, whose entry point goes by it
		e.learn(p.role, p.mode)
	}
	e.native = e.native || p.native
	e.readArguments(p.args)
	e.readName(c.Name, RoleContainer, 0)
	e.readImage(c.Image)
	if slices.Contains(c.Env, "FLINK_MODE") || slices.Contains(c.Env, "FLINK_PROPERTIES") {
		e.signals |= FlinkEnv
	}
	e.readStatefun(c)
}

func (e *evidence) readImage(image string) {
	repository := repositoryOf(image)
	switch {
	case hasSegment(repository, nameFlink):
		e.signals |= FlinkImage
	case hasWord(repository, nameFlink):
		e.signals |= FlinkWord
	}
	if hasWord(repository, nameStatefun) {
		e.signals |= StatefunName
	}
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
