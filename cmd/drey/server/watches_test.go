package server

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// TestEventMessage: a long message is cut at the limit of events, between characters.
func TestEventMessage(t *testing.T) {
	for _, text := range []string{strings.Repeat("ä", 800), "x" + strings.Repeat("ä", 800), "xx" + strings.Repeat("€", 800)} {
		if got := eventMessage(text); len(got) > 1024 || len(got) < 1015 || !utf8.ValidString(got) || !strings.HasSuffix(got, "...") {
			t.Errorf("got %d bytes, valid: %t", len(got), utf8.ValidString(got))
		}
	}
}
