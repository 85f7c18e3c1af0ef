// Package drey runs the drey binary as a process, optionally on a cluster of package cluster.
package drey

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"drey.dev/drey/test/framework/cluster"
)

// Options configure a [Drey].
type Options struct {
	Program string           // path of the binary; default: built from this module into DataDir
	Cluster *cluster.Cluster // installs webhooks; may be nil
	DataDir string
	Pod     bool          // probe and metrics addresses as in a pod: all interfaces, metrics with TLS
	Args    []string      // appended to the arguments from the fields above
	Env     []string      // appended to the environment of this process, as key=value
	Log     io.Writer     // receives a copy of the log; may be nil
	Timeout time.Duration // until it is ready; 0: 2 minutes
}

const (
	startTimeout = 2 * time.Minute
	stopTimeout  = 2 * time.Minute // beyond drey's own for requests in flight
)

// Drey is a running process.
type Drey struct {
	REST    string // base URL of the REST API
	Metrics string // base URL of /metrics
	Probes  string // base URL of /livez and /readyz
	Webhook string // base URL of the webhooks

	cmd     *exec.Cmd
	log     *buffer
	ended   chan struct{}
	err     error // of the process; valid once ended is closed
	release func() error
}

// Start runs drey and returns when it is ready. It retries if another process takes one of
// its ports.
func Start(ctx context.Context, o Options) (*Drey, error) {
	if o.Program == "" {
		program, err := Build(ctx, o.DataDir)
		if err != nil {
			return nil, err
		}
		o.Program = program
	}
	for attempt := 1; ; attempt++ {
		d, err := start(ctx, o)
		if err == nil || attempt == 3 || !strings.Contains(err.Error(), "address already in use") {
			return d, err
		}
	}
}

func start(ctx context.Context, o Options) (*Drey, error) {
	addresses, err := FreeAddresses(4)
	if err != nil {
		return nil, err
	}
	d := &Drey{
		REST: "http://" + addresses[0], Metrics: "http://" + addresses[1], Probes: "http://" + addresses[1], Webhook: "https://" + addresses[2],
		log: &buffer{also: o.Log}, ended: make(chan struct{}), release: func() error { return nil },
	}
	args := []string{"serve", "--data-dir", o.DataDir, "--rest-bind-address", addresses[0], "--metrics-bind-address", addresses[1]}
	if o.Pod {
		_, metrics, _ := net.SplitHostPort(addresses[1]) // always host:port
		args[len(args)-1] = ":" + metrics
		args = append(args, "--health-probe-bind-address", addresses[3])
		d.Metrics, d.Probes = "https://"+addresses[1], "http://"+addresses[3]
	}
	if o.Cluster != nil {
		args = append(args, "--kubeconfig", o.Cluster.Kubeconfig(), "--webhook-bind-address", addresses[2], "--install-webhooks")
	}
	d.cmd = exec.Command(o.Program, append(args, o.Args...)...)
	d.cmd.Env = append(os.Environ(), o.Env...)
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C must not reach it
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		d.err = d.cmd.Wait()
		close(d.ended)
	}()
	if o.Cluster != nil {
		release, err := o.Cluster.Adopt(d.PID())
		if err != nil {
			return nil, errors.Join(err, d.Kill())
		}
		d.release = release
	}
	if err := d.awaitReady(ctx, o.Timeout); err != nil {
		return nil, errors.Join(fmt.Errorf("start drey: %w\n%s", err, d.Log()), d.Kill())
	}
	return d, nil
}

// LogOnFailure logs the end of drey's log if the test fails.
func (d *Drey) LogOnFailure(t testing.TB) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("end of drey's log:\n" + d.LogTail(40))
		}
	})
}

