// Package eventually polls conditions in tests.
package eventually

import (
	"testing"
	"time"
)

// The interval between two polls is a quarter of the time waited so far, within these bounds: a
// poll by kubectl costs a tenth of a second of CPU time.
const minInterval, maxInterval = 50 * time.Millisecond, 500 * time.Millisecond

// OK polls check until it returns nil, and fails the test with the last error after the
// timeout. It calls check at least twice, because one call may take that long.
func OK(t testing.TB, timeout time.Duration, check func() error) {
	t.Helper()
	began := time.Now()
	deadline := began.Add(timeout)
	for attempt := 1; ; attempt++ {
		err := check()
		if err == nil {
			return
		}
		if attempt > 1 && time.Now().After(deadline) {
			t.Fatalf("after %s: %v", timeout, err)
		}
		time.Sleep(min(max(time.Since(began)/4, minInterval), maxInterval))
	}
}
