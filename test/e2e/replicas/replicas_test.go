package replicas

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/test/framework/exchange"
	"drey.dev/drey/test/framework/podload"
)

const targets = "/api/v1/namespaces/default/deployment-targets"

// TestRESTExchangesReplicas plays the exchanges of registry/rest against one and three
// replicas. Each request goes to another replica.
func TestRESTExchangesReplicas(t *testing.T) {
	t.Parallel()
	files := exchange.Files(t, "../../../registry/rest/testdata")
	w := newWorld(t, 1)
	for _, replicas := range []int{1, 3} {
		for len(w.replicas) < replicas {
			w.start(t)
		}
		w.await(t, replicas)
		timeout := eventually.Timeout // reads may be from before another replica's write
		if replicas == 1 {
			timeout = 0 // read-your-writes
		}
		for _, file := range files {
			if filepath.Base(file) == "apitokens.http" { // not supported in the cluster
				continue
			}
			t.Run(fmt.Sprintf("%s with %d replicas", strings.TrimSuffix(filepath.Base(file), ".http"), replicas), func(t *testing.T) {
				(&exchange.Player{URL: w.url(), IgnoreKeyOrder: true, ConsistencyTimeout: timeout, NothingRuns: true}).Play(t, file)
			})
		}
	}
}

// TestAcknowledgedWritesSurviveKills kills replicas, the API server and etcd while clients
// write, and looks for each acknowledged write.
func TestAcknowledgedWritesSurviveKills(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	ctx, stop := context.WithTimeout(t.Context(), *chaos)
	defer stop()
	var (
		mu           sync.Mutex
		acknowledged []string
		retried      int
		writers      sync.WaitGroup
	)
	for writer := range 8 {
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				name := fmt.Sprintf("w%d-%d", writer, i)
				for tried := false; ctx.Err() == nil; tried = true {
					status, header, answer := call(t.Context(), http.MethodPost, w.url()+targets, targetBody(name, name))
					switch {
					case status == http.StatusCreated, status == http.StatusConflict && tried: // an earlier attempt took effect without a response
						mu.Lock()
						acknowledged = append(acknowledged, name)
						mu.Unlock()
					case status == 0, status == http.StatusServiceUnavailable && header.Get("Retry-After") != "", status == http.StatusTooManyRequests:
						mu.Lock()
						retried++
						mu.Unlock()
						time.Sleep(50 * time.Millisecond)
						continue
					default:
						t.Errorf("POST %s: got %d %s, want 201 or a retryable error", name, status, answer)
					}
					break
				}
			}
		})
	}
	kills := 0
	for ; ctx.Err() == nil; kills++ {
		switch kills % 5 {
		case 1:
			if err := w.RestartAPIServer(t.Context(), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		case 3:
			if err := w.RestartEtcd(t.Context(), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		default:
			r := w.replicas[rand.IntN(len(w.replicas))]
			if err := r.Kill(); err != nil {
				t.Fatal(err)
			}
			w.remove(r)
			w.start(t)
		}
		time.Sleep(time.Duration(rand.IntN(1000)) * time.Millisecond)
	}
	writers.Wait()
	w.await(t, 3)
	t.Logf("%d kills, %d writes acknowledged, %d attempts retried", kills, len(acknowledged), retried)
	if len(acknowledged) < 50 {
		t.Errorf("got %d acknowledged writes, want at least 50", len(acknowledged))
	}

	present := strings.Fields(w.MustKubectl(t, "", "get", "deploymenttargets.drey.dev", "-n", "default", "-o", "jsonpath={.items[*].metadata.name}"))
	slices.Sort(present)
	for _, name := range acknowledged {
		if _, ok := slices.BinarySearch(present, name); !ok {
			t.Errorf("got no target %q, whose creation was acknowledged", name)
		}
	}
	// Writes without a response may have taken effect; all replicas agree on them.
	for _, r := range w.replicas {
		eventually.OK(t, func() error {
			status, _, list := call(t.Context(), http.MethodGet, r.REST+targets, "")
			if n := strings.Count(list, `"kind":"DeploymentTarget",`); status != http.StatusOK || n != len(present) {
				return fmt.Errorf("a replica lists: got %d targets, status %d, want %d", n, status, len(present))
			}
			return nil
		})
	}
}

// TestAPIServerStalled stops the API server with SIGSTOP. Each replica serves reads, and
// answers writes with 503 and Retry-After.
func TestAPIServerStalled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	namespace := w.Namespace(t)
	if status, _, answer := call(t.Context(), http.MethodPost, w.url()+targets, targetBody("kept", namespace)); status != http.StatusCreated {
		t.Fatalf("POST: got %d %s, want 201", status, answer)
	}
	for _, r := range w.replicas {
		eventually.OK(t, func() error {
			if status, _, answer := call(t.Context(), http.MethodGet, r.REST+targets+"/kept", ""); status != http.StatusOK {
				return fmt.Errorf("%d %s", status, answer)
			}
			return nil
		})
	}
	server := w.PID(cluster.APIServer)
	if err := syscall.Kill(server, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	resumed := false
	resume := func() {
		if !resumed {
			resumed = true
			if err := syscall.Kill(server, syscall.SIGCONT); err != nil {
				t.Error(err)
			}
		}
	}
	defer resume()
	var writes sync.WaitGroup
	for began := time.Now(); time.Since(began) < *outage; time.Sleep(200 * time.Millisecond) {
		for _, r := range w.replicas {
			for _, path := range []string{targets, targets + "/kept"} {
				status, _, answer := call(t.Context(), http.MethodGet, r.REST+path, "")
				if status != http.StatusOK || !strings.Contains(answer, "kept") {
					t.Fatalf("GET %s: got %d: %s", path, status, answer)
				}
			}
		}
	}
	for _, r := range w.replicas {
		writes.Go(func() {
			status, header, answer := call(t.Context(), http.MethodPost, r.REST+targets, targetBody("later", "later"))
			if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || !strings.Contains(answer, "ry again") {
				t.Errorf("POST: got %d %v: %s, want 503 with Retry-After", status, header, answer)
			}
		})
	}
	writes.Wait()
	resume()
	eventually.OK(t, func() error {
		status, _, answer := call(t.Context(), http.MethodPut, w.url()+targets+"/later", targetBody("later", "later"))
		if status != http.StatusCreated && status != http.StatusOK {
			return fmt.Errorf("%d %s", status, answer)
		}
		return nil
	})
	w.await(t, 2)
}

const flinkPod = `{apiVersion: v1, kind: Pod, metadata: {name: %s, labels: {app: my-job, component: taskmanager, type: flink-native-kubernetes}}, spec: {containers: [{name: flink-main-container, image: "flink:2.2"}]}}
---
`

// TestAllReplicasDown creates 200 Flink pods while no replica runs: the policy admits them
// in a registered namespace only, and drey labels them once it is back.
func TestAllReplicasDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	registered, other := w.Namespace(t), w.Namespace(t)
	if status, _, answer := call(t.Context(), http.MethodPost, w.url()+targets, targetBody("t", registered)); status != http.StatusCreated {
		t.Fatalf("POST: got %d %s, want 201", status, answer)
	}
	eventually.OK(t, func() error { // until the policy and the caBundle are in effect
		if out, err := w.RunKubectl(t, fmt.Sprintf(flinkPod, "x"), "create", "-n", other, "-f", "-"); err == nil {
			w.MustKubectl(t, "", "delete", "pod", "x", "-n", other, "--force")
			return fmt.Errorf("got %s, want a denial", out)
		}
		return nil
	})
	for _, r := range slices.Clone(w.replicas) {
		if err := r.Kill(); err != nil {
			t.Fatal(err)
		}
		w.remove(r)
	}
	const n = 200
	var all strings.Builder
	for i := range n {
		fmt.Fprintf(&all, flinkPod, fmt.Sprintf("my-job-taskmanager-1-%d", i))
	}
	began := time.Now()
	w.MustKubectl(t, all.String(), "create", "-n", registered, "-f", "-")
	t.Logf("%d pods created in %s without drey", n, time.Since(began).Round(time.Millisecond))
	if out, err := w.RunKubectl(t, fmt.Sprintf(flinkPod, "x"), "create", "-n", other, "-f", "-"); err == nil || !strings.Contains(out, "drey-gate") || !strings.Contains(out, "kubectl apply -f -") {
		t.Errorf("in a namespace without a target: got %v %s, want the denial of drey-gate", err, out)
	}
	time.Sleep(time.Until(began.Add(*outage)))

	w.start(t)
	restarted := time.Now()
	eventually.OK(t, func() error {
		found, err := w.client.CoreV1().Pods(registered).List(t.Context(), metav1.ListOptions{LabelSelector: "system=ververica-platform,vvpNamespace=default"})
		if err == nil && len(found.Items) != n {
			err = fmt.Errorf("got %d labeled pods, want %d", len(found.Items), n)
		}
		return err
	})
	t.Logf("all labeled %s after the restart", time.Since(restarted).Round(100*time.Millisecond))
}

