// Package eventually polls conditions in tests.
package eventually

import (
	"testing"
	"time"
)

// OK polls check until it returns nil, and fails the test with the last error after the
// timeout. It calls check at least twice, because one call may take that long.
func OK(t testing.TB, timeout time.Duration, check func() error) {
	t.Helper()
	deadline := time.Now().Add(timeout)
	for attempt := 1; ; attempt++ {
		err := check()
		if err == nil {
			return
		}
		if attempt > 1 && time.Now().After(deadline) {
			t.Fatalf("after %s: %v", timeout, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