// LogTail returns the last lines of the log.
func (d *Drey) LogTail(n int) string {
	lines := strings.Split(strings.TrimSuffix(d.Log(), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// awaitReady waits for the log line after the installation of the webhooks, and then for
// /readyz.
func (d *Drey) awaitReady(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(timeout, startTimeout))
	defer cancel()
	for !strings.Contains(d.Log(), "drey is up") {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-d.ended:
			return fmt.Errorf("process ended: %w", d.err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	for {
		err := d.ready()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-d.ended:
			return fmt.Errorf("process ended: %w", d.err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (d *Drey) ready() error {
	response, err := http.Get(d.Probes + "/readyz")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(response.Body)
		return fmt.Errorf("GET /readyz: %s: %s", response.Status, body)
	}
	return nil
}

// PID returns the process ID.
func (d *Drey) PID() int { return d.cmd.Process.Pid }

// Log returns the log.
func (d *Drey) Log() string { return d.log.String() }

// Ended is closed once the process has ended.
func (d *Drey) Ended() <-chan struct{} { return d.ended }

// Stop sends SIGTERM. It returns an error if drey exits with one or exceeds stopTimeout.
func (d *Drey) Stop() error {
	_ = d.cmd.Process.Signal(syscall.SIGTERM) // may have ended
	select {
	case <-d.ended:
		return errors.Join(d.err, d.release())
	case <-time.After(stopTimeout):
		return errors.Join(fmt.Errorf("drey still runs %s after SIGTERM", stopTimeout), d.Kill())
	}
}

// Kill sends SIGKILL.
func (d *Drey) Kill() error {
	_ = d.cmd.Process.Kill() // may have ended
	<-d.ended
	return d.release()
}

// Register creates a DeploymentTarget with the REST API.
func (d *Drey) Register(ctx context.Context, platformNamespace, name, kubernetesNamespace string) error {
	body, err := json.Marshal(map[string]any{
		"metadata": map[string]string{"name": name},
		"spec":     map[string]any{"kubernetes": map[string]string{"namespace": kubernetesNamespace}},
	})
	if err != nil {
		return err
	}
	_, err = d.Call(ctx, http.MethodPost, "/api/v1/namespaces/"+platformNamespace+"/deployment-targets", body)
	return err
}

// Call sends a request to the REST API and returns the body of the response. A status code of
// 300 or more is an error.
func (d *Drey) Call(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, d.REST+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, response.Status, text)
	}
	return text, err
}

// built is the path of the binary that this process built last, which may be gone.
var built struct {
	sync.Mutex
	path string
}

// coverDir is the environment variable with the directory for the coverage of the binary. go test
// -cover sets GOCOVERDIR itself, to a directory that it removes.
const coverDir = "DREY_COVERDIR"

// Build compiles drey and returns the path of a link to it in dir. A process links it once: later
// calls link the file. With [coverDir] the binary writes its coverage when it exits, except after
// SIGKILL.
func Build(ctx context.Context, dir string) (string, error) {
	built.Lock()
	defer built.Unlock()
	path := filepath.Join(dir, "drey")
	if built.path != path && built.path != "" && os.Link(built.path, path) == nil {
		return path, nil
	}
	args := []string{"build", "-ldflags=-s -w"}
	if dir := os.Getenv(coverDir); dir != "" {
		args = append(args, "-cover", "-coverpkg=drey.dev/drey/...")
		if err := os.Setenv("GOCOVERDIR", dir); err != nil { // of all processes that run it
			return "", err
		}
	}
	if err := buildShared(ctx, args, path); err != nil {
		return "", fmt.Errorf("build drey: %w", err)
	}
	built.path = path
	return path, openSource(ctx)
}

// openSource opens the source directories of drey, so that go test invalidates the cached
// test result when they change: it tracks files that the test opens, but not those that the
// go command opens.
func openSource(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "go", "list", "-deps", "-f", "{{with .Module}}{{if .Main}}{{$.Dir}}{{end}}{{end}}", "drey.dev/drey/cmd/drey").Output()
	if err != nil {
		return fmt.Errorf("list the source directories of drey: %w", err)
	}
	for dir := range strings.Lines(string(out)) {
		if _, err := os.ReadDir(strings.TrimSpace(dir)); err != nil {
			return err
		}
	}
	return nil
}

// FreeAddresses returns n distinct free addresses on loopback.
func FreeAddresses(n int) (addresses []string, err error) {
	for range n {
		listener, errListen := net.Listen("tcp", "127.0.0.1:0")
		if errListen != nil {
			return nil, errListen
		}
		defer func() { err = errors.Join(err, listener.Close()) }() // after all are chosen
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses, nil
}

// buffer is a bytes.Buffer for concurrent use that copies writes to also.
type buffer struct {
	mu   sync.Mutex
	kept bytes.Buffer
	also io.Writer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.also != nil {
		_, _ = b.also.Write(p)
	}
	return b.kept.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.kept.String()
}
