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

// errPortTaken says that a component found its port in use.
var errPortTaken = errors.New("port taken by another process")

// process is one run of a component.
type process struct {
	cmd     *exec.Cmd
	log     string // path; runs of a component append to one file
	logFrom int64  // where this run's part begins
	ended   chan struct{}
	err     error // how it ended; only after ended is closed
}

// gate holds a component back until a line arrives, and drops it when there will
// be none. So the reaper knows each component before its program runs, and our
// death in between leaves nothing behind.
const gate = `read -r go || exit 1; exec "$0" "$@" </dev/null`

// startComponent starts a component; c.mu is held. Each has its own process
// group, so that a terminal's Ctrl-C reaches us and not them.
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

	program := filepath.Join(c.binaries, string(component))
	p.cmd = exec.Command("/bin/sh", append([]string{"-c", gate, program}, c.args(component)...)...)
	p.cmd.Dir = c.dir
	// etcd takes ETCD_* for flags, and a proxy is no way to loopback: components
	// get no environment but what any program may expect.
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir, "TMPDIR=" + c.dir}
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
	if err := c.reaper.tell(c.pids()); err != nil {
		return err
	}
	if _, err := io.WriteString(stdin, "go\n"); err != nil {
		return err
	}
	return stdin.Close()
}

// pids are those of the components that run; c.mu is held.
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

// Adopt gives a process of the caller's to the reaper: when this program dies
// without ending it, it goes with the cluster. The caller ends it before Stop,
// and calls release once it has.
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
		return c.reaper.tell(c.pids())
	}, c.reaper.tell(c.pids())
}

// PID returns the process id of a component, 0 when it does not run.
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
	// An error means that it has ended, which is what a signal is for.
	_ = p.cmd.Process.Signal(s)
}

// end ends a component with the signal, or else with SIGKILL when it is still
// there after the grace.
func (p *process) end(how syscall.Signal, grace time.Duration) {
	p.signal(how)
	select {
	case <-p.ended:
	case <-time.After(grace):
		p.signal(syscall.SIGKILL)
		<-p.ended
	}
}

// await asks again and again until ready has no objection. It gives up, with the
// end of the log, when a component ends or the context does; c.mu is held.
func (c *Cluster) await(ctx context.Context, component Component, ready func(context.Context) error) error {
	awaited := c.processes[component]
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		// A server that accepts but does not answer must not use up ctx, nor
		// one that has our port while the component has ended without it.
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		go func() {
			select {
			case <-awaited.ended:
				cancel()
			case <-try.Done():
			}
		}()
		err := ready(try)
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
			if errors.Is(ctx.Err(), context.Canceled) { // no fault of the component
				return context.Cause(ctx)
			}
			return awaited.failure(component, fmt.Errorf("not ready in time: %w", err))
		}
	}
}

// failure words why a component cannot be used.
func (p *process) failure(component Component, err error) error {
	tail := p.tail()
	if !p.running() && strings.Contains(tail, "address already in use") {
		err = errPortTaken
	}
	return fmt.Errorf("%s: %w; the end of its log:\n%s", component, err, tail)
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

// Logs returns the end of each component's log, for the report of a test that
// failed.
func (c *Cluster) Logs() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, component := range components {
		if p := c.processes[component]; p != nil {
			state := "runs"
			if !p.running() {
				state = fmt.Sprintf("has ended: %v", p.err)
			}
			fmt.Fprintf(&b, "%s %s; the end of its log:\n%s\n", component, state, p.tail())
		}
	}
	return b.String()
}
