// Package eventually waits in tests for what comes about by itself.
package eventually

import (
	"testing"
	"time"
)

// OK waits until check returns nil, and fails the test with its last error if that
// takes longer than within.
func OK(t testing.TB, within time.Duration, check func() error) {
	t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(50 * time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s: %v", within, err)
		}
	}
}
