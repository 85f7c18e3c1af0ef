package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
)

// Options configure a [Cluster]. The zero value is valid.
type Options struct {
	// Kubeconfig is the path of the administrator's kubeconfig. The file must not exist;
	// Stop removes it. Default: a file in the directory of the cluster.
	Kubeconfig string

	// Progress receives the progress of a build of the binaries. Default: standard error.
	Progress io.Writer

	// APIServerArgs and ControllerManagerArgs are appended to the default arguments and
	// override them.
	APIServerArgs         []string
	ControllerManagerArgs []string

	// KeepNamespaces leaves the namespaces of ended tests to the end of the cluster. The deletion of a
	// namespace lists and deletes every resource: a tenth of a second of a processor.
	KeepNamespaces bool

	// NoMemoryLimit runs the components with Go's defaults. With tens of thousands of objects the
	// API server keeps more than the limit of tests, and would only collect garbage.
	NoMemoryLimit bool

	// choosePorts replaces freePorts in tests of port conflicts.
	choosePorts func() (ports, error)
}

// Cluster is a running control plane. Its methods are safe for concurrent use.
type Cluster struct {
	options    Options
	binaries   string // directory of the binaries
	dir        string // all files of the cluster except Options.Kubeconfig
	kubeconfig string
	ports      ports
	pki        *pki
	reaper     *reaper
	core       coreclient.CoreV1Interface // not a client of all groups, which every test program would link

	mu        sync.Mutex // guards the fields below; held during a restart
	processes map[Component]*process
	adopted   []int // process ids
	stopped   bool
}

const (
	startTimeout = 3 * time.Minute // of a start or restart; a slow, busy machine needs half a minute
	portAttempts = 3

	// Time between SIGTERM and SIGKILL.
	stopGracePeriod, restartGracePeriod = 2 * time.Second, 20 * time.Second
)

// New starts a control plane and returns when it is ready: /readyz of the API server
// succeeds and the namespace default has its ServiceAccount. The context bounds the start;
// the cluster runs until Stop or the end of the process.
func New(ctx context.Context, o Options) (*Cluster, error) {
	if o.Progress == nil {
		o.Progress = os.Stderr
	}
	if o.choosePorts == nil {
		o.choosePorts = freePorts
	}
	binaries, err := Binaries(ctx, o.Progress)
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		c, err := start(ctx, binaries, o)
		if err == nil {
			return c, nil
		}
		if !errors.Is(err, errPortTaken) || attempt == portAttempts {
			return nil, fmt.Errorf("start the control plane: %w", err)
		}
	}
}

func start(ctx context.Context, binaries string, o Options) (_ *Cluster, err error) {
	c := &Cluster{options: o, binaries: binaries, processes: map[Component]*process{}}
	if c.ports, err = o.choosePorts(); err != nil {
		return nil, err
	}
	if err := c.claimFiles(); err != nil {
		return nil, err
	}
	if c.reaper, err = newReaper(c.dir, c.kubeconfig); err != nil {
		return nil, errors.Join(err, os.RemoveAll(c.dir), os.Remove(c.kubeconfig))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Stop())
		}
	}()
	if err := c.writeCredentials(); err != nil {
		return nil, err
	}
	if c.core, err = coreclient.NewForConfig(c.Config()); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c, c.startAll(ctx)
}

// startAll starts each component once the one that it connects to is ready: a backoff of a
// component would take seconds.
func (c *Cluster) startAll(ctx context.Context) error {
	if err := c.startComponent(Etcd); err != nil {
		return err
	}
	if err := c.await(ctx, Etcd, c.etcdHealthy); err != nil {
		return err
	}
	if err := c.startComponent(APIServer); err != nil {
		return err
	}
	if err := c.await(ctx, APIServer, c.apiServerReady); err != nil {
		return err
	}
	if err := c.startComponent(ControllerManager); err != nil {
		return err
	}
	return c.await(ctx, ControllerManager, c.serviceAccountIn("default"))
}

// claimFiles creates the directory of the cluster, and an empty kubeconfig with O_EXCL, so
// that a cluster removes only a file that it has created.
func (c *Cluster) claimFiles() error {
	dir, err := os.MkdirTemp("", "drey-cluster-")
	if err != nil {
		return err
	}
	c.dir, c.kubeconfig = dir, filepath.Join(dir, "kubeconfig")
	if c.options.Kubeconfig != "" {
		c.kubeconfig, err = filepath.Abs(c.options.Kubeconfig)
	}
	if err == nil {
		err = os.MkdirAll(filepath.Dir(c.kubeconfig), 0o700)
	}
	var file *os.File
	if err == nil {
		file, err = os.OpenFile(c.kubeconfig, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	}
	if err != nil {
		if errors.Is(err, os.ErrExist) {
			err = fmt.Errorf("%w: if no other control plane uses it, remove it", err)
		}
		return errors.Join(err, os.RemoveAll(dir))
	}
	return file.Close()
}

// Stop stops the components and removes all files of the cluster. It may be called more
// than once.
func (c *Cluster) Stop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil
	}
	c.stopped = true

	// Clients stop before their servers.
	for _, component := range slices.Backward(components) {
		if p := c.processes[component]; p != nil {
			p.end(syscall.SIGTERM, stopGracePeriod)
		}
	}
	c.processes = nil
	err := c.reaper.update(nil)
	c.reaper.run()
	return errors.Join(err, os.RemoveAll(c.dir), removeIfExists(c.kubeconfig))
}

func removeIfExists(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// Config returns a new client configuration of the administrator, without a rate limit.
func (c *Cluster) Config() *rest.Config { return c.config(c.pki.admin) }

// Kubeconfig returns the path of the administrator's kubeconfig, which is self-contained.
func (c *Cluster) Kubeconfig() string { return c.kubeconfig }

// Kubectl returns the path of the kubectl that matches the API server.
func (c *Cluster) Kubectl() string { return filepath.Join(c.binaries, "kubectl") }

// KubectlCommand returns a kubectl command of the administrator. Its cache is in the
// directory of the cluster.
func (c *Cluster) KubectlCommand(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.Kubectl(), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig, "KUBECACHEDIR="+filepath.Join(c.dir, "kubectl-cache"))
	cmd.Env = append(cmd.Env, gcSettings...)
	return cmd
}

// Dir returns the directory of the cluster's data, keys and logs. Stop removes it.
func (c *Cluster) Dir() string { return c.dir }
