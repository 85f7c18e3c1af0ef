package gitops

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/cache"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/diff"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/health"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/sync"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/sync/common"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/kube"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/tracing"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/test/framework/page"
)

// trackingID is the annotation by which Argo CD finds the objects of an application.
const trackingID = "argocd.argoproj.io/tracking-id"

// syncWave orders the objects of an application.
const syncWave = "argocd.argoproj.io/sync-wave"

// argoCD synchronizes one application, as Argo CD's application controller does.
type argoCD struct {
	config  *rest.Config
	kubectl *kube.KubectlCmd
	cache   cache.ClusterCache
	app     string
}

func newArgoCD(t *testing.T, w *world, app string) argoCD {
	t.Helper()
	a := argoCD{config: rest.CopyConfig(w.Config()), kubectl: &kube.KubectlCmd{Log: logr.Discard(), Tracer: tracing.NopTracer{}}, app: app}
	a.config.QPS = -1
	a.cache = cache.NewClusterCache(a.config, cache.SetLogr(logr.Discard()), cache.SetPopulateResourceInfoHandler(func(o *unstructured.Unstructured, _ bool) (any, bool) {
		id := o.GetAnnotations()[trackingID]
		return id, id != ""
	}))
	if err := a.cache.EnsureSynced(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.cache.Invalidate() })
	return a
}

func (a argoCD) isManaged(r *cache.Resource) bool { return r.Info == a.app }

// tracked returns the objects with the annotation of the application.
func (a argoCD) tracked(objects []*unstructured.Unstructured) []*unstructured.Unstructured {
	for _, o := range objects {
		annotate(o, trackingID, a.app)
	}
	return objects
}

func annotate(o *unstructured.Unstructured, key, value string) {
	annotations := o.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[key] = value
	o.SetAnnotations(annotations)
}

// sync synchronizes the application with pruning, in rounds with the live objects of each. The error has
// the messages of all objects that failed.
func (a argoCD) sync(t *testing.T, namespace string, objects []*unstructured.Unstructured, options ...sync.SyncOpt) error {
	t.Helper()
	options = append([]sync.SyncOpt{sync.WithPrune(true), sync.WithHealthOverride(newTargetHealth(t)), sync.WithLogr(logr.Discard())}, options...)
	started := metav1.Now()
	phase, message, results := common.OperationRunning, "", []common.ResourceSyncResult(nil)
	for deadline := time.Now().Add(eventually.Timeout); !phase.Completed(); time.Sleep(100 * time.Millisecond) {
		pairs := a.pairs(t, namespace, objects)
		s, cleanup, err := sync.NewSyncContext("1", pairs, a.config, a.config, a.kubectl, namespace, append(options, sync.WithInitialState(phase, message, results, started))...)
		if err != nil {
			return err
		}
		s.Sync()
		phase, message, results = s.GetState()
		cleanup()
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: %s: %v", phase, message, results)
		}
	}
	if phase.Successful() {
		return nil
	}
	failed := []string{message}
	for _, r := range results {
		if r.Status == common.ResultCodeSyncFailed {
			failed = append(failed, fmt.Sprintf("%s: %s", r.ResourceKey, r.Message))
		}
	}
	return errors.New(strings.Join(failed, "\n"))
}

// pairs matches the objects of the application with the live ones.
func (a argoCD) pairs(t *testing.T, namespace string, objects []*unstructured.Unstructured) sync.ReconciliationResult {
	t.Helper()
	targets := a.tracked(objects)
	live, err := a.cache.GetManagedLiveObjs(targets, a.isManaged)
	if err != nil {
		t.Fatal(err)
	}
	return sync.Reconcile(targets, live, namespace, a.cache)
}

// targetHealth is the documented health check of targets.
type targetHealth struct{ script string }

