package output

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestProgress: on a terminal, what takes over a second is shown, and removed at the end.
func TestProgress(t *testing.T) {
	for _, c := range []struct {
		rule  string
		width int
		takes time.Duration
		want  string
	}{
		{"work of 2.5 s", 80, 2500 * time.Millisecond, "\rListing... 1s\rListing... 2s\r\x1b[K"},
		{"work under a second", 80, 900 * time.Millisecond, ""},
		{"no terminal", 0, 5 * time.Second, ""},
	} {
		t.Run(c.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var b strings.Builder
				stop := (&Screen{Writer: &b, Width: c.width}).Progress("Listing")
				time.Sleep(c.takes)
				stop()
				stop()
				if b.String() != c.want {
					t.Errorf("got %q, want %q", b.String(), c.want)
				}
			})
		})
	}
}
