package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"drey.dev/drey/test/framework/drey"
)

// TestWait: the demonstration ends on Ctrl-C, and when drey is killed.
func TestWait(t *testing.T) {
	d, err := drey.Start(t.Context(), drey.Options{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Kill() })
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	if err := wait(interrupted, d); err != nil {
		t.Errorf("interrupted: got %v, want no error", err)
	}
	go func() { _ = d.Kill() }()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := wait(ctx, d); err == nil || !strings.Contains(err.Error(), "drey is up") {
		t.Errorf("killed: got %v, want an error with the log", err)
	}
}