// TestLeaderFailover stops the leader, which releases its Lease, and kills one, whose Lease
// expires. Another replica becomes the leader.
func TestLeaderFailover(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	leader := func() *replica {
		for _, r := range w.replicas {
			if strings.Contains(r.Log(), "msg=leading lease=drey\n") {
				return r
			}
		}
		return nil
	}
	for _, c := range []struct {
		how      string
		end      func(*replica) error
		released bool // its Lease, which else expires after 15 s
	}{
		{"stops", func(r *replica) error { return r.Stop() }, true},
		{"is killed", func(r *replica) error { return r.Kill() }, false},
	} {
		eventually.OK(t, func() error {
			if leader() == nil {
				return errors.New("got no leader")
			}
			return nil
		})
		old := leader()
		holder := w.leaseHolder(t)
		if err := c.end(old); err != nil {
			t.Fatal(err)
		}
		if c.released && w.leaseHolder(t) == holder {
			t.Errorf("the leader %s: its Lease is not released", c.how)
		}
		w.remove(old)
		began := time.Now()
		eventually.OK(t, func() error {
			if leader() == nil {
				return fmt.Errorf("got no leader after the leader %s", c.how)
			}
			return nil
		})
		t.Logf("after the leader %s, another replica leads within %s", c.how, time.Since(began).Round(100*time.Millisecond))
		w.start(t)
	}
}

