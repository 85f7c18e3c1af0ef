package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// bucket is a bucket of a histogram of Prometheus.
type bucket struct {
	le    float64 // seconds
	count float64 // cumulative
}

// apiServerMetrics returns the samples of the API server.
func (w *scaleWorld) apiServerMetrics(ctx context.Context) (map[string]float64, error) {
	client, err := w.client()
	if err != nil {
		return nil, err
	}
	text, err := client.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	return samples(text), nil
}

// requests returns a function that sums the requests for a resource or its subresource by some verbs.
func requests(resource, subresource string, verbs ...string) func(map[string]float64) float64 {
	return func(samples map[string]float64) (sum float64) {
		for name, value := range samples {
			if strings.HasPrefix(name, "apiserver_request_total{") && strings.Contains(name, `resource="`+resource+`"`) && strings.Contains(name, `subresource="`+subresource+`"`) &&
				slices.ContainsFunc(verbs, func(verb string) bool { return strings.Contains(name, `verb="`+verb+`"`) }) {
				sum += value
			}
		}
		return sum
	}
}

// watchEvents returns the number of events on pods that the API server sent to its clients.
func watchEvents(samples map[string]float64) (sum float64) {
	for name, value := range samples {
		if strings.HasPrefix(name, "apiserver_watch_events_total{") && strings.Contains(name, `resource="pods"`) {
			sum += value
		}
	}
	return sum
}

// webhookCalls returns the number of calls of drey's webhooks, for all resources.
func webhookCalls(samples map[string]float64) (sum float64) {
	for name, value := range samples {
		if strings.HasPrefix(name, "apiserver_admission_webhook_admission_duration_seconds_count{") && strings.Contains(name, `.drey.dev"`) {
			sum += value
		}
	}
	return sum
}

// admissionBuckets returns the histogram of the API server of the calls of drey's webhooks for pods.
func admissionBuckets(samples map[string]float64) []bucket {
	sums := map[float64]float64{}
	for name, value := range samples {
		if !strings.HasPrefix(name, "apiserver_admission_webhook_admission_duration_seconds_bucket{") || !strings.Contains(name, `.drey.dev"`) || !strings.Contains(name, "pods") {
			continue
		}
		_, le, _ := strings.Cut(name, `le="`)
		le, _, _ = strings.Cut(le, `"`)
		limit, err := strconv.ParseFloat(le, 64)
		if err != nil {
			continue
		}
		sums[limit] += value
	}
	var all []bucket
	for le, count := range sums {
		all = append(all, bucket{le, count})
	}
	slices.SortFunc(all, func(a, b bucket) int { return cmp.Compare(a.le, b.le) })
	return all
}

// minus returns the histogram of what happened after before.
func minus(after, before []bucket) []bucket {
	was := map[float64]float64{}
	for _, b := range before {
		was[b.le] = b.count
	}
	all := slices.Clone(after)
	for i := range all {
		all[i].count -= was[all[i].le]
	}
	return all
}

// quantile returns the upper limit of the bucket that a quantile is in.
func quantile(all []bucket, q float64) string {
	if len(all) == 0 || all[len(all)-1].count == 0 {
		return "-"
	}
	for _, b := range all {
		if b.count >= q*all[len(all)-1].count {
			if math.IsInf(b.le, 1) {
				return "more"
			}
			return fmt.Sprintf("%g ms", b.le*1000)
		}
	}
	return "-"
}

// fit returns the constant and the coefficients of targets and pods that fit a figure best: least
// squares by the normal equations.
func fit(sizes []sizeFigures, of func(sizeFigures) float64) (constant, target, pod float64) {
	var a [3][4]float64
	for _, s := range sizes {
		x := [3]float64{1, float64(s.targets) / 1e3, float64(s.pods) / 1e3}
		for i := range x {
			for j := range x {
				a[i][j] += x[i] * x[j]
			}
			a[i][3] += x[i] * of(s)
		}
	}
	for i := range a {
		if a[i][i] == 0 {
			continue // no size has any
		}
		for j := range a {
			if j == i {
				continue
			}
			factor := a[j][i] / a[i][i]
			for k := range a[j] {
				a[j][k] -= factor * a[i][k]
			}
		}
	}
	solve := func(i int) float64 {
		if a[i][i] == 0 {
			return 0
		}
		return a[i][3] / a[i][i]
	}
	return solve(0), solve(1) / 1e3, solve(2) / 1e3
}

