package cluster

import (
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
)

// reaper is a shell that waits for our end, to end the components and remove the
// files if we could not: after a panic, os.Exit, Ctrl-C or kill -9. It learns of
// our end from the kernel, which closes the pipe that it reads from.
//
// It reads lines. Each is the whole list of the components' process ids, so that
// one which has ended, and whose id may be another's by then, is not on it.
type reaper struct {
	cmd *exec.Cmd
	in  io.WriteCloser
}

// A component that is just dying can still make a file behind rm's back, hence
// the tries.
const reap = `trap '' HUP INT TERM
while read -r line; do pids=$line; done
[ -n "$pids" ] && kill -9 $pids 2>/dev/null
for try in 1 2 3 4 5; do rm -rf "$@" && break; sleep 1; done`

// newReaper starts a reaper that will remove the given paths.
func newReaper(paths ...string) (*reaper, error) {
	r := &reaper{cmd: exec.Command("/bin/sh", append([]string{"-c", reap, "drey-reaper"}, paths...)...)}
	r.cmd.Dir = "/" // so that it does not keep a directory from being removed
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	if r.in, err = r.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the reaper: %w", err)
	}
	return r, nil
}

// tell gives the reaper the process ids to kill, in place of those before.
func (r *reaper) tell(pids []int) error {
	if _, err := fmt.Fprintln(r.in, strings.Trim(fmt.Sprint(pids), "[]")); err != nil {
		return fmt.Errorf("tell the reaper: %w", err)
	}
	return nil
}

// dismiss lets the reaper do what it does at our end, and waits for it.
func (r *reaper) dismiss() {
	_ = r.in.Close()
	_ = r.cmd.Wait() // what it could not remove, Stop reports
}
