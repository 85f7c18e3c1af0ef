package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey/installed"
	"drey.dev/drey/webhook/verdict"
)

// scaleReport has the measurements of a run.
type scaleReport struct {
	settings scaleSettings
	took     time.Duration
	sizes    []sizeFigures
	replicas []footprint // of all replicas at the full size
	idle     idleFigures
	limits   limitFigures
	churns   []churnFigures
	repair   repairFigures
	stopped  leaderFigures // a leader change after the leader stopped
	killed   leaderFigures // likewise, after it was killed
}

// sizeFigures are the measurements of one replica at a size.
type sizeFigures struct {
	targets, pods int
	footprint
	received     int64 // bytes from the API server until it was ready and settled
	apiServer    float64
	apiServerCPU time.Duration // for its start
}

// idleFigures are the costs of all replicas without any change in the cluster.
type idleFigures struct {
	each                time.Duration
	apiServer, replicas time.Duration // CPU
	received            int64
}

// churnFigures are the measurements of a churn with a number of replicas.
type churnFigures struct {
	replicas       int // 0: without admission by drey
	pods           int
	each           time.Duration
	create         figures
	admission      []bucket
	events         float64       // of watches that the API server sent, on pods
	apiServer, cpu time.Duration // CPU of the API server, and of all replicas
	etcd           time.Duration
	received, lead int64 // bytes from the API server to all replicas, and to the leader
}

// limitFigures are what the API server does without drey, at the full size.
type limitFigures struct {
	churn   churnFigures
	patches figures // a read and a patch of the labels of a pod, with the CPU of the API server
}

// repairFigures are the measurements of the repair of pods without labels.
type repairFigures struct {
	took                       time.Duration // until no unlabeled pod was left
	gets, patches, events      float64       // requests to the API server, of a pod
	calls, statuses            float64       // of webhooks, and writes of the status of targets, of a pod
	apiServer, etcd, cpu, lead time.Duration // CPU; of all replicas, and of the leader
}

// leaderFigures are the measurements of a leader change during a churn.
type leaderFigures struct {
	took      time.Duration // until another replica leads
	create    figures
	unlabeled int // pods that drey did not label
}

// settleTime is the time from readiness until memory is measured.
const settleTime = 5 * time.Second

func (w *scaleWorld) run(ctx context.Context) (r scaleReport, err error) {
	r.settings = w.scaleSettings
	if err := w.seed.createTargets(ctx, 0, w.namespaces, w.namespaces); err != nil { // one in each namespace
		return r, err
	}
	first, err := w.startReplica(ctx)
	if err != nil {
		return r, err
	}
	if err := installed.InstallWebhooks(ctx, w.c, bundle.Defaults(), "https://"+w.balancer.Address()); err != nil {
		return r, fmt.Errorf("%w\n%s", err, first.Log())
	}
	var pod *unstructured.Unstructured
	if err := retry(ctx, func() (err error) { pod, err = w.seed.completePod(ctx); return err }); err != nil {
		return r, fmt.Errorf("create a pod: %w", err)
	}
	if pod.GetLabels()["system"] == "" {
		return r, fmt.Errorf("drey did not label the pod: %v", pod.GetLabels())
	}
	if err := w.stopReplica(first, false); err != nil {
		return r, err
	}
	targets, pods := w.namespaces, 0
	for _, size := range []struct{ targets, pods int }{{w.targets / 4, 0}, {w.targets, 0}, {w.targets, w.pods / 4}, {w.targets, w.pods}} {
		progress("%d targets, %d pods", size.targets, size.pods)
		if err := w.seed.createTargets(ctx, targets, size.targets, w.namespaces); err != nil {
			return r, err
		}
		if err := w.seed.createPods(ctx, pod, pods, size.pods, w.namespaces, true); err != nil {
			return r, err
		}
		targets, pods = max(targets, size.targets), size.pods
		f, err := w.measureSize(ctx)
		if err != nil {
			return r, err
		}
		f.targets, f.pods = targets, pods
		r.sizes = append(r.sizes, f)
	}
	progress("churn without drey")
	if r.limits, err = w.measureLimits(ctx, pods); err != nil {
		return r, err
	}
	for _, n := range []int{1, w.scaleSettings.replicas} {
		for len(w.replicas) < n {
			progress("replica %d of %d", len(w.replicas)+1, n)
			if _, err := w.startReplica(ctx); err != nil {
				return r, err
			}
		}
		if err := w.awaitQuiet(ctx); err != nil {
			return r, err
		}
		progress("churn with %d replicas", n)
		f, err := w.churn(ctx, pods, w.anyNamespace)
		if err != nil {
			return r, err
		}
		r.churns = append(r.churns, f)
	}
	for _, replica := range w.replicas {
		f := footprint{start: replica.start, cpu: replica.cpu}
		if err := f.read(replica.Drey); err != nil {
			return r, err
		}
		r.replicas = append(r.replicas, f)
	}
	progress("idle")
	if r.idle, err = w.measureIdle(ctx); err != nil {
		return r, err
	}
	progress("repair of %d pods", w.unlabeled)
	if r.repair, err = w.measureRepair(ctx, pod, pods); err != nil {
		return r, err
	}
	if len(w.replicas) < 3 {
		return r, nil // the last replica would lead
	}
	if err := w.awaitQuiet(ctx); err != nil {
		return r, err
	}
	progress("leader change")
	if r.stopped, err = w.changeLeader(ctx, 10*time.Second, false); err != nil {
		return r, err
	}
	r.killed, err = w.changeLeader(ctx, 30*time.Second, true)
	return r, err
}

