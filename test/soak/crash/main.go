// Command crash kills drey repeatedly while clients write, and compares the registry with
// the acknowledged writes after each restart: none is lost, no deleted object is back, and
// a write without a response is applied wholly or not at all. It exits with 1 on a
// violation.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// settings configures a run.
type settings struct {
	rounds  int
	writers int // concurrent, each with its own platform namespace
	names   int // of objects per writer, half of them per kind
	program string
	dataDir string
	out     io.Writer
}

func main() {
	s := settings{out: os.Stdout}
	flag.IntVar(&s.rounds, "rounds", 200, "number of kills")
	flag.IntVar(&s.writers, "writers", 16, "number of concurrent writers")
	flag.IntVar(&s.names, "names", 200, "number of object names per writer")
	flag.StringVar(&s.program, "drey", filepath.Join("bin", "drey"), "path of the drey binary")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := runInTemp(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "crash:", err)
		os.Exit(1)
	}
}

// runInTemp runs in a temporary directory, which a failed run keeps.
func runInTemp(ctx context.Context, s settings) error {
	dir, err := os.MkdirTemp("", "drey-crash-")
	if err != nil {
		return err
	}
	s.dataDir = dir
	if err := run(ctx, s); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w\nthe registry is in %s", err, dir)
	} else if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	return os.RemoveAll(dir)
}

// run runs the rounds until one has a violation.
func run(ctx context.Context, s settings) error {
	var writers []*writer
	for i := range s.writers {
		writers = append(writers, newWriter(fmt.Sprintf("writer-%02d", i), s.names))
	}
	var sum tally
	began := time.Now()
	for n := 1; n <= s.rounds; n++ {
		t, err := round(ctx, s, writers)
		if err != nil {
			return fmt.Errorf("round %d: %w", n, err)
		}
		sum.add(t)
		if n%10 == 0 || n == s.rounds {
			fmt.Fprintf(s.out, "round %3d: %7d acknowledged writes, none lost; %5d without a response, %d of them applied; %d objects; %s\n",
				n, sum.acknowledged, sum.pending, sum.applied, t.objects, time.Since(began).Round(time.Second))
		}
	}
	if sum.acknowledged < 10*s.rounds || sum.pending == 0 {
		return fmt.Errorf("too few writes: got %d acknowledged and %d without a response, want %d and 1", sum.acknowledged, sum.pending, 10*s.rounds)
	}
	return nil
}

// tally counts writes by outcome, and the objects in the registry.
type tally struct {
	acknowledged, pending, applied, objects int
}

func (t *tally) add(o tally) {
	t.acknowledged += o.acknowledged
	t.pending += o.pending
	t.applied += o.applied
}
