package cluster

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
)

// progressInterval is the interval of the progress messages of a build.
const progressInterval = 10 * time.Second

// build compiles the tools of the module into dir.
func build(ctx context.Context, m module, dir string, progress io.Writer) error {
	began := time.Now()
	report := func(format string, args ...any) {
		passed := time.Since(began).Round(time.Second)
		fmt.Fprintf(progress, "building the control plane: %s (%s)\n", fmt.Sprintf(format, args...), passed)
	}
	report("Kubernetes %s and etcd %s, into the cache; the first build takes minutes", m.kubernetes, m.etcd)

	// Listing the packages downloads the modules. Only stale packages are compiled.
	list := m.goCommand(ctx, "list", "-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}")
	stale, err := run(ctx, list, func(lines int64) { report("downloading modules, %d so far", lines) })
	if err != nil {
		return err
	}
	total := len(strings.Fields(string(stale)))

	compile := m.goCommand(ctx, "build", "-v", "-o", dir+string(filepath.Separator))
	if _, err := run(ctx, compile, func(lines int64) { report("%d of %d packages", lines, total) }); err != nil {
		return err
	}
	// go build names a binary after the last element of its import path.
	if err := os.Rename(filepath.Join(dir, "server"), filepath.Join(dir, string(Etcd))); err != nil {
		return err
	}
	report("done")
	return nil
}

// goCommand returns a go command for all tools of the module. Every subcommand gets the
// build flags, because staleness depends on them.
func (m module) goCommand(ctx context.Context, subcommand string, flags ...string) *exec.Cmd {
	major, minor, _ := strings.Cut(m.minor(), ".")
	const version = " -X k8s.io/component-base/version."
	args := append([]string{
		subcommand, "-mod=readonly", "-trimpath", "-buildvcs=false",
		"-tags=providerless", // before 1.31: without the clients of cloud providers
		"-ldflags=-s -w" + version + "gitVersion=" + m.kubernetes + version + "gitMajor=" + major + version + "gitMinor=" + minor,
	}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, "tool")...)
	// On SIGINT the go command stops its compilers.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	cmd.Dir = m.dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	return cmd
}

// run runs a go command and returns its output. It reports the number of lines on standard
// error at every interval; an error contains the last lines.
func run(ctx context.Context, cmd *exec.Cmd, report func(lines int64)) ([]byte, error) {
	var out bytes.Buffer
	cmd.Stdout = &out
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var lines atomic.Int64
	tick, done := time.NewTicker(progressInterval), make(chan struct{})
	defer tick.Stop()
	defer close(done)
	go func() {
		for {
			select {
			case <-tick.C:
				report(lines.Load())
			case <-done:
				return
			}
		}
	}()

	var last []string
	for scan := bufio.NewScanner(stderr); scan.Scan(); lines.Add(1) {
		last = append(last, scan.Text())
		last = last[max(0, len(last)-tailLines):]
	}
	err = cmd.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n\t%s", strings.Join(cmd.Args[:2], " "), err, strings.Join(last, "\n\t"))
	}
	return out.Bytes(), nil
}
