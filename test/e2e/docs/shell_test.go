package docs

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// shell is a bash process: variables, the directory and background jobs last for a page.
type shell struct {
	dir   string
	stdin io.WriteCloser
	ends  *bufio.Reader // a line with the exit code after each command
	count int
}

func startShell(t *testing.T, dir string, env []string) *shell {
	t.Helper()
	cmd := exec.Command("bash", "--norc", "--noprofile")
	cmd.Dir, cmd.Env = dir, env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) // the background jobs of the page
		_ = stdin.Close()
		_ = cmd.Wait() // ended by the signal
	})
	return &shell{dir: dir, stdin: stdin, ends: bufio.NewReader(stdout)}
}

// run runs a command and returns its output, and its exit code.
func (s *shell) run(command string) (out string, code int, err error) {
	s.count++
	script, output := filepath.Join(s.dir, fmt.Sprintf(".command-%d", s.count)), filepath.Join(s.dir, fmt.Sprintf(".output-%d", s.count))
	if err := os.WriteFile(script, []byte(command+"\n"), 0o600); err != nil {
		return "", 0, err
	}
	if _, err := fmt.Fprintf(s.stdin, ". %q </dev/null >%q 2>&1; echo $?\n", script, output); err != nil {
		return "", 0, err
	}
	line, err := s.ends.ReadString('\n')
	if err != nil {
		return "", 0, fmt.Errorf("the shell ended: %w", err)
	}
	if code, err = strconv.Atoi(strings.TrimSpace(line)); err != nil {
		return "", 0, err
	}
	text, err := os.ReadFile(output)
	return string(text), code, err
}
