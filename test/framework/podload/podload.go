// Package podload creates and deletes pods at a rate, and reports failures and latencies.
package podload

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Options configure a load.
type Options struct {
	Config    *rest.Config
	Namespace string          // must have its default ServiceAccount
	Rate      int             // pods per second
	For       time.Duration   // maximum duration
	Until     <-chan struct{} // ends the load when closed; may be nil
	Label     string          // label that created pods must have
}

// Result is the outcome of a load.
type Result struct {
	Created   int
	Unlabeled int // created without the label
	Failed    int
	Errors    []string // the first 10 distinct ones
	Dropped   int      // not requested because of the in-flight limit
	Median    time.Duration
	P99       time.Duration
}

func (r Result) String() string {
	return fmt.Sprintf("%d pods created, %d without the label, %d failed, %d dropped; median %s, p99 %s",
		r.Created, r.Unlabeled, r.Failed, r.Dropped, r.Median.Round(100*time.Microsecond), r.P99.Round(100*time.Microsecond))
}

// maxInFlight limits concurrent requests. A machine that cannot keep up with the rate gets fewer pods,
// instead of calls that wait until a timeout.
const maxInFlight = 32

// Run creates pods of Flink TaskManagers and deletes them every second.
func Run(ctx context.Context, o Options) (Result, error) {
	client, err := kubernetes.NewForConfig(o.Config)
	if err != nil {
		return Result{}, err
	}
	var (
		r         Result
		mu        sync.Mutex
		latencies []time.Duration
		requests  sync.WaitGroup
		slots     = make(chan struct{}, maxInFlight)
	)
	create := func(n int) {
		defer func() { <-slots }()
		began := time.Now()
		pod, err := client.CoreV1().Pods(o.Namespace).Create(ctx, taskManager(n), metav1.CreateOptions{})
		latency := time.Since(began)
		mu.Lock()
		latencies = append(latencies, latency)
		switch {
		case err != nil:
			r.Failed++
			if text := err.Error(); len(r.Errors) < 10 && !slices.Contains(r.Errors, text) {
				r.Errors = append(r.Errors, text)
			}
		case pod.Labels[o.Label] == "":
			r.Unlabeled++
			fallthrough
		default:
			r.Created++
		}
		mu.Unlock()
	}
	deleting, stop := context.WithCancel(ctx)
	defer stop()
	requests.Go(func() {
		for deleting.Err() == nil {
			time.Sleep(time.Second)
			// The rest is deleted with the namespace.
			_ = client.CoreV1().Pods(o.Namespace).DeleteCollection(deleting, metav1.DeleteOptions{GracePeriodSeconds: new(int64)}, metav1.ListOptions{})
		}
	})
	finish := func() (Result, error) {
		stop()
		requests.Wait()
		slices.Sort(latencies)
		if len(latencies) > 0 {
			r.Median, r.P99 = latencies[len(latencies)/2], latencies[len(latencies)*99/100]
		}
		return r, nil
	}
	began, end := time.Now(), time.After(o.For)
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return r, ctx.Err()
		case <-o.Until:
			return finish()
		case <-end:
			return finish()
		case <-time.After(time.Until(began.Add(time.Duration(n) * time.Second / time.Duration(o.Rate)))):
		}
		select {
		case slots <- struct{}{}:
			requests.Go(func() { create(n) })
		default:
			mu.Lock()
			r.Dropped++
			mu.Unlock()
		}
	}
}

func taskManager(n int) *corev1.Pod {
	name := fmt.Sprintf("my-job-taskmanager-1-%d", n)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name:   name,
			Labels: map[string]string{"app": "my-job", "component": "taskmanager", "type": "flink-native-kubernetes"},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "flink-main-container", Image: "flink:2.2", Command: []string{"/docker-entrypoint.sh"},
			Args: []string{"bash", "-c", strings.Join([]string{"kubernetes-taskmanager.sh", "-Djobmanager.rpc.port=6123", "-Dexecution.target=embedded", "-Dtaskmanager.resource-id=" + name}, " ")},
		}}},
	}
}