func mib(bytes int64) string { return fmt.Sprintf("%.1f", float64(bytes)/(1<<20)) }

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// print writes the tables.
func (r scaleReport) print(to io.Writer) {
	s := r.settings
	fmt.Fprintf(to, "%d namespaces, up to %d targets and %d pods of 10 KB, %d replicas. Measured in %s.\n", s.namespaces, s.targets, s.pods, s.replicas, r.took.Round(time.Second))
	fmt.Fprint(to, "\n## One replica by size\n\nTargets and pods are written to etcd past the API server; at each size a new replica starts.\n\n"+
		"| targets | pods | start | CPU of the start | API server's CPU for it | received | live heap | anonymous memory | API server's memory |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, f := range r.sizes {
		fmt.Fprintf(to, "| %d | %d | %s | %s | %s | %s MiB | %.1f MiB | %.1f MiB | %.0f MiB |\n", f.targets, f.pods, seconds(f.start), seconds(f.cpu), seconds(f.apiServerCPU), mib(f.received), f.heap, f.anonymous, f.apiServer)
	}
	fmt.Fprintf(to, "\n## Churn\n\nEach pod is created with admission, becomes ready by a patch of its status, and is deleted, at up to %d pods/s. 0 replicas: the\n"+
		"limit of the API server, without drey and outside its admission. Events are those on pods that the API server sends to watches. Kubernetes\n"+
		"1.37 compresses watches that begin with a list, those of informers, and not that of repair, in the leader.\n\n"+
		"| replicas | pods/s | of the limit | create p50 | p99 | webhook p99, in the API server | API server's CPU per pod | etcd's | a replica's | received by the leader per pod | by another replica | events per pod |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n", s.rate)
	for _, f := range append([]churnFigures{r.limits.churn}, r.churns...) {
		n, replicas := time.Duration(max(f.pods, 1)), time.Duration(max(f.replicas, 1))
		fmt.Fprintf(to, "| %d | %.0f | %.2f | %s | %s | %s | %s | %s | %s | %.1f KiB | %.1f KiB | %.1f |\n", f.replicas, f.create.perSecond, f.create.perSecond/r.limits.churn.create.perSecond, short(f.create.p50), short(f.create.p99), quantile(f.admission, 0.99),
			short(f.apiServer/n), short(f.etcd/n), short(f.cpu/n/replicas), float64(f.lead)/float64(n)/1024, float64(f.received-f.lead)/float64(n)/float64(max(replicas-1, 1))/1024, f.events/float64(n))
	}
	fmt.Fprintf(to, "\n## All replicas\n\nAfter the churn, at %d targets and %d pods; the first leads.\n\n| replica | start | CPU of the start | live heap | anonymous memory | RSS |\n|---|---|---|---|---|---|\n", s.targets, s.pods)
	for i, f := range r.replicas {
		fmt.Fprintf(to, "| %d | %s | %s | %.1f MiB | %.1f MiB | %.0f MiB |\n", i+1, seconds(f.start), seconds(f.cpu), f.heap, f.anonymous, f.rss)
	}
	fmt.Fprintf(to, "\nWithout changes in the cluster and without probes, %d replicas use %s of CPU and receive %s KiB in %s; the API server uses %s.\n", s.replicas, short(r.idle.replicas), fmt.Sprint(r.idle.received>>10), seconds(r.idle.each), short(r.idle.apiServer))
	f := r.repair
	perSecond := float64(s.unlabeled) / f.took.Seconds()
	fmt.Fprintf(to, "\n## Repair\n\n%d pods without labels: all have them after %s.\n\n| figure | measured | limit |\n|---|---|---|\n", s.unlabeled, seconds(f.took))
	fmt.Fprintf(to, "| pods/s | %.0f | 200, drey's rate; %.0f, reads with a patch of labels by %d clients without drey |\n", perSecond, r.limits.patches.perSecond, s.clients)
	fmt.Fprintf(to, "| requests per pod | %.2f reads, %.2f patches, %.2f events, %.2f writes of a target's status | 1 read, 1 patch |\n", f.gets, f.patches, f.events, f.statuses)
	fmt.Fprintf(to, "| calls of webhooks per pod | %.2f | 1: the patch sets an identity, which drey validates as for each user |\n", f.calls)
	fmt.Fprintf(to, "| CPU per pod | API server %s, etcd %s, leader %s, all replicas %s | API server %s, for a read and a patch without drey |\n", short(f.apiServer), short(f.etcd), short(f.lead), short(f.cpu), short(r.limits.patches.cpu))
	if r.killed.took > 0 {
		fmt.Fprint(to, "\n## Leader change\n\nDuring a churn as above, without a shutdown delay. A pod has no labels if its call was at the replica that ended; repair labels it if it\n"+
			"stays.\n\n"+
			"| the leader | another leads after | limit | pods/s | create p99 | pods without labels |\n|---|---|---|---|---|---|\n")
		for _, c := range []struct {
			name, limit string
			leaderFigures
		}{{"stops", "2 s, the retry period", r.stopped}, {"is killed", "15 s of its Lease, and 2 s", r.killed}} {
			fmt.Fprintf(to, "| %s | %s | %s | %.0f | %s | %d of %d |\n", c.name, seconds(c.took), c.limit, c.create.perSecond, short(c.create.p99), c.unlabeled, c.create.calls)
		}
	}
	r.printFit(to)
}

