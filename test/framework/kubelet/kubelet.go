// Package kubelet is a substitute for the kubelet on a cluster of package cluster: it runs
// the process of each pod on this machine and writes the status of the pod.
//
// There is no node: pods stay unscheduled, so their deletion takes effect at once. Images,
// mounts and probes are not supported. A [Runtime] turns a pod into a command. Without one,
// or without a command, a pod is Running and has no process.
package kubelet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"drey.dev/drey/test/framework/cluster"
)

// Options configure a [Kubelet].
type Options struct {
	Cluster    *cluster.Cluster
	Namespaces []string // default: all
	Runtime    Runtime  // if nil, no pod has a process
	LogDir     string   // keeps the logs of pods; default: a directory that Stop removes
}

// Runtime creates the command of a pod.
type Runtime interface {
	// Command returns the command of the pod's first container, or nil for a pod without a
	// process. dir is a directory of the pod, which is kept between restarts of the container.
	// The kubelet retries after an error, because a ConfigMap may be created after its pod.
	Command(ctx context.Context, pod *corev1.Pod, dir string) (*exec.Cmd, error)
}

const (
	retryInterval  = 200 * time.Millisecond // between attempts to start a pod or write its status
	restartBackoff = time.Second            // between restarts of a container
	gracePeriod    = 5 * time.Second        // between SIGTERM and SIGKILL
	syncTimeout    = 2 * time.Minute
)

// Kubelet runs the pods of some namespaces.
type Kubelet struct {
	options Options
	client  kubernetes.Interface
	dir     string
	logs    string
	ctx     context.Context
	cancel  context.CancelFunc
	workers sync.WaitGroup

	mu    sync.Mutex
	pods  map[types.UID]*pod
	names []string // of all pods that have had a log
}

// pod is a pod that the kubelet runs.
type pod struct {
	object  *corev1.Pod // as first seen
	dir     string
	log     string // path; restarts append
	deleted chan struct{}

	mu       sync.Mutex
	process  *os.Process // nil if not running
	restarts int32
}

// Start starts a kubelet and stops it when the test ends. If the test fails, it logs the end
// of the pods' logs.
func Start(t testing.TB, o Options) *Kubelet {
	t.Helper()
	k, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(k.Logs())
		}
		if err := k.Stop(); err != nil {
			t.Errorf("stop the kubelet: %v", err)
		}
	})
	return k
}

// New starts a kubelet and returns when its cache is synced. The context bounds the start;
// the kubelet runs until Stop.
func New(ctx context.Context, o Options) (*Kubelet, error) {
	client, err := kubernetes.NewForConfig(o.Cluster.Config())
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(o.Cluster.Dir(), "kubelet-")
	if err != nil {
		return nil, err
	}
	k := &Kubelet{options: o, client: client, dir: dir, logs: cmp.Or(o.LogDir, dir), pods: map[types.UID]*pod{}}
	k.ctx, k.cancel = context.WithCancel(context.WithoutCancel(ctx))
	namespaces := o.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	for _, namespace := range namespaces {
		informer := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace)).Core().V1().Pods().Informer()
		registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { k.add(o.(*corev1.Pod)) },
			UpdateFunc: func(_, o any) { k.add(o.(*corev1.Pod)) },
			DeleteFunc: k.remove,
		})
		if err != nil {
			return nil, errors.Join(err, k.Stop())
		}
		k.workers.Go(func() { informer.Run(k.ctx.Done()) })
		if !cache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
			return nil, errors.Join(errors.New("list pods: timeout"), k.Stop())
		}
	}
	return k, nil
}

// Stop kills all processes. The pods keep their last status.
func (k *Kubelet) Stop() error {
	k.cancel()
	k.workers.Wait()
	return os.RemoveAll(k.dir)
}

