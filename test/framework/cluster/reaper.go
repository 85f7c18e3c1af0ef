package cluster

import (
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
)

// reaper is a shell process that kills the components and removes the files when this
// process ends, also by a panic, os.Exit, Ctrl-C or SIGKILL: the kernel then closes the pipe
// that the reaper reads from.
//
// Each line on the pipe is the complete list of process IDs. An ended component is not in
// it, since its ID may have been reused.
type reaper struct {
	cmd *exec.Cmd
	in  io.WriteCloser
}

// reapScript retries rm, because a dying component may still create files.
const reapScript = `trap '' HUP INT TERM
while read -r line; do pids=$line; done
[ -n "$pids" ] && kill -9 $pids 2>/dev/null
for attempt in 1 2 3 4 5; do rm -rf "$@" && break; sleep 1; done`

// newReaper starts a reaper that removes the paths.
func newReaper(paths ...string) (*reaper, error) {
	r := &reaper{cmd: exec.Command("/bin/sh", append([]string{"-c", reapScript, "drey-reaper"}, paths...)...)}
	r.cmd.Dir = "/" // a working directory cannot be removed on every system
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

// update replaces the list of process IDs.
func (r *reaper) update(pids []int) error {
	if _, err := fmt.Fprintln(r.in, strings.Trim(fmt.Sprint(pids), "[]")); err != nil {
		return fmt.Errorf("update the reaper: %w", err)
	}
	return nil
}

// run makes the reaper kill and remove now, and waits for it.
func (r *reaper) run() {
	_ = r.in.Close()
	_ = r.cmd.Wait() // Stop reports files that remain
}
