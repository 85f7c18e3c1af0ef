package page

import (
	"net/url"
	"strings"
	"time"

	"drey.dev/drey/denials"
	"drey.dev/drey/inventory"
	"drey.dev/drey/webhook/verdict"
)

// Overview is the model of the page overview.
type Overview struct {
	Frame
	Targets, TargetNamespaces, PlatformNamespaces int
	NotReady                                      []Target // some of those in which Flink cannot run
	NotReadyTotal                                 int
	Workloads                                     *WorkloadSummary // nil without a cluster
	Denials                                       *DenialSummary   // nil without a cluster
	Usage                                         []Usage          // the platform namespaces with the largest requests
	Health                                        Health
}

// WorkloadSummary summarizes the workloads.
type WorkloadSummary struct {
	Synced          bool
	Total           int
	Pods, PodsReady int
	Requests        inventory.Resources
	Misplaced       int // in namespaces without a target
	Mislabeled      int
	Attention       []Workload // some of the misplaced and mislabeled
}

// DenialSummary summarizes the denials of the last 24 hours.
type DenialSummary struct {
	Total   int // each occurrence
	Users   int
	Reasons []Count // the most frequent first
	Latest  []Denial
}

// Unhealthy is the number of the misplaced and mislabeled.
func (s WorkloadSummary) Unhealthy() int { return s.Misplaced + s.Mislabeled }

// Problems is the number of targets and workloads that need attention.
func (m Overview) Problems() int {
	n := m.NotReadyTotal
	if m.Workloads != nil {
		n += m.Workloads.Unhealthy()
	}
	return n
}

// Count is a number of things by name.
type Count struct {
	Name  string
	Count int
	Of    int // the largest, for a bar
}

// Usage is the usage of a platform namespace.
type Usage struct {
	inventory.Total
	Share int // of the largest requests for memory, in percent
}

// Health is the state of the installation.
type Health struct {
	Replicas    []Replica
	Wanted      int    // replicas; 0: unknown
	Leader      string // holder of the lease of the controllers; empty: none needed or unknown
	LeaderSince time.Time
	NotReady    string // why this process is not ready; empty: it is
	Certificate Certificate
	Store       string
	Mode        string
	Cluster     bool
	Unreadable  string // why replicas and leader are unknown
}

// Replica is a process of drey.
type Replica struct {
	Name    string
	Ready   bool
	Leader  bool
	Self    bool
	Since   time.Time
	Version string
}

// Certificate is the certificate of the webhooks.
type Certificate struct {
	Issuer   string // empty: there is none
	NotAfter time.Time
	Problem  string // why the API server does not trust it
}

// Target is a DeploymentTarget.
type Target struct {
	PlatformNamespace, Name, KubernetesNamespace, ID string
	Created                                          time.Time
	Workloads, Pods, PodsReady                       int
	Requests                                         inventory.Resources
	Use                                              *inventory.Resources // nil: unknown
	NotReady                                         string               // why Flink cannot run there, with the remedy; empty: it can, or that is unknown
}

// URL is the path of the page of the target.
func (t Target) URL() string { return objectURL("targets", t.PlatformNamespace, t.Name) }

// WorkloadsURL is the path of the list of its workloads.
func (t Target) WorkloadsURL() string {
	return Root + "workloads?" + url.Values{ParamOwner: {t.PlatformNamespace}, "target": {t.Name}}.Encode()
}

func objectURL(collection, platformNamespace, name string) string {
	return Root + collection + "/" + escape(platformNamespace) + "/" + escape(name)
}

// escape returns a text as one segment of a path.
func escape(segment string) string { return url.PathEscape(segment) }

// Targets is the model of the page targets.
type Targets struct {
	Frame
	Table
	Rows      []Target
	Scopes    []string // platform namespaces to filter by
	MayCreate bool
	Cluster   bool
}

// NewTarget is the model of the page new.
type NewTarget struct {
	Frame
	Scopes                                       []string
	PlatformNamespace, Name, KubernetesNamespace string
}

// TargetPage is the model of the page target.
type TargetPage struct {
	Frame
	Target
	Labels, Annotations map[string]string
	Warnings            []string
	Table
	Rows       []Workload
	Registered []Registered // Deployments and SessionClusters that refer to it
	MayDelete  bool
	Cluster    bool
}

// DeleteTarget is the model of the page delete.
type DeleteTarget struct {
	Frame
	Target
	References []Reference
	Afterwards []string
	Revision   string // the ETag of the previewed target
}

// Reference is a reference to a target.
type Reference struct {
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Namespace string `json:"kubernetesNamespace"`
}

// Workload is a Flink workload.
type Workload struct{ inventory.Workload }

// TargetURL is the path of the page of its target; empty: it has none.
func (w Workload) TargetURL() string {
	if w.Target == "" || w.PlatformNamespace == "" {
		return ""
	}
	return objectURL("targets", w.PlatformNamespace, w.Target)
}