// add starts a pod unless it is running.
func (k *Kubelet) add(object *corev1.Pod) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pods[object.UID] != nil || object.DeletionTimestamp != nil || isTerminal(object) || k.ctx.Err() != nil {
		return
	}
	name := object.Namespace + "_" + object.Name
	p := &pod{object: object.DeepCopy(), dir: filepath.Join(k.dir, name+"_"+string(object.UID)), log: filepath.Join(k.logs, name+".log"), deleted: make(chan struct{})}
	k.pods[object.UID] = p
	if !slices.Contains(k.names, name) {
		k.names = append(k.names, name)
	}
	k.workers.Go(func() { k.run(p) })
}

func (k *Kubelet) remove(object any) {
	if unknown, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = unknown.Obj
	}
	o, ok := object.(*corev1.Pod)
	if !ok {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if p := k.pods[o.UID]; p != nil {
		close(p.deleted)
		delete(k.pods, o.UID)
	}
}

func isTerminal(object *corev1.Pod) bool {
	return object.Status.Phase == corev1.PodFailed || object.Status.Phase == corev1.PodSucceeded
}

// run runs and restarts the container of a pod, until the pod is deleted or completed or the
// kubelet stops.
func (k *Kubelet) run(p *pod) {
	ctx, cancel := context.WithCancel(k.ctx)
	defer cancel()
	go func() {
		select {
		case <-p.deleted:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		p.logf("create the directory of the pod: %v", err)
		return
	}
	for ctx.Err() == nil {
		cmd, err := k.command(ctx, p)
		if err != nil {
			p.logf("start: %v", err)
			sleep(ctx, retryInterval)
			continue
		}
		if cmd == nil {
			k.setStatus(ctx, p, running(p, corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}))
			<-ctx.Done()
			return
		}
		code := k.runOnce(ctx, p, cmd)
		if ctx.Err() != nil {
			return
		}
		terminated := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason(code), FinishedAt: metav1.Now()}}
		if policy := p.object.Spec.RestartPolicy; policy == corev1.RestartPolicyNever || policy == corev1.RestartPolicyOnFailure && code == 0 {
			k.setStatus(ctx, p, completed(p, code, terminated))
			<-ctx.Done()
			return
		}
		k.setStatus(ctx, p, notReady(p, terminated))
		sleep(ctx, restartBackoff)
		p.mu.Lock()
		p.restarts++
		p.mu.Unlock()
	}
}

func (k *Kubelet) command(ctx context.Context, p *pod) (*exec.Cmd, error) {
	if k.options.Runtime == nil {
		return nil, nil
	}
	return k.options.Runtime.Command(ctx, p.object, p.dir)
}

// runOnce runs a process and returns its exit code, which is 128+n after signal n.
func (k *Kubelet) runOnce(ctx context.Context, p *pod, cmd *exec.Cmd) int32 {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.logf("open the log: %v", err)
		return 1
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(log, "kubelet: start:", err)
		return 127
	}
	release, err := k.options.Cluster.Adopt(cmd.Process.Pid)
	if err != nil {
		fmt.Fprintln(log, "kubelet: adopt the process:", err)
	} else {
		defer func() { _ = release() }() // fails if the cluster has stopped
	}
	p.setProcess(cmd.Process)
	exited := make(chan struct{})
	go func() {
		select {
		case <-exited:
			return
		case <-ctx.Done():
			p.signal(syscall.SIGTERM)
		}
		select {
		case <-exited:
		case <-time.After(gracePeriod):
			p.signal(syscall.SIGKILL)
		}
	}()
	k.setStatus(ctx, p, running(p, corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}))
	_ = cmd.Wait() // see ProcessState
	p.setProcess(nil)
	close(exited)
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int32(status.Signal())
	}
	return int32(cmd.ProcessState.ExitCode())
}

func (p *pod) setProcess(process *os.Process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.process = process
}

// signal sends a signal to the process group. It returns false if there is none.
func (p *pod) signal(s syscall.Signal) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.process != nil && syscall.Kill(-p.process.Pid, s) == nil
}