func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, "  "+format+"\n", args...) }

// measureSize starts a replica, lets it settle, and stops it.
func (w *scaleWorld) measureSize(ctx context.Context) (f sizeFigures, err error) {
	before, err := cpuTime(w.c.PID(cluster.APIServer))
	if err != nil {
		return f, err
	}
	r, err := w.startReplica(ctx)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, w.stopReplica(r, false)) }()
	after, err := cpuTime(w.c.PID(cluster.APIServer))
	if err != nil {
		return f, err
	}
	time.Sleep(settleTime)
	f.footprint = footprint{start: r.start, cpu: r.cpu}
	if err := f.read(r.Drey); err != nil {
		return f, err
	}
	memory, err := processMemory(w.c.PID(cluster.APIServer))
	f.apiServer, f.apiServerCPU, f.received = memory["VmRSS"], after-before, r.meter.received.Load()
	return f, err
}

// usage is what processes have used so far.
type usage struct {
	apiServer, etcd, replicas time.Duration
	each                      []time.Duration // by each replica
	received, lead            int64           // by all replicas, and by the first, which leads
}

func (w *scaleWorld) usage() (u usage, err error) {
	if u.apiServer, err = cpuTime(w.c.PID(cluster.APIServer)); err != nil {
		return u, err
	}
	if u.etcd, err = cpuTime(w.c.PID(cluster.Etcd)); err != nil {
		return u, err
	}
	for i, r := range w.replicas {
		cpu, err := cpuTime(r.PID())
		if err != nil {
			return u, err
		}
		u.replicas, u.each = u.replicas+cpu, append(u.each, cpu)
		received := r.meter.received.Load()
		if u.received += received; i == 0 {
			u.lead = received
		}
	}
	return u, nil
}

// awaitQuiet waits until the replicas have done the work of their start, such as the scans of the
// leader: each uses less than a tenth of a CPU, of which the probes of the balancer take a part.
func (w *scaleWorld) awaitQuiet(ctx context.Context) error {
	const interval, limit = 3 * time.Second, 5 * time.Minute
	for began := time.Now(); ; {
		before, err := w.usage()
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(interval):
		}
		after, err := w.usage()
		if err != nil {
			return err
		}
		var most time.Duration
		for i, cpu := range after.each {
			most = max(most, cpu-before.each[i])
		}
		if most < interval/10 {
			return nil
		}
		if time.Since(began) > limit {
			return fmt.Errorf("the replicas still work %s after their start: one uses %s of CPU in %s", limit, most, interval)
		}
	}
}

