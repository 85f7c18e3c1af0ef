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

// patience is how long a replica may lag behind what another wrote. It is
// milliseconds, but for a machine that has much else to do.
const patience = 5 * time.Second

// TestRESTExchangesReplicas, however many replicas serve it. Each request goes to
// another of them.
func TestRESTExchangesReplicas(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../../registry/rest/testdata/*.http")
	if err != nil || len(files) == 0 {
		t.Fatalf("no exchanges found: %v", err)
	}
	w := newWorld(t, 1)
	for _, replicas := range []int{1, 3} {
		for len(w.replicas) < replicas {
			w.start(t)
		}
		w.await(t, replicas)
		lag := patience
		if replicas == 1 {
			lag = 0 // who has written reads it
		}
		for _, file := range files {
			if filepath.Base(file) == "apitokens.http" { // the cluster has tokens of its own
				continue
			}
			t.Run(fmt.Sprintf("%s by %d", strings.TrimSuffix(filepath.Base(file), ".http"), replicas), func(t *testing.T) {
				(&exchange.Player{URL: w.url(), IgnoreKeyOrder: true, ConsistencyTimeout: lag}).Play(t, file)
			})
		}
	}
}

// TestAcknowledgedWritesSurviveKills while replicas, the API server and etcd are killed
// under clients that write.
func TestAcknowledgedWritesSurviveKills(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	ctx, stop := context.WithTimeout(t.Context(), *chaos)
	defer stop()
	var (
		mu           sync.Mutex
		acknowledged []string
		late         int
		writers      sync.WaitGroup
	)
	for writer := range 8 {
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				name := fmt.Sprintf("w%d-%d", writer, i)
				for tried := false; ctx.Err() == nil; tried = true {
					status, header, answer := call(t.Context(), http.MethodPost, w.url()+targets, targetBody(name, name))
					switch {
					case status == http.StatusCreated, status == http.StatusConflict && tried: // an attempt before was not answered, and took place
						mu.Lock()
						acknowledged = append(acknowledged, name)
						mu.Unlock()
					case status == 0, status == http.StatusServiceUnavailable && header.Get("Retry-After") != "", status == http.StatusTooManyRequests:
						mu.Lock()
						late++
						mu.Unlock()
						time.Sleep(50 * time.Millisecond)
						continue
					default:
						t.Errorf("POST %s answers %d: %s", name, status, answer)
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
			w.gone(r)
			w.start(t)
		}
		time.Sleep(time.Duration(rand.IntN(1000)) * time.Millisecond)
	}
	writers.Wait()
	w.await(t, 3)
	t.Logf("%d kills, %d writes acknowledged, %d attempts put off", kills, len(acknowledged), late)
	if len(acknowledged) < 50 {
		t.Error("too few writes to tell")
	}

	there := strings.Fields(w.MustKubectl(t, "", "get", "deploymenttargets.drey.dev", "-n", "default", "-o", "jsonpath={.items[*].metadata.name}"))
	slices.Sort(there)
	for _, name := range acknowledged {
		if _, ok := slices.BinarySearch(there, name); !ok {
			t.Errorf("%s was acknowledged, and is lost", name)
		}
	}
	// What was not answered may be there or not; for all alike.
	for _, r := range w.replicas {
		eventually.OK(t, 20*time.Second, func() error {
			status, _, list := call(t.Context(), http.MethodGet, r.REST+targets, "")
			if n := strings.Count(list, `"kind":"DeploymentTarget",`); status != http.StatusOK || n != len(there) {
				return fmt.Errorf("a replica lists %d targets, with status %d; the cluster has %d", n, status, len(there))
			}
			return nil
		})
	}
}

// TestAPIServerStalled every replica goes on reading, and says of writes that
// they have to wait.
func TestAPIServerStalled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	namespace := w.Namespace(t)
	if status, _, answer := call(t.Context(), http.MethodPost, w.url()+targets, targetBody("kept", namespace)); status != http.StatusCreated {
		t.Fatal(status, answer)
	}
	for _, r := range w.replicas {
		eventually.OK(t, 10*time.Second, func() error {
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
				asked := time.Now()
				status, _, answer := call(t.Context(), http.MethodGet, r.REST+path, "")
				if status != http.StatusOK || !strings.Contains(answer, "kept") || time.Since(asked) > 8*time.Second {
					t.Fatalf("GET %s: %d after %s: %s", path, status, time.Since(asked), answer)
				}
			}
		}
	}
	for _, r := range w.replicas {
		writes.Go(func() {
			asked := time.Now()
			status, header, answer := call(t.Context(), http.MethodPost, r.REST+targets, targetBody("later", "later"))
			if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || !strings.Contains(answer, "ry again") || time.Since(asked) > 25*time.Second {
				t.Errorf("POST: %d %v after %s: %s", status, header, time.Since(asked), answer)
			}
		})
	}
	writes.Wait()
	resume()
	eventually.OK(t, 60*time.Second, func() error {
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

// TestAllReplicasDown 200 pods come where they may, and none where not; then all
// of them are labeled.
func TestAllReplicasDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	registered, other := w.Namespace(t), w.Namespace(t)
	if status, _, answer := call(t.Context(), http.MethodPost, w.url()+targets, targetBody("t", registered)); status != http.StatusCreated {
		t.Fatal(status, answer)
	}
	eventually.OK(t, 10*time.Second, func() error { // the API server learns of a policy, and of whom to trust, within a second or so
		if out, err := w.RunKubectl(t, fmt.Sprintf(flinkPod, "x"), "create", "--dry-run=server", "-n", other, "-f", "-"); err == nil {
			return fmt.Errorf("let in: %s", out)
		}
		return nil
	})
	for _, r := range slices.Clone(w.replicas) {
		if err := r.Kill(); err != nil {
			t.Fatal(err)
		}
		w.gone(r)
	}
	const n = 200
	var all strings.Builder
	for i := range n {
		fmt.Fprintf(&all, flinkPod, fmt.Sprintf("my-job-taskmanager-1-%d", i))
	}
	began := time.Now()
	w.MustKubectl(t, all.String(), "create", "-n", registered, "-f", "-")
	t.Logf("%d pods made in %s without drey", n, time.Since(began).Round(time.Millisecond))
	if out, err := w.RunKubectl(t, fmt.Sprintf(flinkPod, "x"), "create", "-n", other, "-f", "-"); err == nil || !strings.Contains(out, "drey-gate") || !strings.Contains(out, "kubectl apply -f -") {
		t.Errorf("where there is no target: %v %s", err, out)
	}
	time.Sleep(time.Until(began.Add(*outage)))

	w.start(t)
	back := time.Now()
	eventually.OK(t, 60*time.Second, func() error {
		found, err := w.client.CoreV1().Pods(registered).List(t.Context(), metav1.ListOptions{LabelSelector: "system=ververica-platform,vvpNamespace=default"})
		if err == nil && len(found.Items) != n {
			err = fmt.Errorf("%d of %d pods are labeled", len(found.Items), n)
		}
		return err
	})
	t.Logf("all labeled %s after drey was back", time.Since(back).Round(100*time.Millisecond))
}

// TestLeaderFailover when the leader is killed, and when it is asked to stop.
func TestLeaderFailover(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	leader := func() *replica {
		for _, r := range w.replicas {
			if strings.Contains(r.Log(), "this process leads") {
				return r
			}
		}
		return nil
	}
	for _, c := range []struct {
		how    string
		end    func(*replica) error
		within time.Duration
	}{
		{"is asked to stop", func(r *replica) error { return r.Stop() }, 14 * time.Second}, // it gives up its Lease
		{"is killed", func(r *replica) error { return r.Kill() }, 40 * time.Second},        // its Lease holds for 15 s
	} {
		eventually.OK(t, 40*time.Second, func() error {
			if leader() == nil {
				return errors.New("nobody leads")
			}
			return nil
		})
		old := leader()
		if err := c.end(old); err != nil {
			t.Fatal(err)
		}
		w.gone(old)
		began := time.Now()
		eventually.OK(t, c.within, func() error {
			if leader() == nil {
				return fmt.Errorf("nobody leads after the leader %s", c.how)
			}
			return nil
		})
		t.Logf("after the leader %s another leads within %s", c.how, time.Since(began).Round(100*time.Millisecond))
		w.start(t)
	}
}

// TestRollingRestart as a Deployment does it: one more comes,
// and when it is ready one goes. It is an upgrade, and the way back: what calls drey is
// applied anew, too.
func TestRollingRestart(t *testing.T) {
	const replicas = 3
	w := newWorld(t, replicas)
	w.failClosed(t)
	namespace := w.Namespace(t)
	if status, _, answer := call(t.Context(), http.MethodPost, w.url()+targets, targetBody("t", namespace)); status != http.StatusCreated {
		t.Fatal(status, answer)
	}
	eventually.OK(t, 20*time.Second, func() error { // all know the target
		for range 2 * replicas {
			if out, err := w.RunKubectl(t, fmt.Sprintf(flinkPod, "x"), "create", "--dry-run=server", "-n", namespace, "-f", "-"); err != nil {
				return fmt.Errorf("%w %s", err, out)
			}
		}
		return nil
	})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	over := make(chan struct{})
	load := podload.Options{Config: w.Config(), Namespace: namespace, Rate: *rate, Label: "vvpNamespace", For: time.Hour, Until: over}
	var report podload.Result
	var errLoad error
	done := make(chan struct{})
	go func() {
		defer close(done)
		report, errLoad = podload.Run(ctx, load)
	}()
	began := time.Now()
	for round := range *rounds {
		// Every other time it is another version, as far as a flag makes one: to it and back.
		version := []string{"--mode", []string{"warn", "enforce"}[round%2]}
		w.reconfigure(t, int32(9+round%2))
		for _, old := range slices.Clone(w.replicas) {
			w.start(t, version...)
			w.await(t, replicas+1)
			if err := old.Stop(); err != nil {
				t.Error(err)
			}
			w.gone(old)
		}
	}
	close(over)
	<-done
	if errLoad != nil {
		t.Fatal(errLoad)
	}
	t.Logf("%d restarts in %s: %s", *rounds*replicas, time.Since(began).Round(time.Second), report)
	if report.Failed > 0 || report.Unlabeled > 0 {
		t.Errorf("calls failed: %s", strings.Join(report.Errors, "\n"))
	}
	if report.Created < 100 {
		t.Error("too few pods to tell")
	}
}
