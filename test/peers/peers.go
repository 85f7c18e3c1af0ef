// Package peers runs the admission controllers of Kyverno and Gatekeeper as processes on a
// control plane, to compare them with drey. Their modules are below this directory.
package peers

import (
	"cmp"
	"context"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"drey.dev/drey/test/framework/cluster"
)

// Names of the peers: of their directory, and of their binary.
const (
	Kyverno    = "kyverno"
	Gatekeeper = "gatekeeper"
)

// modules are the module paths of the peers.
var modules = map[string]string{Kyverno: "github.com/kyverno/kyverno", Gatekeeper: "github.com/open-policy-agent/gatekeeper/v3"}

//go:embed policies
var policies embed.FS

// Policies returns the objects of a file in policies, without its extension.
func Policies(name string) ([]*unstructured.Unstructured, error) {
	text, err := policies.ReadFile("policies/" + name + ".yaml")
	if err != nil {
		return nil, err
	}
	var all []*unstructured.Unstructured
	for i, document := range strings.Split(string(text), "\n---\n") {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &o.Object); err != nil {
			return nil, fmt.Errorf("%s: document %d: %w", name, i, err)
		}
		all = append(all, o)
	}
	return all, nil
}

// Apply applies a file in policies, and returns when the API server serves the kinds that it uses.
func Apply(ctx context.Context, c *cluster.Cluster, name string) error {
	text, err := policies.ReadFile("policies/" + name + ".yaml")
	if err != nil {
		return err
	}
	return apply(ctx, c, string(text))
}

// Process is a running peer.
type Process struct {
	Version string // of its module

	name    string
	log     string // path
	cmd     *exec.Cmd
	ended   chan struct{}
	err     error // of the process; valid once ended is closed
	release func() error
}

// PID returns the process ID.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Log returns the log.
func (p *Process) Log() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Kill ends the process at once. It may be called more than once.
func (p *Process) Kill() error {
	_ = p.cmd.Process.Kill() // may have ended
	<-p.ended
	return p.release()
}

// timeout bounds the start of a peer, and the time until its policies are in effect. A start takes
// ten seconds on an idle machine.
const timeout = 90 * time.Second

// start runs a peer on a cluster, and returns when a URL responds with 200.
func start(ctx context.Context, c *cluster.Cluster, name string, progress io.Writer, ready string, env []string, args ...string) (*Process, error) {
	program, version, err := build(ctx, name, progress)
	if err != nil {
		return nil, err
	}
	p := &Process{Version: version, name: name, log: filepath.Join(c.Dir(), fmt.Sprintf("%s-%d.log", name, time.Now().UnixNano())), ended: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.Command(program, args...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = c.Dir(), log, log
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.Dir(), "KUBECONFIG=" + c.Kubeconfig()}, env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C must not reach it
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	if p.release, err = c.Adopt(p.PID()); err != nil {
		return nil, errors.Join(err, p.Kill())
	}
	if err := p.await(ctx, ready); err != nil {
		lines := strings.Split(p.Log(), "\n")
		const tail = 20
		return nil, errors.Join(fmt.Errorf("start %s: %w; end of its log:\n%s", name, err, strings.Join(lines[max(0, len(lines)-tail):], "\n")), p.Kill())
	}
	return p, nil
}

// await polls a URL until it responds with 200.
func (p *Process) await(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return poll(ctx, func() error {
		select {
		case <-p.ended:
			return fmt.Errorf("process ended: %w", cmp.Or(p.err, errors.New("exit status 0")))
		default:
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := insecure.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("GET %s: %s", url, response.Status)
		}
		return nil
	})
}

// poll calls do until it returns nil, and returns its last error when the context ends.
func poll(ctx context.Context, do func() error) error {
	var last error
	for {
		err := do()
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = err // not of a call that the context has ended
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), last)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// apply applies files or, with input, standard input by kubectl. It retries until the timeout:
// kinds that a file defines are served after a delay.
func apply(ctx context.Context, c *cluster.Cluster, input string, files ...string) error {
	args := []string{"apply", "--server-side", "--force-conflicts"}
	for _, f := range files {
		args = append(args, "-f", f)
	}
	if input != "" {
		args = append(args, "-f", "-")
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return poll(ctx, func() error {
		cmd := c.KubectlCommand(ctx, args...)
		cmd.Stdin = strings.NewReader(input)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("kubectl apply: %w\n%s", err, out)
		}
		return nil
	})
}

// directory returns the directory of this package. It looks from the working directory upwards.
func directory() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		peers := filepath.Join(dir, "test", "peers")
		if _, err := os.Stat(filepath.Join(peers, Kyverno, "go.mod")); err == nil {
			return peers, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("find test/peers: no parent of the working directory has it; run the program in the checkout of drey")
		}
	}
}

// goCommand returns a go command in the module of a peer.
func goCommand(ctx context.Context, name string, args ...string) (*exec.Cmd, error) {
	dir, err := directory()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = filepath.Join(dir, name)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=mod")
	return cmd, nil
}

// module returns the version and the directory of a peer's module.
func module(ctx context.Context, name string) (version, dir string, err error) {
	cmd, err := goCommand(ctx, name, "list", "-m", "-f", "{{.Version}} {{.Dir}}", modules[name])
	if err != nil {
		return "", "", err
	}
	out, err := cmd.Output()
	if err != nil {
		return "", "", fmt.Errorf("find the module of %s: %w", name, err)
	}
	version, dir, _ = strings.Cut(strings.TrimSpace(string(out)), " ")
	if dir != "" {
		return version, dir, nil
	}
	if cmd, err = goCommand(ctx, name, "mod", "download", modules[name]); err != nil {
		return "", "", err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("download the module of %s: %w\n%s", name, err, out)
	}
	return module(ctx, name)
}

// build compiles a peer into the user's cache, unless it is there, and returns its path and
// version. The first build of both takes about ten minutes of two cores.
func build(ctx context.Context, name string, progress io.Writer) (program, version string, err error) {
	version, _, err = module(ctx, name)
	if err != nil {
		return "", "", err
	}
	dir, err := directory()
	if err != nil {
		return "", "", err
	}
	content, err := os.ReadFile(filepath.Join(dir, name, "go.mod"))
	if err != nil {
		return "", "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", "", err
	}
	program = filepath.Join(cache, "drey", "peers", fmt.Sprintf("%s-%s-%s-%s-%.4x", name, version, runtime.GOOS, runtime.GOARCH, sha256.Sum256(content)))
	if _, err := os.Stat(program); err == nil {
		return program, version, nil
	}
	fmt.Fprintf(progress, "Compiling %s %s into the cache; the first build takes minutes\n", name, version)
	cmd, err := goCommand(ctx, name, "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", program+".unfinished", "tool")
	if err != nil {
		return "", "", err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	return program, version, os.Rename(program+".unfinished", program)
}
