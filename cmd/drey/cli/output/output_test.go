package output

import (
	"testing"
	"time"
)

func TestAge(t *testing.T) {
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	for created, want := range map[string]string{
		"2026-03-10T11:59:01.5Z": "58s", "2026-03-10T11:00:00Z": "60m", "2026-03-09T12:00:00Z": "24h", "2026-03-01T12:00:00Z": "9d", "2026-03-10T11:54:30Z": "5m30s", "": "?",
	} {
		if got := Age(created, now); got != want {
			t.Errorf("%q: %s, want %s", created, got, want)
		}
	}
}