func newTargetHealth(t *testing.T) targetHealth {
	t.Helper()
	checks := map[string]string{}
	for path, text := range documented(t, "TestArgoCDSet") {
		if err := page.Decode(text, &checks); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	return targetHealth{checks["resource.customizations.health.drey.dev_DeploymentTarget"]}
}

// GetResourceHealth implements health.HealthOverride.
func (h targetHealth) GetResourceHealth(o *unstructured.Unstructured) (*health.HealthStatus, error) {
	if o.GetKind() != "DeploymentTarget" {
		return nil, nil // of the engine
	}
	return lua.VM{}.ExecuteHealthLua(o, h.script)
}

// syncOptions are the ways in which Argo CD writes and compares objects.
var syncOptions = map[string]struct {
	sync     []sync.SyncOpt
	diff     func(*testing.T, argoCD) []diff.Option
	rewrites bool // writes objects without a difference too
}{
	"client-side apply": {nil, clientSideDiff, false},
	"ServerSideApply=true": {
		[]sync.SyncOpt{sync.WithServerSideApply(true), sync.WithServerSideApplyManager("argocd-controller")},
		serverSideDiff, false,
	},
	"Replace=true": {[]sync.SyncOpt{sync.WithReplace(true)}, clientSideDiff, true},
}

// clientSideDiff are the options of a three-way diff.
func clientSideDiff(*testing.T, argoCD) []diff.Option { return nil }

// serverSideDiff are the options of ServerSideDiff=true,IncludeMutationWebhook=true, which shows changes by
// webhooks.
func serverSideDiff(t *testing.T, a argoCD) []diff.Option {
	t.Helper()
	operations, cleanup, err := a.kubectl.ManageServerSideDiffDryRuns(a.config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cleanup)
	return []diff.Option{
		diff.WithServerSideDiff(true), diff.WithServerSideDryRunner(diff.NewK8sServerSideDryRunner(operations)), diff.WithManager("argocd-controller"),
		diff.WithGVKParser(a.cache.GetGVKParser()), diff.WithIgnoreMutationWebhook(false),
	}
}

// TestArgoCDSet synchronizes a set with Argo CD's library, the target in an earlier wave. A second
// synchronization changes nothing, objects and the application can be pruned, and a synchronization in one
// wave succeeds when it is repeated.
func TestArgoCDSet(t *testing.T) {
	w := sharedWorld(t)
	for option, with := range syncOptions {
		t.Run(option, func(t *testing.T) {
			s := w.newSet(t)
			if option == "Replace=true" { // Kubernetes refuses to replace a pod by its manifest
				s.objects = slices.DeleteFunc(s.objects, func(o *unstructured.Unstructured) bool { return o.GetKind() == "Pod" })
			}
			a := newArgoCD(t, w, s.namespace)
			for _, o := range s.objects {
				if !slices.Contains(workloads, o.GetKind()) { // a target without its namespace is not healthy
					annotate(o, syncWave, "-1")
				}
			}
			if err := a.sync(t, s.namespace, s.kinds(), with.sync...); err != nil {
				t.Fatal(err)
			}
			w.awaitLabels(t, s)
			a.checkInSync(t, s, with.diff(t, a)...)
			before := w.states(t, s, with.rewrites)
			if err := a.sync(t, s.namespace, s.kinds(), with.sync...); err != nil {
				t.Fatalf("second synchronization: %v", err)
			}
			w.awaitLabels(t, s)
			for kind, state := range w.states(t, s, with.rewrites) {
				if state != before[kind] {
					t.Errorf("%s: got %s after the second synchronization, want %s", kind, state, before[kind])
				}
			}
			a.checkInSync(t, s, with.diff(t, a)...)

			changed := s.kinds()
			for _, o := range changed {
				if o.GetKind() == "Deployment" {
					o.SetLabels(map[string]string{"team": "nuts"})
				}
			}
			if got := a.outOfSync(t, s, changed, with.diff(t, a)...); !slices.Equal(got, []string{"Deployment"}) {
				t.Errorf("after a change of the Deployment's manifest: got %q OutOfSync, want the Deployment", got)
			}

			// The FlinkDeployment is removed from the sources, then all.
			rest := s.kinds("Namespace", "DeploymentTarget", "ConfigMap", "Deployment", "Pod")
			if err := a.sync(t, s.namespace, rest, with.sync...); err != nil {
				t.Fatalf("prune: %v", err)
			}
			w.awaitGone(t, s.kinds("FlinkDeployment")...)
			a.deleteApplication(t, w, s)
		})
	}
	t.Run("one wave", func(t *testing.T) { // the workloads precede the target
		s := w.newSet(t)
		a := newArgoCD(t, w, s.namespace)
		if err := a.sync(t, s.namespace, s.kinds()); err == nil || !strings.Contains(err.Error(), "has no DeploymentTarget") {
			t.Errorf("got %v, want a denial", err)
		}
		if err := a.sync(t, s.namespace, s.kinds()); err != nil {
			t.Errorf("second synchronization: %v", err)
		}
	})
}

// checkInSync fails the test if an object of the set is OutOfSync.
func (a argoCD) checkInSync(t *testing.T, s set, options ...diff.Option) {
	t.Helper()
	if got := a.outOfSync(t, s, s.kinds(), options...); len(got) > 0 {
		t.Errorf("got %q OutOfSync, want none", got)
	}
}

// outOfSync compares objects with the live ones, and returns the kinds of those that differ.
func (a argoCD) outOfSync(t *testing.T, s set, objects []*unstructured.Unstructured, options ...diff.Option) (kinds []string) {
	t.Helper()
	pairs := a.pairs(t, s.namespace, objects)
	if slices.Contains(pairs.Live, nil) || slices.Contains(pairs.Target, nil) {
		t.Fatalf("got the live objects %v and the target objects %v, want pairs", pairs.Live, pairs.Target)
	}
	results, err := diff.DiffArray(pairs.Target, pairs.Live, append(options, diff.WithLogr(logr.Discard()))...)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results.Diffs {
		if r.Modified {
			kinds = append(kinds, pairs.Target[i].GetKind())
		}
	}
	return kinds
}

// deleteApplication deletes all objects by synchronizing none, and repeats it while an object is held.
func (a argoCD) deleteApplication(t *testing.T, w *world, s set) {
	t.Helper()
	eventually.OK(t, func() error { return a.sync(t, s.namespace, nil) })
	w.awaitGone(t, s.kinds("Deployment", "DeploymentTarget", "FlinkDeployment", "Pod", "Namespace")...)
}
