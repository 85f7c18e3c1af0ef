// Package drey runs the drey program the way its users do: as a process, on a
// real cluster.
package drey

import (
	"bytes"
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

// Options say which drey to run.
type Options struct {
	Program string           // path of the binary; empty: built from this module, into DataDir
	Cluster *cluster.Cluster // where it registers its webhooks; nil: none
	DataDir string
	Pod     bool      // probes and metrics are where a pod has them: on every interface, the metrics with TLS
	Args    []string  // beside those that follow from the above
	Log     io.Writer // gets what drey logs, as it comes; nil: only Log keeps it
}

// Drey is a running process.
type Drey struct {
	REST    string // base URL of the REST API
	Metrics string // base URL of /metrics
	Probes  string // base URL of /livez and /readyz
	Webhook string // base URL of the webhooks

	cmd     *exec.Cmd
	log     *buffer
	ended   chan struct{}
	err     error // of the process, once ended is closed
	release func() error
}

// Start runs drey and returns once it says that it is ready. It tries again when an
// address that was free has been taken meanwhile.
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
		_, metrics, _ := net.SplitHostPort(addresses[1]) // it has a port
		args[len(args)-1] = ":" + metrics
		args = append(args, "--health-probe-bind-address", addresses[3])
		d.Metrics, d.Probes = "https://"+addresses[1], "http://"+addresses[3]
	}
	if o.Cluster != nil {
		args = append(args, "--kubeconfig", o.Cluster.Kubeconfig(), "--webhook-bind-address", addresses[2], "--install-webhooks")
	}
	d.cmd = exec.Command(o.Program, append(args, o.Args...)...)
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us, who end it in its turn
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
	if err := d.awaitUp(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start drey: %w\n%s", err, d.Log()), d.Kill())
	}
	return d, nil
}

// LogOnFailure has the log of a test that fails end with what drey said last.
func (d *Drey) LogOnFailure(t testing.TB) {
	t.Cleanup(func() {
		if t.Failed() {
			const most = 40
			lines := strings.Split(d.Log(), "\n")
			t.Log("drey said last:\n" + strings.Join(lines[max(0, len(lines)-most):], "\n"))
		}
	})
}

// awaitUp waits for the line that drey logs when all of it works: readiness
// comes a little earlier, before the webhooks are registered.
func (d *Drey) awaitUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for !strings.Contains(d.Log(), "drey is up") {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-d.ended:
			return fmt.Errorf("it ended: %w", d.err)
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
			return fmt.Errorf("it ended: %w", d.err)
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
		return fmt.Errorf("/readyz answered %s: %s", response.Status, body)
	}
	return nil
}

// PID is the id of the process.
func (d *Drey) PID() int { return d.cmd.Process.Pid }

// Log is what drey has logged.
func (d *Drey) Log() string { return d.log.String() }

// Stop asks drey to end, and returns an error if it does not do so well.
func (d *Drey) Stop() error {
	_ = d.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-d.ended:
		return errors.Join(d.err, d.release())
	case <-time.After(time.Minute):
		return errors.Join(errors.New("drey did not end within a minute of SIGTERM"), d.Kill())
	}
}

// Kill ends drey as a crash would.
func (d *Drey) Kill() error {
	_ = d.cmd.Process.Kill() // it may have ended
	<-d.ended
	return d.release()
}

// Register makes a DeploymentTarget over REST.
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

// Call makes a request of the REST API, and returns the body of its answer, and
// an error if it is not one of success.
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
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, response.Status, answer)
	}
	return answer, err
}

// Build compiles drey into dir and returns the path of the binary.
func Build(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "drey")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "drey.dev/drey/cmd/drey")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build drey: %w\n%s", err, out)
	}
	return path, openSource(ctx)
}

// openSource opens the directories that drey is built from. go test keeps the
// result of a test until something that the test has opened changes, and does
// not see what a process opens that the test has started.
func openSource(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "go", "list", "-deps", "-f", "{{with .Module}}{{if .Main}}{{$.Dir}}{{end}}{{end}}", "drey.dev/drey/cmd/drey").Output()
	if err != nil {
		return fmt.Errorf("list what drey is built from: %w", err)
	}
	for dir := range strings.Lines(string(out)) {
		if _, err := os.ReadDir(strings.TrimSpace(dir)); err != nil {
			return err
		}
	}
	return nil
}

// FreeAddresses are n different addresses on loopback that nobody listens on now.
func FreeAddresses(n int) (addresses []string, err error) {
	for range n {
		listener, errListen := net.Listen("tcp", "127.0.0.1:0")
		if errListen != nil {
			return nil, errListen
		}
		defer func() { err = errors.Join(err, listener.Close()) }() // not before all are chosen
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses, nil
}

// buffer keeps what a process writes while others read it.
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
