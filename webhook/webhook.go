// Package webhook answers the API server: it turns AdmissionReviews into
// verdicts and says which of them the API server has to send.
package webhook

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/client_golang/prometheus"

	"drey.dev/drey/inflight"
	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/verdict"
)

// Registry is what admission asks of the registry. All methods answer from
// memory.
type Registry interface {
	Targets(namespace string) []registry.Target
	ByID(id string) (registry.Registered, bool)
	Linked(kind registry.Kind, platformNamespace, kubernetesNamespace, stated, name string) (registry.Registered, bool)

	// Synced says whether a missing target means that there is none.
	Synced() bool
}

// Owners is what admission asks of the cluster.
type Owners interface {
	Finder

	// HasUID tells, from memory, whether an id is the uid of a Flink workload.
	HasUID(id string) bool

	// Cluster returns, from memory, the cluster with a name, as a label has it, that
	// runs in a namespace.
	Cluster(namespace, name string) (flink.Cluster, bool)
}

// Options is what the webhooks need. Registry and Log are required.
type Options struct {
	Registry    Registry
	Owners      Owners                      // nil: none can be found
	HadTarget   func(namespace string) bool // whether it is recorded that a namespace has, or had, a target; nil: no record is kept
	Log         *slog.Logger
	Address     verdict.RegisterHint               // where a denial sends people to register a target
	Exclude     []string                           // Kubernetes namespaces that are always left alone
	Mode        func(namespace string) config.Mode // nil: config.Enforce everywhere
	Observe     func(Denial)                       // is told of what the mode Audit lets pass; must not wait; nil: nobody is
	Metrics     prometheus.Registerer              // nil: none are kept
	Objects     *Objects                           // drey's own objects in the cluster; nil: it has none
	Trace       Trace                              // is told of each review; nil: nobody is
	Draining    func() bool                        // whether connections are to be closed after their next answer, since this process stops; nil: never
	ReadTimeout time.Duration                      // for a review to arrive; 0 means 10 seconds. Longer than the API server waits, it only bounds strangers
}

// Trace begins to trace a review that a webhook is sent. What follows is done with the
// context that it returns, and ended is called with what came of it.
type Trace func(r *http.Request, webhook string) (ctx context.Context, ended func(verdict string))

// Webhooks holds what the handlers share.
type Webhooks struct {
	known       known
	log         *slog.Logger
	address     verdict.RegisterHint
	exclude     []string
	mode        func(namespace string) config.Mode
	observe     func(Denial)
	objects     *Objects
	metrics     *metrics
	trace       Trace
	refusals    *refusals
	readTimeout time.Duration
	bodies      *inflight.Budget
	draining    func() bool
}

// New makes the webhooks.
func New(o Options) *Webhooks {
	w := &Webhooks{
		known: known{o.Registry, o.Owners, o.HadTarget}, log: o.Log, address: o.Address, exclude: o.Exclude, mode: o.Mode, observe: o.Observe, objects: o.Objects,
		metrics: newMetrics(o.Metrics), trace: o.Trace, refusals: newRefusals(), readTimeout: cmp.Or(o.ReadTimeout, 10*time.Second),
		bodies: newReviewBudget(), draining: o.Draining,
	}
	if w.mode == nil {
		w.mode = func(string) config.Mode { return config.Enforce }
	}
	if w.draining == nil {
		w.draining = func() bool { return false }
	}
	if w.observe == nil {
		w.observe = func(Denial) {}
	}
	return w
}

// known joins what the registry and the cluster know.
type known struct {
	Registry
	owners    Owners
	hadTarget func(namespace string) bool
}

// HadTarget implements verdict.State.
func (k known) HadTarget(namespace string) bool { return k.hadTarget != nil && k.hadTarget(namespace) }

// HasUID implements verdict.State.
func (k known) HasUID(id string) bool { return k.owners != nil && k.owners.HasUID(id) }

// Cluster implements verdict.State.
func (k known) Cluster(namespace, name string) (flink.Cluster, bool) {
	if k.owners == nil {
		return flink.Cluster{}, false
	}
	return k.owners.Cluster(namespace, name)
}

// patience is how long a look-up of owners may hold up an admission. A pod that
// comes through with what is known by then is better than one that waits.
const patience = time.Second

// know adds what the cluster knows of a workload's owners.
func (w *Webhooks) know(ctx context.Context, f flink.Workload) flink.Workload {
	if w.known.owners == nil || !f.Recognized() {
		return f
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	f, complete := WithOwners(ctx, f, w.known.owners, w.known)
	if !complete {
		w.metrics.unknown.Inc()
	}
	return f
}

// Finder finds the owners of a workload.
type Finder interface {
	// Of finds the owners of an object, nearest first, and says whether the
	// last of them is the root for sure. It answers within the context's time.
	Of(ctx context.Context, o *flink.Object) (relatives []flink.Owner, complete bool)

	// VerifyTemplate reads the pod template of an owner in a namespace, and returns the owner with
	// whether that is Flink's. It answers within the context's time.
	VerifyTemplate(ctx context.Context, namespace string, r flink.Owner, recognize func(apiVersion, kind string, object []byte) bool) flink.Owner
}

// WithOwners adds to a workload what its owners show of it. complete is false if one of
// them could not be looked up. A template is read only where a workload is let in by its
// owner alone.
func WithOwners(ctx context.Context, f flink.Workload, owners Finder, known verdict.State) (_ flink.Workload, complete bool) {
	relatives, complete := owners.Of(ctx, f.Object)
	f = f.WithOwners(relatives, complete)
	if i, ok := verdict.OwnerToVerify(f, known); ok {
		relatives = slices.Clone(relatives)
		relatives[i] = owners.VerifyTemplate(ctx, f.Object.Namespace, relatives[i], func(apiVersion, kind string, object []byte) bool {
			w, ok, err := Recognize(apiVersion, kind, f.Object.Namespace, object)
			return err == nil && ok && w.Recognized()
		})
		f = f.WithOwners(relatives, complete)
	}
	return f, complete
}

// Handlers returns the handlers by path.
func (w *Webhooks) Handlers() map[string]http.Handler {
	all := map[string]http.Handler{
		config.PathLabelPods:            admit(w, config.NameLabelPods, purpose{labels: true, gate: true}, (*pod).recognize),
		config.PathLabelWorkloads:       admit(w, config.NameLabelWorkloads, purpose{labels: true}, (*workload).recognize),
		config.PathLabelCustom:          admit(w, config.NameLabelCustom, purpose{labels: true}, (*custom).recognize),
		config.PathRestoreLabels:        endpoint[labeled]{w, config.NameRestoreLabels, w.restoreLabels},
		config.PathValidateWorkloads:    admit(w, config.NameValidateWorkloads, purpose{gate: true}, (*workload).recognize),
		config.PathValidateCustom:       admit(w, config.NameValidateCustom, purpose{gate: true}, (*custom).recognize),
		config.PathValidatePodLabels:    keep[pod](w, config.NameValidatePodLabels),
		config.PathValidateLabels:       keep[workload](w, config.NameValidateLabels),
		config.PathValidateCustomLabels: keep[custom](w, config.NameValidateCustomLabels),
	}
	if w.objects != nil {
		all[config.PathValidateRegistry] = endpoint[jsontext.Value]{w, config.NameValidateRegistry, w.keepRules}
	}
	return all
}