// leaseHolder returns the holder of the leader's Lease.
func (w *world) leaseHolder(t *testing.T) string {
	t.Helper()
	lease, err := w.client.CoordinationV1().Leases("drey-system").Get(t.Context(), "drey", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return *lease.Spec.HolderIdentity
}

// TestRollingRestart replaces all replicas as a Deployment does, with maxSurge 1 and
// maxUnavailable 0, to other flags and back, and updates the webhook configuration. No call
// may fail with the default --shutdown-delay.
func TestRollingRestart(t *testing.T) {
	const replicas = 3
	w := newWorldWithDelay(t, replicas, 10*time.Second)
	w.failClosed(t)
	namespace := w.Namespace(t)
	if status, _, answer := call(t.Context(), http.MethodPost, w.url()+targets, targetBody("t", namespace)); status != http.StatusCreated {
		t.Fatalf("POST: got %d %s, want 201", status, answer)
	}
	awaitLabeled(t, w, namespace)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	restarted := make(chan struct{})
	load := podload.Options{Config: w.Config(), Namespace: namespace, Rate: *rate, Label: "vvpNamespace", For: time.Hour, Until: restarted}
	var report podload.Result
	var errLoad error
	done := make(chan struct{})
	go func() {
		defer close(done)
		report, errLoad = podload.Run(ctx, load)
	}()
	began := time.Now()
	for round := range *rounds {
		// An upgrade and its rollback, as far as a flag makes a version.
		flags := []string{"--mode", []string{"warn", "enforce"}[round%2]}
		w.reconfigure(t, int32(29+round%2))
		for _, old := range slices.Clone(w.replicas) {
			w.start(t, flags...)
			w.await(t, replicas+1)
			if err := old.Stop(); err != nil {
				t.Error(err)
			}
			w.remove(old)
		}
	}
	close(restarted)
	<-done
	if errLoad != nil {
		t.Fatal(errLoad)
	}
	t.Logf("%d restarts in %s: %s", *rounds*replicas, time.Since(began).Round(time.Second), report)
	if report.Failed > 0 || report.Unlabeled > 0 {
		t.Errorf("got %d failed calls and %d unlabeled pods: %s", report.Failed, report.Unlabeled, strings.Join(report.Errors, "\n"))
	}
	if report.Created < 100 {
		t.Errorf("got %d created pods, want at least 100", report.Created)
	}
}
