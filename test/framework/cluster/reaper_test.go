package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// crashEnv is the environment variable that makes the test binary start a cluster and exit in
// the named way without stopping it.
const crashEnv = "DREY_TEST_DOOMED"

func TestMain(m *testing.M) {
	if how := os.Getenv(crashEnv); how != "" {
		crash(how)
	}
	os.Exit(m.Run())
}

// trace lists the processes and files of a cluster.
type trace struct {
	PIDs  []int
	Paths []string
}

func (c *Cluster) trace() trace {
	t := trace{PIDs: []int{c.reaper.cmd.Process.Pid}, Paths: []string{c.dir, c.kubeconfig}}
	for _, component := range components {
		if pid := c.PID(component); pid != 0 {
			t.PIDs = append(t.PIDs, pid)
		}
	}
	return t
}

// running reports whether a process exists and is not a zombie.
func running(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil { // it has just ended, or there is no /proc
		return !errors.Is(err, os.ErrNotExist) || errors.Is(syscall.Kill(pid, 0), nil)
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}

func crash(how string) {
	c, err := New(context.Background(), Options{Kubeconfig: filepath.Join(os.Getenv("DREY_TEST_DIR"), how)})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(4)
	}
	json.NewEncoder(os.Stdout).Encode(c.trace())
	switch how {
	case "panic":
		panic("expected")
	case "exit":
		os.Exit(3)
	default:
		time.Sleep(time.Minute)
		os.Exit(5) // was not killed
	}
}

// TestReaper: no process and no file of a cluster outlives its process.
func TestReaper(t *testing.T) {
	t.Parallel()
	for how, test := range map[string]struct {
		signal syscall.Signal
		ending string
	}{
		"kill":      {syscall.SIGKILL, "signal: killed"},
		"interrupt": {syscall.SIGINT, "signal: interrupt"},
		"panic":     {0, "exit status 2"},
		"exit":      {0, "exit status 3"},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), crashEnv+"="+how, "DREY_TEST_DIR="+t.TempDir())
			// A terminal sends SIGINT to the process group.
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var left trace
			if err := json.NewDecoder(stdout).Decode(&left); err != nil {
				t.Fatalf("%v; %v\n%s", err, cmd.Wait(), &stderr)
			}
			if len(left.PIDs) != len(components)+1 {
				t.Fatalf("processes %v; want those of %v and the reaper", left.PIDs, components)
			}
			if test.signal != 0 {
				for _, pid := range left.PIDs {
					if !running(pid) {
						t.Fatalf("process %d has ended before its parent", pid)
					}
				}
				if err := syscall.Kill(-cmd.Process.Pid, test.signal); err != nil {
					t.Fatal(err)
				}
			}
			if err := cmd.Wait(); err == nil || err.Error() != test.ending {
				t.Fatalf("the parent ended with %v; want %s\n%s", err, test.ending, &stderr)
			}
			waitFor(t, "no process and no file left", left.gone)
		})
	}
}

func (t trace) gone() bool {
	return !slices.ContainsFunc(t.PIDs, running) && !slices.ContainsFunc(t.Paths, func(path string) bool {
		_, err := os.Lstat(path)
		return err == nil
	})
}
