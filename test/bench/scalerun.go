package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey/installed"
)

// scaleReport has the measurements of a run.
type scaleReport struct {
	settings scaleSettings
	took     time.Duration
	sizes    []sizeFigures
	replicas []footprint // of all replicas at the full size
	idle     idleFigures
	churns   []churnFigures
	repaired time.Duration // until no unlabeled pod was left
	failover failoverFigures
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
	replicas       int
	pods           int
	each           time.Duration
	create         figures
	admission      []bucket
	apiServer, cpu time.Duration // CPU of the API server, and of all replicas
	etcd           time.Duration
	received       int64 // bytes from the API server to all replicas
}

// failoverFigures are the times until another replica leads.
type failoverFigures struct{ stopped, killed time.Duration }

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
		f, err := w.churn(ctx)
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
	if r.repaired, err = w.measureRepair(ctx, pod, pods); err != nil {
		return r, err
	}
	progress("leader change")
	r.failover, err = w.measureFailover(ctx)
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
	received                  int64
}

func (w *scaleWorld) usage() (u usage, err error) {
	if u.apiServer, err = cpuTime(w.c.PID(cluster.APIServer)); err != nil {
		return u, err
	}
	if u.etcd, err = cpuTime(w.c.PID(cluster.Etcd)); err != nil {
		return u, err
	}
	for _, r := range w.replicas {
		cpu, err := cpuTime(r.PID())
		if err != nil {
			return u, err
		}
		u.replicas += cpu
		u.received += r.meter.received.Load()
	}
	return u, nil
}

// awaitQuiet waits until the replicas have done the work of their start, such as the scans of the
// leader: they use less than a tenth of a CPU.
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
		if after.replicas-before.replicas < interval/10 {
			return nil
		}
		if time.Since(began) > limit {
			return fmt.Errorf("the replicas still work %s after their start: they use %s of CPU in %s", limit, after.replicas-before.replicas, interval)
		}
	}
}

// churn creates pods through the API server, runs and deletes them.
func (w *scaleWorld) churn(ctx context.Context) (f churnFigures, err error) {
	buckets, err := w.admissionBuckets(ctx)
	if err != nil {
		return f, err
	}
	before, err := w.usage()
	if err != nil {
		return f, err
	}
	began := time.Now()
	creates := make(chan time.Duration, 1<<20)
	_, err = measureAt(ctx, w.clients, w.rate, w.each, func() func() error {
		return func() error {
			o := &unstructured.Unstructured{Object: flinkPod()}
			o.SetOwnerReferences(nil)
			start := time.Now()
			created, err := w.seed.api.Resource(pods).Namespace(namespaceName(rand.IntN(w.namespaces))).Create(ctx, o, metav1.CreateOptions{})
			if err != nil {
				return err
			}
			creates <- time.Since(start)
			if created.GetLabels()["system"] == "" {
				return fmt.Errorf("pod without drey's labels: %v", created.GetLabels())
			}
			if created, err = w.seed.runPod(ctx, created); err != nil {
				return err
			}
			return w.seed.deletePod(ctx, created)
		}
	})
	if err != nil {
		return f, err
	}
	passed := time.Since(began)
	time.Sleep(2 * time.Second) // the watches deliver the last events
	after, err := w.usage()
	if err != nil {
		return f, err
	}
	close(creates)
	var all []time.Duration
	for d := range creates {
		all = append(all, d)
	}
	slices.Sort(all)
	now, err := w.admissionBuckets(ctx)
	if err != nil {
		return f, err
	}
	return churnFigures{
		replicas: len(w.replicas), pods: len(all), each: passed, admission: minus(now, buckets),
		create:    figures{perSecond: float64(len(all)) / passed.Seconds(), p50: all[len(all)/2], p99: all[len(all)*99/100]},
		apiServer: after.apiServer - before.apiServer, etcd: after.etcd - before.etcd, cpu: after.replicas - before.replicas, received: after.received - before.received,
	}, nil
}

func (w *scaleWorld) measureIdle(ctx context.Context) (f idleFigures, err error) {
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
	f.apiServer, f.replicas, f.received = after.apiServer-before.apiServer, after.replicas-before.replicas, after.received-before.received
	return f, err
}

// measureRepair writes pods without labels, and waits until drey has labeled all.
func (w *scaleWorld) measureRepair(ctx context.Context, pod *unstructured.Unstructured, first int) (time.Duration, error) {
	if err := w.seed.createPods(ctx, pod, first, first+w.unlabeled, w.namespaces, false); err != nil {
		return 0, err
	}
	client, err := w.client()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	for limit := 30*time.Second + time.Duration(w.unlabeled)*100*time.Millisecond; ; {
		list, err := client.CoreV1().Pods("").List(ctx, metav1.ListOptions{LabelSelector: "!system", ResourceVersion: "0"})
		if err != nil {
			return 0, err
		}
		if len(list.Items) == 0 {
			return time.Since(began), nil
		}
		if time.Since(began) > limit {
			return 0, fmt.Errorf("%d of %d pods have no labels after %s", len(list.Items), w.unlabeled, limit)
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// measureFailover stops the leader, and then kills the next one.
func (w *scaleWorld) measureFailover(ctx context.Context) (f failoverFigures, err error) {
	if len(w.replicas) < 3 {
		return f, nil
	}
	for _, c := range []struct {
		kill bool
		took *time.Duration
	}{{false, &f.stopped}, {true, &f.killed}} {
		leader, err := w.leader(ctx)
		if err != nil {
			return f, err
		}
		began := time.Now()
		if err := w.stopReplica(leader, c.kill); err != nil {
			return f, err
		}
		if err := retry(ctx, func() error { _, err := w.leader(ctx); return err }); err != nil {
			return f, err
		}
		*c.took = time.Since(began)
	}
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
