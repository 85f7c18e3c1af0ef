package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// figures are the results of a measurement.
type figures struct {
	perSecond float64
	p50, p99  time.Duration
	calls     int
	cpu       time.Duration // of a server per call, if it was measured
	webhook   time.Duration // CPU of the processes of a scene per call, if it has some
}

// measure calls do repeatedly from n concurrent workers. worker prepares each of them.
func measure(ctx context.Context, n int, length time.Duration, worker func() (do func() error)) (figures, error) {
	return measureAt(ctx, n, 0, length, worker)
}

// measureAt is measure at a rate of all workers together; 0: no limit. The duration of a
// call that is delayed by the one before counts from its scheduled time.
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
	if cause := context.Cause(ctx); cause != errOver { //nolint:errorlint // this very value
		return figures{}, cause
	}
	slices.Sort(all)
	return figures{
		perSecond: float64(len(all)) / passed.Seconds(),
		p50:       all[len(all)/2], p99: all[len(all)*99/100], calls: len(all),
	}, nil
}

// measureCPU is measure, with the CPU time of the process that serves the calls.
func measureCPU(ctx context.Context, pid, n int, length time.Duration, worker func() (do func() error)) (figures, error) {
	before, err := cpuTime(pid)
	if err != nil {
		return figures{}, err
	}
	f, err := measure(ctx, n, length, worker)
	if err != nil {
		return figures{}, err
	}
	after, err := cpuTime(pid)
	f.cpu = (after - before) / time.Duration(f.calls)
	return f, err
}

var errOver = errors.New("measurement complete")

// middle returns the median of each figure.
func middle(rounds []figures) figures {
	return figures{
		perSecond: median(rounds, func(f figures) float64 { return f.perSecond }),
		p50:       median(rounds, func(f figures) time.Duration { return f.p50 }),
		p99:       median(rounds, func(f figures) time.Duration { return f.p99 }),
		cpu:       median(rounds, func(f figures) time.Duration { return f.cpu }),
		webhook:   median(rounds, func(f figures) time.Duration { return f.webhook }),
	}
}

// median returns the median of a field.
func median[F any, T cmp.Ordered](rounds []F, of func(F) T) T {
	all := make([]T, len(rounds))
	for i, f := range rounds {
		all[i] = of(f)
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// columns returns the figures as cells of a table.
func (f figures) columns() string {
	return fmt.Sprintf("%.0f\t%s\t%s", f.perSecond, short(f.p50), short(f.p99))
}

func short(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }
