// Package webhook is the admission server: it answers AdmissionReviews by the verdicts of
// package verdict. Package config has the configuration that the API server calls it by.
package webhook

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"drey.dev/drey/inflight"
	"drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/verdict"
)

// Registry reads the registry from memory; *registry.Index implements it.
type Registry interface {
	verdict.Registry

	// Synced reports whether the registry has been read.
	Synced() bool
}

// Owners reads the owners of workloads from the cluster.
type Owners interface {
	Finder
	verdict.Workloads
}

// Options configure the webhooks. Registry and Log are required.
type Options struct {
	Registry  Registry
	Owners    Owners                      // nil: none is found
	HadTarget func(namespace string) bool // whether a namespace has, or had, a target; nil: unknown
	// Refresh waits until the registry has all targets of the cluster: another replica, or
	// kubectl, may have just created one. nil: it always has.
	Refresh func(ctx context.Context) error

	// AwaitRegistered waits until the API server's policies see that a namespace with a
	// target is registered. nil: it does not wait.
	AwaitRegistered func(ctx context.Context, namespace string)

	Log        *slog.Logger
	Address    verdict.RegisterHint               // the remedy in denials
	Contact    func(namespace string) string      // of a namespace, in place of that of Address; empty or nil: none
	Exclude    []string                           // Kubernetes namespaces that are skipped
	Mode       func(namespace string) config.Mode // nil: config.Enforce everywhere
	Observe    func(Denial)                       // receives denials, in all modes, except those of dry runs; must not block; may be nil
	Metrics    prometheus.Registerer              // may be nil
	Objects    *Objects                           // validates drey's custom resources; nil: they are not served
	Trace      Trace                              // starts a span per review; may be nil
	Draining   func() bool                        // whether the server shuts down, and closes each connection after its next answer; may be nil
	StatesPath func(context.Context, string) bool // whether a webhook configuration states a URL path; nil: not checked
}

// Trace starts a span for a review. The review is handled with the context that it returns,
// and end is called with the verdict.
type Trace func(r *http.Request, webhook string) (ctx context.Context, end func(verdict string))

// Webhooks is the state that the handlers share.
type Webhooks struct {
	state      *verdict.Caches
	synced     func() bool // the registry
	owners     Owners      // nil: none is found
	log        *slog.Logger
	address    verdict.RegisterHint
	contact    func(namespace string) string
	exclude    []string
	mode       func(namespace string) config.Mode
	observe    func(Denial)
	objects    *Objects
	refresh    func(ctx context.Context) error
	await      func(ctx context.Context, namespace string)
	metrics    *metrics
	trace      Trace
	statesPath func(context.Context, string) bool
	bodies     *inflight.Budget
	draining   func() bool
}

// New returns the webhooks.
func New(o Options) *Webhooks {
	w := &Webhooks{
		state: &verdict.Caches{Registry: o.Registry, Registered: o.HadTarget}, synced: o.Registry.Synced, owners: o.Owners, log: o.Log, address: o.Address, contact: o.Contact,
		exclude: o.Exclude, mode: o.Mode, observe: o.Observe, objects: o.Objects, refresh: o.Refresh, await: o.AwaitRegistered,
		metrics: newMetrics(o.Metrics), trace: o.Trace, statesPath: o.StatesPath,
		bodies: newReviewBudget(), draining: o.Draining,
	}
	if o.Owners != nil {
		w.state.Running = o.Owners
	}
	if w.mode == nil {
		w.mode = func(string) config.Mode { return config.Enforce }
	}
	if w.draining == nil {
		w.draining = func() bool { return false }
	}
	if w.refresh == nil {
		w.refresh = func(context.Context) error { return nil }
	}
	if w.await == nil {
		w.await = func(context.Context, string) {}
	}
	if w.observe == nil {
		w.observe = func(Denial) {}
	}
	return w
}

// ownerLookupTimeout bounds owner resolution per admission request. After it the request is
// decided by the owners that were found.
const ownerLookupTimeout = time.Second

// refreshTimeout bounds how long a denial waits for targets that the registry lacks.
const refreshTimeout = 500 * time.Millisecond

// decide decides on a workload that is about to be created. Before it denies for want of a
// target, it refreshes the registry. current is false if that failed.
func (w *Webhooks) decide(ctx context.Context, f flink.Workload) (v verdict.Verdict, current bool) {
	if v = verdict.Decide(f, w.state); v.Reason != verdict.NoDeploymentTarget {
		return v, true
	}
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	if err := w.refresh(ctx); err != nil {
		w.log.Warn("registry not refreshed before a denial", "namespace", f.Object.Namespace, "error", err)
		return v, false
	}
	return verdict.Decide(f, w.state), true
}

// registeredTimeout bounds how long a pod waits for the label of its namespace, which the
// policy for pods reads.
const registeredTimeout = time.Second

// awaitRegistered waits until the policy for pods admits those of a namespace with a target.
func (w *Webhooks) awaitRegistered(ctx context.Context, namespace string) {
	bounded := newBoundedContext(ctx, registeredTimeout)
	defer bounded.stop()
	w.await(bounded, namespace)
}

// withOwners resolves the owners of a recognized workload.
func (w *Webhooks) withOwners(ctx context.Context, f flink.Workload) flink.Workload {
	if w.owners == nil || !f.Recognized() {
		return f
	}
	bounded := newBoundedContext(ctx, ownerLookupTimeout)
	defer bounded.stop()
	f, complete := WithOwners(bounded, f, w.owners, w.state)
	if !complete {
		w.metrics.unknown.Inc()
	}
	return f
}

// Finder resolves the owners of workloads.
type Finder interface {
	// Of returns the owners of an object, nearest first. complete reports whether the last
	// of them is the root. It returns by the deadline of ctx.
	Of(ctx context.Context, o *flink.Object) (relatives []flink.Owner, complete bool)

	// VerifyTemplate reads the pod template of an owner in a namespace, and returns the owner with
	// whether that is Flink's. It returns by the deadline of ctx.
	VerifyTemplate(ctx context.Context, namespace string, r flink.Owner, recognize func(apiVersion, kind string, object []byte) bool) flink.Owner
}

// WithOwners adds the owners of a workload. complete is false if a lookup failed. The
// template of an owner is read only if that owner alone admits the workload.
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

// Handlers returns the handlers by path. Each also serves its path followed by a token.
func (w *Webhooks) Handlers() map[string]http.Handler {
	all := map[string]http.Handler{
		config.PathLabelPods:            admit(w, config.NameLabelPods, effect{label: true, deny: true}, (*pod).recognize),
		config.PathLabelWorkloads:       admit(w, config.NameLabelWorkloads, effect{label: true}, (*workload).recognize),
		config.PathLabelCustom:          admit(w, config.NameLabelCustom, effect{label: true}, (*custom).recognize),
		config.PathRestoreLabels:        newEndpoint(w, config.NameRestoreLabels, w.restoreLabels),
		config.PathRegisteredLabel:      newEndpoint(w, config.NameRegisteredLabel, w.resetRegisteredLabel),
		config.PathValidateWorkloads:    admit(w, config.NameValidateWorkloads, effect{deny: true}, (*workload).recognize),
		config.PathValidateCustom:       admit(w, config.NameValidateCustom, effect{deny: true}, (*custom).recognize),
		config.PathValidatePodLabels:    validateUpdate[pod](w, config.NameValidatePodLabels),
		config.PathValidateLabels:       validateUpdate[workload](w, config.NameValidateLabels),
		config.PathValidateCustomLabels: validateUpdate[custom](w, config.NameValidateCustomLabels),
	}
	if w.objects != nil {
		all[config.PathValidateRegistry] = newEndpoint(w, config.NameValidateRegistry, w.reviewObject)
	}
	return all
}
