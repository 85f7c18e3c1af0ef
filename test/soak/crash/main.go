// Command crash kills drey again and again while clients write, and checks after
// each time that its registry is what the clients were told: no acknowledged
// write is lost, nothing that was deleted is back, and a write without an answer
// took place whole or not at all. It exits with an error if one does not hold.
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

// settings are what a run may be told.
type settings struct {
	rounds  int
	writers int // at once, each in a platform namespace of its own
	names   int // that each writer has for its objects, half of them for each kind
	program string
	dataDir string
	out     io.Writer
}

func main() {
	s := settings{out: os.Stdout}
	flag.IntVar(&s.rounds, "rounds", 200, "times that drey is killed")
	flag.IntVar(&s.writers, "writers", 16, "clients that write at once")
	flag.IntVar(&s.names, "names", 200, "names that each of them has for its objects")
	flag.StringVar(&s.program, "drey", filepath.Join("bin", "drey"), "path of the drey binary")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := runInTemp(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "crash:", err)
		os.Exit(1)
	}
}

// runInTemp keeps the data directory of a run that found something.
func runInTemp(ctx context.Context, s settings) error {
	dir, err := os.MkdirTemp("", "drey-crash-")
	if err != nil {
		return err
	}
	s.dataDir = dir
	if err := run(ctx, s); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w\nthe registry is kept in %s", err, dir)
	} else if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	return os.RemoveAll(dir)
}

// run is rounds of crashes, until one is not survived.
func run(ctx context.Context, s settings) error {
	var writers []*writer
	for i := range s.writers {
		writers = append(writers, newWriter(fmt.Sprintf("writer-%02d", i), s.names))
	}
	var sum tally
	begun := time.Now()
	for n := 1; n <= s.rounds; n++ {
		t, err := round(ctx, s, writers)
		if err != nil {
			return fmt.Errorf("round %d: %w", n, err)
		}
		sum.add(t)
		if n%10 == 0 || n == s.rounds {
			fmt.Fprintf(s.out, "round %3d: %7d writes acknowledged, all there; %5d in doubt, of which %d took place; %d objects, after %s\n",
				n, sum.acknowledged, sum.inDoubt, sum.tookPlace, t.objects, time.Since(begun).Round(time.Second))
		}
	}
	if sum.acknowledged < 10*s.rounds || sum.inDoubt == 0 {
		return errors.New("hardly anything was written: nothing was tested")
	}
	return nil
}

// tally counts writes by what became of them, and the objects that are left.
type tally struct {
	acknowledged, inDoubt, tookPlace, objects int
}

func (t *tally) add(o tally) {
	t.acknowledged += o.acknowledged
	t.inDoubt += o.inDoubt
	t.tookPlace += o.tookPlace
}