// RegisteredURL is the path of the page of its Deployment or SessionCluster; empty: the registry
// has none.
func (w Workload) RegisteredURL() string {
	if !w.Registered || w.PlatformNamespace == "" {
		return ""
	}
	return objectURL(collections[w.Kind], w.PlatformNamespace, w.Name)
}

// RegisterURL is the path of the form that registers a target for its namespace.
func (w Workload) RegisterURL() string { return registerURL(w.PlatformNamespace, w.Namespace) }

// DisplayName is the name of its Deployment or SessionCluster, else of its owner.
func (w Workload) DisplayName() string {
	if w.Name != "" {
		return w.Name
	}
	return w.Owner.Name
}

// Problems lists what is wrong with it, each with its remedy.
func (w Workload) Problems() (all []string) {
	if w.Misplaced {
		all = append(all, "no target for its namespace: register one, or move the workload")
	}
	if len(w.MissingLabels) > 0 {
		all = append(all, "pods lack "+strings.Join(w.MissingLabels, ", ")+": drey adds them within a minute; else see its events")
	}
	if len(w.ConflictingLabels) > 0 {
		all = append(all, "conflicting values of "+strings.Join(w.ConflictingLabels, ", ")+": remove the labels from the pod template, and drey sets them")
	}
	return all
}

var collections = map[string]string{"Deployment": "deployments", "SessionCluster": "sessionclusters"}

func registerURL(platformNamespace, kubernetesNamespace string) string {
	query := url.Values{ParamSpace: {kubernetesNamespace}}
	if platformNamespace != "" {
		query.Set(ParamOwner, platformNamespace)
	}
	return Root + "targets/new?" + query.Encode()
}

// WorkloadsPage is the model of the page workloads.
type WorkloadsPage struct {
	Frame
	Table
	Rows    []Workload
	Scopes  []string
	Synced  bool
	Cluster bool
	Sum     inventory.Total // of all rows of the table
}

// Denial is one or more equal denials.
type Denial struct{ denials.Denial }

// RegisterURL is the path of the form that registers a target for its namespace; empty: a target
// is not the remedy.
func (d Denial) RegisterURL() string {
	if d.Reason != string(verdict.NoDeploymentTarget) {
		return ""
	}
	return registerURL(d.PlatformNamespace, d.Namespace)
}

// Object is the kind and name of the denied object.
func (d Denial) Object() string { return d.Kind + " " + d.Name }

// DenialsPage is the model of the page denials.
type DenialsPage struct {
	Frame
	Table
	Rows    []Denial
	Reasons []string
	Cluster bool
}

// Registered is a Deployment or SessionCluster of the registry.
type Registered struct {
	Kind, PlatformNamespace, Name, DisplayName, ID string
	Target, SessionCluster                         string // references; empty: none
	Desired, State                                 string
	JobID                                          string
	Created, Modified                              time.Time
}

// URL is the path of the page of the object.
func (o Registered) URL() string {
	return objectURL(collections[o.Kind], o.PlatformNamespace, o.Name)
}

// TargetURL is the path of the page of its target; empty: it has none.
func (o Registered) TargetURL() string {
	if o.Target == "" {
		return ""
	}
	return objectURL("targets", o.PlatformNamespace, o.Target)
}

// Objects is the model of the page objects: Deployments or SessionClusters.
type Objects struct {
	Frame
	Table
	Kind   string
	Rows   []Registered
	Scopes []string
}

// ObjectPage is the model of the page object.
type ObjectPage struct {
	Frame
	Registered
	Labels, Annotations map[string]string
	Spec                string // indented JSON
	Workloads           []Workload
	Cluster             bool
}

// Explain is the model of the page explain.
type Explain struct {
	Frame
	Manifest  string
	Namespace string // of objects without one
	Done      bool
	Results   []Explanation
	Partial   bool // the user does not see all targets
}

// Explanation is the verdict on one object of a manifest.
type Explanation struct{ verdict.Explanation }

// RegisterURL is the path of the form that registers a target for its namespace; empty: a target
// is not the remedy.
func (e Explanation) RegisterURL() string {
	if e.Reason != verdict.NoDeploymentTarget {
		return ""
	}
	return registerURL(e.PlatformNamespace, e.Namespace)
}

// Recognized is its flavor, mode and role in words.
func (e Explanation) Recognized() string {
	var words []string
	for _, word := range []string{e.Flavor, e.Mode, e.Role} {
		if word != "" {
			words = append(words, word)
		}
	}
	return strings.Join(words, ", ")
}

// Login is the model of the page login.
type Login struct {
	Frame
	Next string // path to continue at
	Help []string
}

// Error is the model of the page error.
type Error struct {
	Frame
	Status  int
	Reason  string
	Message string // with the remedy
}
