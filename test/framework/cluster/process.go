package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// errPortTaken means that a component could not listen on its port.
var errPortTaken = errors.New("port taken by another process")

// process is one run of a component.
type process struct {
	cmd     *exec.Cmd
	log     string // path; restarts append
	logFrom int64  // offset of this run
	ended   chan struct{}
	err     error // exit error; valid once ended is closed
}

// gate is a shell script that execs a component once it reads a line, and exits at EOF. So
// the reaper has the process ID before the component runs, and a crash in between leaves no
// process behind.
const gate = `read -r go || exit 1; exec "$0" "$@" </dev/null`

// gcSettings make Go collect garbage less often: with the default, the API server spends a sixth of
// its CPU time on that. GOMEMLIMIT bounds the memory in return.
var gcSettings = []string{"GOGC=400", "GOMEMLIMIT=700MiB"}

// startComponent starts a component in its own process group, so that Ctrl-C in a terminal
// does not reach it. The caller holds c.mu.
func (c *Cluster) startComponent(component Component) error {
	p := &process{log: filepath.Join(c.dir, string(component)+".log"), ended: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	if p.logFrom, err = log.Seek(0, io.SeekEnd); err != nil {
		return err
	}

	binary := filepath.Join(c.binaries, string(component))
	p.cmd = exec.Command("/bin/sh", append([]string{"-c", gate, binary}, c.args(component)...)...)
	p.cmd.Dir = c.dir
	// A minimal environment: etcd reads flags from ETCD_*, and proxy variables break
	// connections to loopback.
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir, "TMPDIR=" + c.dir}
	if !c.options.NoMemoryLimit {
		p.cmd.Env = append(p.cmd.Env, gcSettings...)
	}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()

	c.processes[component] = p
	if err := c.reaper.update(c.pids()); err != nil {
		return err
	}
	if _, err := io.WriteString(stdin, "go\n"); err != nil {
		return err
	}
	return stdin.Close()
}

// pids returns the process IDs of running components and adopted processes. The caller
// holds c.mu.
func (c *Cluster) pids() []int {
	var pids []int
	for _, p := range c.processes {
		if p.running() {
			pids = append(pids, p.cmd.Process.Pid)
		}
	}
	pids = append(pids, c.adopted...)
	slices.Sort(pids)
	return pids
}

// Adopt registers a process of the caller with the reaper, which kills it if this process
// dies. The caller stops the process before Stop, and then calls release.
func (c *Cluster) Adopt(pid int) (release func() error, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.adopted = append(c.adopted, pid)
	return func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.adopted = slices.DeleteFunc(c.adopted, func(p int) bool { return p == pid })
		if c.stopped {
			return nil
		}
		return c.reaper.update(c.pids())
	}, c.reaper.update(c.pids())
}

// PID returns the process ID of a component, or 0 if it does not run.
func (c *Cluster) PID(component Component) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.processes[component]; p != nil && p.running() {
		return p.cmd.Process.Pid
	}
	return 0
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

func (p *process) signal(s syscall.Signal) {
	_ = p.cmd.Process.Signal(s) // fails only if the process has ended
}

// end sends the signal, and SIGKILL after the grace period.
func (p *process) end(s syscall.Signal, gracePeriod time.Duration) {
	p.signal(s)
	select {
	case <-p.ended:
	case <-time.After(gracePeriod):
		p.signal(syscall.SIGKILL)
		<-p.ended
	}
}

// await polls ready until it returns nil. It fails, with the end of the log, when a component
// or the context ends. The caller holds c.mu.
func (c *Cluster) await(ctx context.Context, component Component, ready func(context.Context) error) error {
	awaited := c.processes[component]
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		// Bounds a request to a server that does not respond, or to another process on the
		// port of a component that has ended.
		attempt, cancel := context.WithTimeout(ctx, 10*time.Second)
		go func() {
			select {
			case <-awaited.ended:
				cancel()
			case <-attempt.Done():
			}
		}()
		err := ready(attempt)
		cancel()
		for _, component := range components {
			if p := c.processes[component]; p != nil && !p.running() {
				return p.failure(component, p.err)
			}
		}
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) { // not a failure of the component
				return context.Cause(ctx)
			}
			return awaited.failure(component, fmt.Errorf("not ready before the timeout: %w", err))
		}
	}
}

// failure returns the error of a component with the end of its log.
func (p *process) failure(component Component, err error) error {
	tail := p.tail()
	if !p.running() && strings.Contains(tail, "address already in use") {
		err = errPortTaken
	}
	return fmt.Errorf("%s: %w; end of its log:\n%s", component, err, tail)
}

const tailLines = 20

// tail returns the last lines of this run's log.
func (p *process) tail() string {
	log, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	log = bytes.TrimRight(log[min(p.logFrom, int64(len(log))):], "\n")
	lines := strings.Split(string(log), "\n")
	return "\t" + strings.Join(lines[max(0, len(lines)-tailLines):], "\n\t")
}

// Logs returns the end of the log of each component.
func (c *Cluster) Logs() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, component := range components {
		if p := c.processes[component]; p != nil {
			state := "running"
			if !p.running() {
				state = fmt.Sprintf("ended: %v", p.err)
			}
			fmt.Fprintf(&b, "%s: %s; end of its log:\n%s\n", component, state, p.tail())
		}
	}
	return b.String()
}
