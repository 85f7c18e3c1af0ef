package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/manifests/rollout"
	"drey.dev/drey/test/framework/balancer"
	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/drey/installed"
)

// scaleSettings configures bench scale.
type scaleSettings struct {
	namespaces, targets, pods int
	replicas, unlabeled       int
	rate, clients             int
	each                      time.Duration // of a churn
	program, write            string
}

// scaleMain simulates a large cluster: it measures drey and the API server at several numbers of
// targets, pods and replicas, and fits the cost of each.
func scaleMain(ctx context.Context, args []string) (err error) {
	var s scaleSettings
	flags := flag.NewFlagSet("bench scale", flag.ExitOnError)
	flags.IntVar(&s.namespaces, "namespaces", 1000, "number of Kubernetes namespaces, which are platform namespaces too")
	flags.IntVar(&s.targets, "targets", 50_000, "number of targets in etcd")
	flags.IntVar(&s.pods, "pods", 10_000, "number of Flink pods, without a kubelet")
	flags.IntVar(&s.replicas, "replicas", 5, "number of replicas of drey")
	flags.IntVar(&s.unlabeled, "unlabeled", 10_000, "number of pods without labels, to repair")
	flags.IntVar(&s.rate, "rate", 500, "pods per second of the churn, as far as the machine lets it")
	flags.IntVar(&s.clients, "clients", 8, "number of concurrent clients of the churn")
	flags.DurationVar(&s.each, "each", 20*time.Second, "duration of a churn")
	flags.StringVar(&s.program, "drey", filepath.Join("bin", "drey"), "path of the drey binary")
	flags.StringVar(&s.write, "write", "", "path of the page to write; empty: none")
	if err := flags.Parse(args); err != nil {
		return err
	}
	began := time.Now()
	w, err := newScaleWorld(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	report, err := w.run(ctx)
	if err != nil {
		return err
	}
	report.took = time.Since(began)
	report.print(os.Stdout)
	if s.write == "" {
		return nil
	}
	return report.write(s.write)
}

// scaleWorld is a control plane with replicas of drey, which run with the permissions of its
// ServiceAccount, behind a balancer.
type scaleWorld struct {
	scaleSettings
	c        *cluster.Cluster
	seed     *seeder
	balancer *balancer.Balancer
	replicas []*replica
	next     int // number of the next replica
}

// replica is a drey whose connections to the API server pass a meter.
type replica struct {
	*drey.Drey
	meter   *meter
	backend balancer.Backend
	start   time.Duration
	cpu     time.Duration // until it was ready
}

func newScaleWorld(ctx context.Context, s scaleSettings) (w *scaleWorld, err error) {
	w = &scaleWorld{scaleSettings: s}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	w.c, err = cluster.New(ctx, cluster.Options{
		NoMemoryLimit: true, Progress: os.Stdout, APIServerArgs: []string{"--profiling=true"}, ControllerManagerArgs: []string{"--controllers=serviceaccount-controller"},
	})
	if err != nil {
		return w, err
	}
	if w.balancer, err = balancer.New(); err != nil {
		return w, err
	}
	if err := w.apply(ctx, bundle.Definitions, bundle.RBAC); err != nil {
		return w, err
	}
	if w.seed, err = newSeeder(ctx, w.c, s.program); err != nil {
		return w, err
	}
	return w, w.seed.createNamespaces(ctx, 0, s.namespaces)
}

// apply applies stages of the default installation.
func (w *scaleWorld) apply(ctx context.Context, names ...string) error {
	stages, err := bundle.Stages(bundle.Defaults())
	if err != nil {
		return err
	}
	r, err := rollout.New(unthrottled(w.c), false, func(string, string) {})
	if err != nil {
		return err
	}
	return r.Apply(ctx, slices.DeleteFunc(stages, func(s bundle.Stage) bool { return !slices.Contains(names, s.Name) }))
}

func (w *scaleWorld) close() error {
	var errs []error
	for _, r := range w.replicas {
		errs = append(errs, r.Stop(), r.meter.close())
	}
	if w.balancer != nil {
		errs = append(errs, w.balancer.Close())
	}
	if w.c != nil {
		errs = append(errs, w.c.Stop())
	}
	return errors.Join(errs...)
}

// startReplica starts a replica and adds it to the balancer.
func (w *scaleWorld) startReplica(ctx context.Context) (*replica, error) {
	r := &replica{}
	path, err := installed.Kubeconfig(ctx, w.c, bundle.Namespace)
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.LoadFromFile(path)
	if err != nil {
		return nil, err
	}
	for _, c := range config.Clusters {
		server, err := url.Parse(c.Server)
		if err != nil {
			return nil, err
		}
		if r.meter, err = newMeter(server.Host); err != nil {
			return nil, err
		}
		server.Host = r.meter.address()
		c.Server = server.String()
	}
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return nil, errors.Join(err, r.meter.close())
	}
	w.next++
	began := time.Now()
	r.Drey, err = drey.Start(ctx, drey.Options{
		Program: w.program, Cluster: w.c, DataDir: filepath.Join(w.c.Dir(), fmt.Sprintf("replica-%d", w.next)), Timeout: largeStart,
		Args: []string{"--kubeconfig", path, "--store", "kubernetes", "--install-webhooks=false", "--certs", "self-signed"},
	})
	if err != nil {
		return nil, errors.Join(err, r.meter.close())
	}
	r.start = time.Since(began)
	w.replicas = append(w.replicas, r)
	if r.cpu, err = cpuTime(r.PID()); err != nil {
		return nil, err
	}
	webhooks, err := url.Parse(r.Webhook)
	if err != nil {
		return nil, err
	}
	r.backend = balancer.Backend{Address: webhooks.Host, ReadyURL: r.Probes + "/readyz"}
	w.balancer.Add(r.backend)
	return r, nil
}

// stopReplica stops a replica: as a node that fails, or as a pod that is deleted.
func (w *scaleWorld) stopReplica(r *replica, kill bool) error {
	w.balancer.Remove(r.backend)
	w.replicas = slices.DeleteFunc(w.replicas, func(other *replica) bool { return other == r })
	stop := r.Stop
	if kill {
		stop = r.Kill
	}
	return errors.Join(stop(), r.meter.close())
}

func (w *scaleWorld) client() (kubernetes.Interface, error) {
	return kubernetes.NewForConfig(unthrottled(w.c))
}