// logf appends a line to the log of the pod unless it equals the last one.
func (p *pod) logf(format string, args ...any) {
	line := fmt.Sprintf("kubelet: "+format+"\n", args...)
	if before, err := os.ReadFile(p.log); err == nil && strings.HasSuffix(string(before), line) {
		return
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer log.Close()
	fmt.Fprint(log, line)
}

func reason(code int32) string {
	if code == 0 {
		return "Completed"
	}
	return "Error"
}

// Kill sends SIGKILL to the process of a pod, like the kernel's OOM killer. The restart
// policy of the pod applies.
func (k *Kubelet) Kill(namespace, name string) error {
	p := k.find(namespace, name)
	if p == nil || !p.signal(syscall.SIGKILL) {
		return fmt.Errorf("kill pod %q in namespace %q: no process", name, namespace)
	}
	return nil
}

// PID returns the process ID of a pod, or 0 if it has no process.
func (k *Kubelet) PID(namespace, name string) int {
	p := k.find(namespace, name)
	if p == nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process == nil {
		return 0
	}
	return p.process.Pid
}

func (k *Kubelet) find(namespace, name string) *pod {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.pods {
		if p.object.Namespace == namespace && p.object.Name == name {
			return p
		}
	}
	return nil
}

const tailLines = 30

// Logs returns the last lines of the log of each pod.
func (k *Kubelet) Logs() string {
	k.mu.Lock()
	names := slices.Clone(k.names)
	k.mu.Unlock()
	var b strings.Builder
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(k.logs, name+".log"))
		if err != nil {
			continue // no output
		}
		lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
		fmt.Fprintf(&b, "end of the log of pod %s:\n\t%s\n", name, strings.Join(lines[max(0, len(lines)-tailLines):], "\n\t"))
	}
	return b.String()
}

func running(p *pod, state corev1.ContainerState) corev1.PodStatus {
	return status(p, corev1.PodRunning, corev1.ConditionTrue, state)
}

func notReady(p *pod, state corev1.ContainerState) corev1.PodStatus {
	return status(p, corev1.PodRunning, corev1.ConditionFalse, state)
}

func completed(p *pod, code int32, state corev1.ContainerState) corev1.PodStatus {
	phase := corev1.PodFailed
	if code == 0 {
		phase = corev1.PodSucceeded
	}
	return status(p, phase, corev1.ConditionFalse, state)
}

// status returns a pod status without a pod IP, because all pods share the loopback
// interface.
func status(p *pod, phase corev1.PodPhase, ready corev1.ConditionStatus, state corev1.ContainerState) corev1.PodStatus {
	s := corev1.PodStatus{Phase: phase}
	now := metav1.Now()
	for _, c := range []struct {
		kind   corev1.PodConditionType
		status corev1.ConditionStatus
	}{
		{corev1.PodScheduled, corev1.ConditionTrue}, {corev1.PodInitialized, corev1.ConditionTrue},
		{corev1.ContainersReady, ready}, {corev1.PodReady, ready},
	} {
		s.Conditions = append(s.Conditions, corev1.PodCondition{Type: c.kind, Status: c.status, LastTransitionTime: now})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.object.Spec.Containers {
		s.ContainerStatuses = append(s.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, Image: c.Image, State: state, RestartCount: p.restarts,
			Ready: ready == corev1.ConditionTrue, Started: new(ready == corev1.ConditionTrue),
		})
	}
	return s
}

// setStatus patches the status of a pod until it succeeds or the pod is deleted.
func (k *Kubelet) setStatus(ctx context.Context, p *pod, s corev1.PodStatus) {
	patch, err := json.Marshal(map[string]any{"status": s})
	if err != nil {
		p.logf("encode the status: %v", err)
		return
	}
	for ctx.Err() == nil {
		_, err := k.client.CoreV1().Pods(p.object.Namespace).Patch(ctx, p.object.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
		if err == nil || apierrors.IsNotFound(err) {
			return
		}
		if ctx.Err() == nil {
			p.logf("write the status: %v", err)
		}
		sleep(ctx, retryInterval)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