// printFit writes the costs as lines, and what they are for a million.
func (r scaleReport) printFit(to io.Writer) {
	fmt.Fprint(to, "\n## The cost of one more\n\nLeast squares over the sizes above: constant + targets × a + pods × b.\n\n"+
		"| of a replica | constant | a target | a pod | 1,000,000 targets and 100,000 pods |\n|---|---|---|---|---|\n")
	for _, row := range []struct {
		name, unit, small string
		scale             float64 // small units in a unit
		of                func(sizeFigures) float64
	}{
		{"live heap", "MiB", "B", 1 << 20, func(f sizeFigures) float64 { return f.heap }},
		{"anonymous memory", "MiB", "B", 1 << 20, func(f sizeFigures) float64 { return f.anonymous }},
		{"received at the start", "MiB", "B", 1 << 20, func(f sizeFigures) float64 { return float64(f.received) / (1 << 20) }},
		{"CPU of the start", "s", "µs", 1e6, func(f sizeFigures) float64 { return f.cpu.Seconds() }},
		{"API server's CPU for it", "s", "µs", 1e6, func(f sizeFigures) float64 { return f.apiServerCPU.Seconds() }},
	} {
		constant, target, pod := fit(r.sizes, row.of)
		fmt.Fprintf(to, "| %s | %.1f %s | %.0f %s | %.0f %s | %.0f %s |\n", row.name, constant, row.unit, target*row.scale, row.small, pod*row.scale, row.small, constant+1e6*target+1e5*pod, row.unit)
	}
	if len(r.churns) < 2 || r.churns[1].replicas == r.churns[0].replicas {
		return
	}
	one, all := r.churns[0], r.churns[1]
	more := time.Duration(all.replicas - one.replicas)
	perPod := func(f churnFigures) time.Duration { return f.apiServer / time.Duration(max(f.pods, 1)) }
	fmt.Fprintf(to, "\nOne more replica costs the API server %s of CPU per pod of the churn.\n", short((perPod(all)-perPod(one))/more))
}

// write writes the page.
func (r scaleReport) write(path string) error {
	var b strings.Builder
	s := r.settings
	fmt.Fprintf(&b, scaleIntroduction, fmt.Sprintf("bin/bench scale -namespaces %d -targets %d -pods %d -replicas %d -unlabeled %d -rate %d -clients %d -each %s", s.namespaces, s.targets, s.pods, s.replicas, s.unlabeled, s.rate, s.clients, s.each))
	r.print(&b)
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

const scaleIntroduction = `# Scale

How drey's costs grow with the cluster, by a simulation on a real control plane: etcd, kube-apiserver and replicas of drey behind a
load balancer, all on one machine with two cores. There is no kubelet. ` + "`make bench-scale`" + ` writes this page. The figures are of one run of

` + "```shell" + `
%s
` + "```" + `

Times depend on the machine and on what else it runs; bytes and CPU do so less.

`