// excludedNamespace is a namespace outside admission.
const excludedNamespace = "kube-system"

// anyNamespace returns the name of one of the namespaces.
func (w *scaleWorld) anyNamespace() string { return namespaceName(rand.IntN(w.namespaces)) }

// lives collects the lives of pods.
type lives struct {
	mu        sync.Mutex
	creates   []time.Duration
	unlabeled int
}

// live creates a pod, runs and deletes it.
func (w *scaleWorld) live(ctx context.Context, namespace string, to *lives) error {
	o := &unstructured.Unstructured{Object: flinkPod()}
	o.SetOwnerReferences(nil)
	start := time.Now()
	created, err := w.seed.api.Resource(pods).Namespace(namespace).Create(ctx, o, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	took := time.Since(start)
	to.mu.Lock()
	to.creates = append(to.creates, took)
	if created.GetLabels()["system"] == "" {
		to.unlabeled++
	}
	to.mu.Unlock()
	if created, err = w.seed.runPod(ctx, created); err != nil {
		return err
	}
	return w.seed.deletePod(ctx, created)
}

// figures returns the rate and the latency of the creates in a time.
func (l *lives) figures(passed time.Duration) figures {
	slices.Sort(l.creates)
	n := len(l.creates)
	return figures{perSecond: float64(n) / passed.Seconds(), p50: l.creates[n/2], p99: l.creates[n*99/100], calls: n}
}

// churn creates pods through the API server, runs and deletes them, beside a number of others. With
// replicas drey labels each, without them the namespaces are outside admission.
func (w *scaleWorld) churn(ctx context.Context, others int, namespace func() string) (f churnFigures, err error) {
	metricsBefore, err := w.apiServerMetrics(ctx)
	if err != nil {
		return f, err
	}
	before, err := w.usage()
	if err != nil {
		return f, err
	}
	began := time.Now()
	var all lives
	if _, err = measureAt(ctx, w.clients, w.rate, w.each, func() func() error {
		return func() error { return w.live(ctx, namespace(), &all) }
	}); err != nil {
		return f, err
	}
	passed := time.Since(began)
	time.Sleep(2 * time.Second) // the watches deliver the last events
	after, err := w.usage()
	if err != nil {
		return f, err
	}
	metricsAfter, err := w.apiServerMetrics(ctx)
	if err != nil {
		return f, err
	}
	f = churnFigures{
		replicas: len(w.replicas), pods: len(all.creates), each: passed, admission: minus(admissionBuckets(metricsAfter), admissionBuckets(metricsBefore)),
		events: watchEvents(metricsAfter) - watchEvents(metricsBefore), create: all.figures(passed),
		apiServer: after.apiServer - before.apiServer, etcd: after.etcd - before.etcd, cpu: after.replicas - before.replicas, received: after.received - before.received,
		lead: after.lead - before.lead,
	}
	return f, errors.Join(f.check(all.unlabeled), w.checkPods(ctx, others))
}

// check returns an error if the numbers of a churn contradict each other.
func (f churnFigures) check(unlabeled int) error {
	calls := 0
	if n := len(f.admission); n > 0 {
		calls = int(f.admission[n-1].count)
	}
	switch {
	case f.replicas == 0 && (unlabeled != f.pods || calls != 0):
		return fmt.Errorf("churn without drey: %d of %d pods have no labels, after %d calls of webhooks: want all, and no calls", unlabeled, f.pods, calls)
	case f.replicas > 0 && unlabeled > 0:
		return fmt.Errorf("churn with %d replicas: %d of %d pods without drey's labels", f.replicas, unlabeled, f.pods)
	case f.replicas > 0 && calls < f.pods:
		return fmt.Errorf("churn with %d replicas: %d calls of webhooks for %d pods", f.replicas, calls, f.pods)
	}
	return nil
}

// checkPods returns an error unless the cluster has a number of pods.
func (w *scaleWorld) checkPods(ctx context.Context, want int) error {
	n, err := w.countPods(ctx, "")
	if err != nil || n == want {
		return err
	}
	return fmt.Errorf("the cluster has %d pods, want %d", n, want)
}

// countPods returns the number of pods that a selector selects.
func (w *scaleWorld) countPods(ctx context.Context, selector string) (int, error) {
	n := 0
	for options := (metav1.ListOptions{LabelSelector: selector, Limit: 1000}); ; {
		list, err := w.seed.metadata.Resource(pods).List(ctx, options)
		if err != nil {
			return 0, err
		}
		n += len(list.Items)
		if options.Continue = list.Continue; options.Continue == "" {
			return n, nil
		}
	}
}

// measureLimits measures the API server without drey.
func (w *scaleWorld) measureLimits(ctx context.Context, others int) (f limitFigures, err error) {
	excluded := func() string { return excludedNamespace }
	if f.churn, err = w.churn(ctx, others, excluded); err != nil {
		return f, err
	}
	api := w.seed.api.Resource(pods).Namespace(excludedNamespace)
	var failed error
	f.patches, err = measureCPU(ctx, w.c.PID(cluster.APIServer), w.clients, w.each, func() func() error {
		o := &unstructured.Unstructured{Object: flinkPod()}
		o.SetOwnerReferences(nil)
		created, err := api.Create(ctx, o, metav1.CreateOptions{})
		failed = errors.Join(failed, err)
		n := 0
		return func() error {
			if err != nil {
				return err
			}
			if _, err := api.Get(ctx, created.GetName(), metav1.GetOptions{}); err != nil {
				return err
			}
			n++
			patch := fmt.Appendf(nil, `[{"op":"add","path":"/metadata/labels/repaired","value":"%d"}]`, n)
			_, err := w.seed.metadata.Resource(pods).Namespace(excludedNamespace).Patch(ctx, created.GetName(), types.JSONPatchType, patch, metav1.PatchOptions{})
			return err
		}
	})
	if err := errors.Join(err, failed); err != nil {
		return f, err
	}
	return f, api.DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}, metav1.ListOptions{})
}

