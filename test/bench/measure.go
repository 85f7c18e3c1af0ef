package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// figures are what a measurement finds.
type figures struct {
	perSecond float64
	p50, p99  time.Duration
}

// measure calls do from each of n workers, over and over, for a time. worker
// makes what do needs, once for each.
func measure(ctx context.Context, n int, length time.Duration, worker func() (do func() error)) (figures, error) {
	return measureAt(ctx, n, 0, length, worker)
}

// measureAt is measure with so many calls a second, of all workers together, or as many
// as they get for 0. A call that has to wait for the one before it began when its turn
// came.
func measureAt(ctx context.Context, n, perSecond int, length time.Duration, worker func() (do func() error)) (figures, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, length, errOver)
	defer cancel()
	var (
		mu    sync.Mutex
		all   []time.Duration
		first error
		wait  sync.WaitGroup
	)
	began := time.Now()
	for range n {
		do := worker()
		wait.Go(func() {
			var mine []time.Duration
			var err error
			for turn := time.Now(); ctx.Err() == nil && err == nil; {
				start := time.Now()
				if perSecond > 0 {
					turn = turn.Add(time.Duration(n) * time.Second / time.Duration(perSecond))
					if start = turn; time.Until(turn) > 0 {
						time.Sleep(time.Until(turn))
						start = time.Now()
					}
				}
				err = do()
				mine = append(mine, time.Since(start))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, mine...)
			first = cmp.Or(first, err)
		})
	}
	wait.Wait()
	passed := time.Since(began)
	if first != nil {
		return figures{}, first
	}
	if cause := context.Cause(ctx); cause != errOver { //nolint:errorlint // it is that very value
		return figures{}, cause
	}
	slices.Sort(all)
	return figures{
		perSecond: float64(len(all)) / passed.Seconds(),
		p50:       all[len(all)/2], p99: all[len(all)*99/100],
	}, nil
}

var errOver = errors.New("the measurement is over")

// middle is the median of each figure.
func middle(rounds []figures) figures {
	return figures{
		perSecond: median(rounds, func(f figures) float64 { return f.perSecond }),
		p50:       median(rounds, func(f figures) time.Duration { return f.p50 }),
		p99:       median(rounds, func(f figures) time.Duration { return f.p99 }),
	}
}

func median[F any, T cmp.Ordered](rounds []F, of func(F) T) T {
	all := make([]T, len(rounds))
	for i, f := range rounds {
		all[i] = of(f)
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func (f figures) columns() string {
	return fmt.Sprintf("%.0f\t%s\t%s", f.perSecond, short(f.p50), short(f.p99))
}

func short(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }

// residentMemory is that of a process, in MiB. Most of a Go program that does little
// is the part of the binary that has been read.
func residentMemory(pid int) (float64, error) { return memory(pid, "VmRSS:") }

// ownMemory is the part of it that no file backs: heap and stacks.
func ownMemory(pid int) (float64, error) { return memory(pid, "RssAnon:") }

func memory(pid int, field string) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("resident memory is read from /proc, which this system does not have: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("process %d has no %s", pid, field)
}
