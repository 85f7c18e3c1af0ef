package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"drey.dev/drey/test/framework/drey"
)

// process is a server that the benchmark has started.
type process struct {
	cmd *exec.Cmd
	url string
	log *bytes.Buffer
}

// startTimed starts drey, and measures the time to readiness and to the first response.
func startTimed(ctx context.Context, program, dir string, m *started) (*process, error) {
	addresses, err := drey.FreeAddresses(2)
	if err != nil {
		return nil, err
	}
	rest, probes := addresses[0], addresses[1]
	began := time.Now()
	p, err := startProcess(ctx, "http://"+rest, program, "serve", "--data-dir", dir, "--rest-bind-address", rest, "--metrics-bind-address", probes)
	if err != nil {
		return nil, err
	}
	if err := p.await(ctx, "http://"+probes+"/readyz"); err != nil {
		return nil, err
	}
	m.ready = time.Since(began)
	if err := p.await(ctx, p.url+targetPath(0, 0)); err != nil {
		return nil, err
	}
	m.answer = time.Since(began)
	return p, nil
}

func startProcess(ctx context.Context, url, program string, args ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, program, args...), url: url, log: &bytes.Buffer{}}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	return p, p.cmd.Start()
}

// await polls a URL until it responds with 200, and stops the process after a timeout.
func (p *process) await(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		if err := get(ctx, http.DefaultClient, url); err == nil {
			return nil
		} else if ctx.Err() != nil {
			return errors.Join(fmt.Errorf("%s: got no 200: %w", p.cmd.Path, err), p.stop(), errors.New(p.log.String()))
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (p *process) stop() error {
	_ = p.cmd.Process.Signal(os.Interrupt) // it may have ended
	err := p.cmd.Wait()
	if _, ended := errors.AsType[*exec.ExitError](err); ended {
		return nil // etcd exits with the signal
	}
	return err
}

// reader returns workers that GET paths, each on its own connection.
func (p *process) reader(path func() string) func() func() error {
	return func() func() error {
		client := &http.Client{Transport: &http.Transport{}}
		return func() error { return get(context.Background(), client, p.url+path()) }
	}
}

func get(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	return roundTrip(client, request, http.StatusOK)
}

func roundTrip(client *http.Client, request *http.Request, want int) error {
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != want {
		err = fmt.Errorf("%s %s: %s: %s", request.Method, request.URL, response.Status, body)
	}
	return err
}

// processMemory returns the fields of /proc/PID/status, in MiB: VmRSS is resident memory,
// RssAnon the part without a file, and VmHWM the peak.
func processMemory(pid int) (map[string]float64, error) { return procMemory(pid, "status") }

// procMemory returns the fields of a file below /proc/PID, in MiB.
func procMemory(pid int, file string) (map[string]float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return nil, fmt.Errorf("read memory: %w; run the benchmark on Linux, which has /proc", err)
	}
	return kibFields(text), nil
}

// kibFields parses lines NAME: N kB, and returns MiB.
func kibFields(text []byte) map[string]float64 {
	found := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, ":")
		if kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64); err == nil {
			found[name] = kib / 1024
		}
	}
	return found
}
