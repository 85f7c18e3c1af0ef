// Package eventually waits in tests for what comes about by itself.
package eventually

import (
	"testing"
	"time"
)

// OK waits until check returns nil, and fails the test with its last error if that
// takes longer than within. One check alone may take that long: there is a second.
func OK(t testing.TB, within time.Duration, check func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for attempt := 1; ; attempt++ {
		err := check()
		if err == nil {
			return
		}
		if attempt > 1 && time.Now().After(deadline) {
			t.Fatalf("after %s: %v", within, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
