// Package eventually polls conditions in tests.
package eventually

import (
	"testing"
	"time"
)

// Timeout bounds a wait for what normally takes a second. It is for a machine that is several times
// slower and busy: only a test that fails waits that long.
const Timeout = 2 * time.Minute

// The interval between two polls is a quarter of the time waited so far, within these bounds: a
// poll by kubectl costs a tenth of a second of CPU time.
const minInterval, maxInterval = 50 * time.Millisecond, 500 * time.Millisecond

// OK polls check until it returns nil, and fails the test with the last error after [Timeout].
func OK(t testing.TB, check func() error) {
	t.Helper()
	Within(t, Timeout, check)
}

// Within is [OK] with a timeout, for what takes minutes. It calls check at least twice, because one
// call may take that long.
func Within(t testing.TB, timeout time.Duration, check func() error) {
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