// measureIdle measures the replicas without the probes of the balancer, 10 a second, each over a new
// connection: they cost more than the replicas do by themselves.
func (w *scaleWorld) measureIdle(ctx context.Context) (f idleFigures, err error) {
	for _, r := range w.replicas {
		w.balancer.Remove(r.backend)
	}
	before, err := w.usage()
	if err != nil {
		return f, err
	}
	f.each = 10 * time.Second
	select {
	case <-ctx.Done():
		return f, ctx.Err()
	case <-time.After(f.each):
	}
	after, err := w.usage()
	if err != nil {
		return f, err
	}
	f.apiServer, f.replicas, f.received = after.apiServer-before.apiServer, after.replicas-before.replicas, after.received-before.received
	for _, r := range w.replicas {
		w.balancer.Add(r.backend)
	}
	return f, retry(ctx, func() error {
		if n := w.balancer.ReadyBackends(); n < len(w.replicas) {
			return fmt.Errorf("%d of %d replicas are ready", n, len(w.replicas))
		}
		return nil
	})
}

// measureRepair writes pods without labels, and waits until drey has labeled all.
func (w *scaleWorld) measureRepair(ctx context.Context, pod *unstructured.Unstructured, first int) (f repairFigures, err error) {
	leader, err := w.leader(ctx)
	if err != nil {
		return f, err
	}
	usageOf := func() (all usage, lead time.Duration, metrics map[string]float64, err error) {
		if all, err = w.usage(); err != nil {
			return all, 0, nil, err
		}
		if lead, err = cpuTime(leader.PID()); err != nil {
			return all, 0, nil, err
		}
		metrics, err = w.apiServerMetrics(ctx)
		return all, lead, metrics, err
	}
	before, leadBefore, metricsBefore, err := usageOf()
	if err != nil {
		return f, err
	}
	metrics, err := scrape(leader.Metrics + "/metrics")
	if err != nil {
		return f, err
	}
	repaired := int(metrics["drey_repaired_pods_total"])
	began := time.Now()
	if err := w.seed.createPods(ctx, pod, first, first+w.unlabeled, w.namespaces, false); err != nil {
		return f, err
	}
	// The leader's counter: lists of thousands of pods would be a part of the API server's CPU time.
	for limit := 30*time.Second + time.Duration(w.unlabeled)*100*time.Millisecond; ; {
		metrics, err := scrape(leader.Metrics + "/metrics")
		if err != nil {
			return f, err
		}
		n := int(metrics["drey_repaired_pods_total"]) - repaired
		if n >= w.unlabeled {
			break
		}
		if time.Since(began) > limit {
			return f, fmt.Errorf("%d of %d pods were repaired after %s\n%s", n, w.unlabeled, limit, leader.Log())
		}
		time.Sleep(200 * time.Millisecond)
	}
	f.took = time.Since(began)
	after, leadAfter, metricsAfter, err := usageOf()
	if err != nil {
		return f, err
	}
	perPod := func(of func(map[string]float64) float64) float64 {
		return (of(metricsAfter) - of(metricsBefore)) / float64(w.unlabeled)
	}
	n := time.Duration(w.unlabeled)
	f.gets, f.patches, f.events = perPod(requests("pods", "", "GET")), perPod(requests("pods", "", "PATCH")), perPod(requests("events", "", "POST", "PATCH"))
	f.statuses = perPod(requests("deploymenttargets", "status", "PUT"))
	f.apiServer, f.etcd, f.cpu, f.lead = (after.apiServer-before.apiServer)/n, (after.etcd-before.etcd)/n, (after.replicas-before.replicas)/n, (leadAfter-leadBefore)/n
	f.calls = perPod(webhookCalls)
	if f.patches < 1 {
		return f, fmt.Errorf("%.2f patches for each of %d pods: want 1 at least", f.patches, w.unlabeled)
	}
	labeled, err := w.countPods(ctx, verdict.LabelSystem+"="+verdict.System+","+verdict.LabelPlatformNamespace)
	if err != nil {
		return f, err
	}
	if labeled != first+w.unlabeled {
		return f, fmt.Errorf("%d pods have drey's labels after the repair, want %d", labeled, first+w.unlabeled)
	}
	return f, nil
}

// changeLeader stops the leader during a churn.
func (w *scaleWorld) changeLeader(ctx context.Context, length time.Duration, kill bool) (f leaderFigures, err error) {
	leader, err := w.leader(ctx)
	if err != nil {
		return f, err
	}
	var all lives
	var load sync.WaitGroup
	var failed error
	began := time.Now()
	load.Go(func() {
		_, failed = measureAt(ctx, w.clients, w.rate, length, func() func() error {
			return func() error { return w.live(ctx, w.anyNamespace(), &all) }
		})
	})
	time.Sleep(length / 10)
	changed := time.Now()
	err = w.stopReplica(leader, kill)
	if err == nil {
		err = retry(ctx, func() error { _, err := w.leader(ctx); return err })
	}
	f.took = time.Since(changed)
	load.Wait()
	if err := errors.Join(err, failed); err != nil {
		return f, err
	}
	f.create, f.unlabeled = all.figures(time.Since(began)), all.unlabeled
	return f, nil
}

// leader returns the running replica that leads last.
func (w *scaleWorld) leader(context.Context) (*replica, error) {
	const leads = `msg=leading lease=drey`
	for _, r := range w.replicas {
		log := strings.ReplaceAll(r.Log(), `"`, "")
		if strings.Contains(log, leads+"\n") || strings.Contains(log, "msg:leading,lease:drey}") {
			return r, nil
		}
	}
	return nil, errors.New("no replica leads")
}
