package replicas

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"drey.dev/drey/test/framework/eventually"
)

// follower is a running command that prints changes.
type follower struct {
	name   string
	cmd    *exec.Cmd
	stderr bytes.Buffer

	mu    sync.Mutex
	lines []string
	ended chan struct{} // closed at the end of its output
}

// follow starts a command.
func (w *world) follow(t *testing.T, name string, args ...string) *follower {
	t.Helper()
	f := &follower{name: name, cmd: exec.Command(args[0], args[1:]...), ended: make(chan struct{})}
	f.cmd.Env = append(os.Environ(), "KUBECONFIG="+w.Kubeconfig())
	f.cmd.Stderr = &f.stderr
	out, err := f.cmd.StdoutPipe()
	if err == nil {
		err = f.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.cmd.Process.Kill() }) // it has ended
	go func() {
		defer close(f.ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			f.mu.Lock()
			f.lines = append(f.lines, strings.Join(strings.Fields(lines.Text()), " "))
			f.mu.Unlock()
		}
	}()
	return f
}

// await waits until a line has been printed that contains all texts.
func (f *follower) await(t *testing.T, texts ...string) {
	t.Helper()
	eventually.OK(t, func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, line := range f.lines {
			found := true
			for _, text := range texts {
				found = found && strings.Contains(line, text)
			}
			if found {
				return nil
			}
		}
		return fmt.Errorf("%s prints no line with %q:\n%s", f.name, texts, strings.Join(f.lines, "\n"))
	})
}

// interrupt sends SIGINT, upon which the command ends without an error.
func (f *follower) interrupt(t *testing.T) {
	t.Helper()
	if err := f.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case <-f.ended:
	case <-time.After(eventually.Timeout):
		t.Fatalf("%s runs after SIGINT", f.name)
	}
	if err := f.cmd.Wait(); err != nil {
		t.Errorf("%s after SIGINT: %v: %s", f.name, err, &f.stderr)
	}
	for line := range strings.Lines(f.stderr.String()) {
		if !strings.HasPrefix(line, "drey: changes not followed, retrying: ") {
			t.Errorf("%s warns: %s", f.name, line)
		}
	}
}

// TestFollow: drey workloads -w and drey denials -w print what is created, changed and deleted,
// over REST also while each replica is replaced, and with kubectl's rights. They end on SIGINT.
func TestFollow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	namespace, closed := w.Namespace(t), w.Namespace(t)
	w.MustKubectl(t, fmt.Sprintf("apiVersion: drey.dev/v1\nkind: DeploymentTarget\nmetadata: {name: prod}\nspec: {kubernetes: {namespace: %s}}", namespace), "apply", "-n", namespace, "-f", "-")
	plugin := filepath.Join(t.TempDir(), "kubectl-drey")
	if err := os.Symlink(w.program, plugin); err != nil {
		t.Fatal(err)
	}
	workloads := []*follower{
		w.follow(t, "workloads over REST", w.program, "workloads", "--server", w.url(), "-n", namespace, "-w"),
		w.follow(t, "workloads of kubectl", plugin, "workloads", "-n", namespace, "-w"),
	}
	denied := []*follower{
		w.follow(t, "denials over REST", w.program, "denials", "--server", w.url(), "-n", closed, "-w"),
		w.follow(t, "denials of kubectl", plugin, "denials", "-n", closed, "-w"),
	}
	both := func(all []*follower, texts ...string) {
		t.Helper()
		for _, f := range all {
			f.await(t, texts...)
		}
	}
	both(workloads, "NAMESPACE OWNER")
	both(denied, "LAST COUNT")
	create := func(name, in string) (string, error) {
		return w.RunKubectl(t, strings.ReplaceAll(deniedDeployment, "orders", name), "create", "-n", in, "-f", "-")
	}
	if out, err := create("first", namespace); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	both(workloads, "Deployment/first "+namespace+" prod", " 0/0 ")
	w.MustKubectl(t, "", "scale", "deployment", "first", "-n", namespace, "--replicas=2")
	both(workloads, "Deployment/first ", " 0/2 ")
	if out, err := create("one", closed); err == nil {
		t.Fatalf("allowed: %s", out)
	}
	both(denied, " 1 ", closed+" Deployment/one ", "NoDeploymentTarget enforce")
	for i, r := range w.replicas {
		if err := r.Stop(); err != nil {
			t.Fatal(err)
		}
		w.remove(r)
		name := fmt.Sprint("while-", i)
		eventually.OK(t, func() error {
			if out, err := create(name, namespace); err != nil {
				return fmt.Errorf("%w %s", err, out)
			}
			return nil
		})
		if out, err := create(name, closed); err == nil {
			t.Fatalf("allowed: %s", out)
		}
		both(workloads, "Deployment/"+name+" ", " 0/0 ")
		both(denied, closed+" Deployment/"+name+" ")
		w.start(t)
		w.await(t, 2)
	}
	w.MustKubectl(t, "", "delete", "deployment", "first", "-n", namespace)
	both(workloads, "Deployment/first ", " Deleted ")
	for _, f := range append(workloads, denied...) {
		f.interrupt(t)
		f.mu.Lock()
		seen := map[string]bool{}
		for _, line := range f.lines {
			if seen[line] {
				t.Errorf("%s prints twice: %s", f.name, line)
			}
			seen[line] = true
		}
		f.mu.Unlock()
	}
}
