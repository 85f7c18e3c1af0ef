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

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Options are what a program may ask of a cluster. The zero value is what tests
// use.
type Options struct {
	// Kubeconfig is the path of the administrator's kubeconfig. It must not
	// exist yet, for the cluster removes it when it ends. Empty means a file
	// in the cluster's own directory.
	Kubeconfig string

	// Progress is told about a build of the programs, which happens once per
	// version. Nil means standard error.
	Progress io.Writer

	// APIServerArgs and ControllerManagerArgs come after the cluster's own
	// arguments, so they win over them.
	APIServerArgs         []string
	ControllerManagerArgs []string

	// choosePorts is freePorts, but for the test of what happens when another
	// process is faster.
	choosePorts func() (ports, error)
}

// Cluster is a running control plane. Its methods may be used by several
// goroutines at once.
type Cluster struct {
	options    Options
	binaries   string // directory of the programs
	dir        string // everything that the cluster writes, but for Options.Kubeconfig
	kubeconfig string
	ports      ports
	pki        *pki
	reaper     *reaper
	client     kubernetes.Interface

	mu        sync.Mutex // guards what follows, and is held during a restart
	processes map[Component]*process
	adopted   []int // process ids
	stopped   bool
}

const (
	startLimit = time.Minute // of a start or restart; a slow, busy machine needs ten seconds
	portTries  = 3

	// How long a component may take over an orderly end. When the cluster goes,
	// nothing that it would still do matters.
	stopGrace, restartGrace = 2 * time.Second, 20 * time.Second
)

// New starts a control plane and returns when it is ready: the API server says
// so, and the controllers have made the namespace default its ServiceAccount.
// The context bounds the start, not the life, which ends with Stop or with the
// process.
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
	for try := 1; ; try++ {
		c, err := start(ctx, binaries, o)
		if err == nil {
			return c, nil
		}
		if !errors.Is(err, errPortTaken) || try == portTries {
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
	if c.client, err = kubernetes.NewForConfig(c.Config()); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c, c.startAll(ctx)
}

// startAll starts the components so that none has to retry for want of another:
// their backoffs would cost seconds.
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

// claimFiles makes the cluster's directory, and the kubeconfig as an empty file:
// whoever makes it owns it, so that no cluster ever removes a file that it did
// not write.
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
			err = fmt.Errorf("%w; if no other control plane is using it, remove it", err)
		}
		return errors.Join(err, os.RemoveAll(dir))
	}
	return file.Close()
}

// Stop ends the components and removes all that the cluster wrote. Stopping
// twice is fine.
func (c *Cluster) Stop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil
	}
	c.stopped = true

	// In this order none misses another while it ends.
	for _, component := range slices.Backward(components) {
		if p := c.processes[component]; p != nil {
			p.end(syscall.SIGTERM, stopGrace)
		}
	}
	c.processes = nil
	err := c.reaper.tell(nil)
	// The reaper removes the files on this way too, so that there is one way.
	c.reaper.dismiss()
	return errors.Join(err, os.RemoveAll(c.dir), removeIfThere(c.kubeconfig))
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// Config returns the administrator's client configuration, without a limit on
// the rate. It is a copy: change it as you like.
func (c *Cluster) Config() *rest.Config { return c.config(c.pki.admin) }

// Kubeconfig returns the path of the administrator's kubeconfig, which needs no
// other file.
func (c *Cluster) Kubeconfig() string { return c.kubeconfig }

// Kubectl returns the path of the kubectl that matches the API server.
func (c *Cluster) Kubectl() string { return filepath.Join(c.binaries, "kubectl") }

// KubectlCommand returns a command that runs kubectl as the administrator, and
// that leaves nothing in the home directory.
func (c *Cluster) KubectlCommand(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.Kubectl(), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig, "KUBECACHEDIR="+filepath.Join(c.dir, "kubectl-cache"))
	return cmd
}

// Dir returns the directory with the cluster's data, keys and logs. It goes when
// the cluster stops.
func (c *Cluster) Dir() string { return c.dir }
