// Package podload makes and deletes pods at a rate, as a busy cluster does, and
// says what came of it.
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

// Options is what to make.
type Options struct {
	Config    *rest.Config
	Namespace string          // it has to have its ServiceAccount
	Rate      int             // pods a second
	For       time.Duration   // how long, at most
	Until     <-chan struct{} // it ends when this is closed; nil: never before For
	Label     string          // the label that a webhook has to have added
}

// Result is what came of a load.
type Result struct {
	Created   int
	Unlabeled int // created, and without the label
	Failed    int
	Errors    []string // the first few, each once
	Dropped   int      // not asked for, because too many were under way
	Median    time.Duration
	P99       time.Duration
}

func (r Result) String() string {
	return fmt.Sprintf("%d pods created, %d without the label, %d failed, %d not asked for; median %s, p99 %s",
		r.Created, r.Unlabeled, r.Failed, r.Dropped, r.Median.Round(100*time.Microsecond), r.P99.Round(100*time.Microsecond))
}

// underWay is how many pods may be at the API server at once.
const underWay = 300

// Run makes the pods, TaskManagers of Flink that differ in their names alone,
// and deletes them as they come.
func Run(ctx context.Context, o Options) (Result, error) {
	client, err := kubernetes.NewForConfig(o.Config)
	if err != nil {
		return Result{}, err
	}
	var (
		r     Result
		mu    sync.Mutex
		took  []time.Duration
		calls sync.WaitGroup
		slots = make(chan struct{}, underWay)
	)
	one := func(n int) {
		defer func() { <-slots }()
		began := time.Now()
		made, err := client.CoreV1().Pods(o.Namespace).Create(ctx, taskManager(n), metav1.CreateOptions{})
		passed := time.Since(began)
		mu.Lock()
		took = append(took, passed)
		switch {
		case err != nil:
			r.Failed++
			if text := err.Error(); len(r.Errors) < 10 && !slices.Contains(r.Errors, text) {
				r.Errors = append(r.Errors, text)
			}
		case made.Labels[o.Label] == "":
			r.Unlabeled++
			fallthrough
		default:
			r.Created++
		}
		mu.Unlock()
	}
	sweeping, stop := context.WithCancel(ctx)
	defer stop()
	calls.Go(func() {
		for sweeping.Err() == nil {
			time.Sleep(time.Second)
			// What is left goes with the namespace.
			_ = client.CoreV1().Pods(o.Namespace).DeleteCollection(sweeping, metav1.DeleteOptions{GracePeriodSeconds: new(int64)}, metav1.ListOptions{})
		}
	})
	finish := func() (Result, error) {
		stop()
		calls.Wait()
		slices.Sort(took)
		if len(took) > 0 {
			r.Median, r.P99 = took[len(took)/2], took[len(took)*99/100]
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
			calls.Go(func() { one(n) })
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
