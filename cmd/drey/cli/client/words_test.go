package client

import (
	"testing"

	"drey.dev/drey/test/framework/remedies"
)

// TestCommandWords: no message of the registry or its REST API reaches a user of the command
// line with a method of HTTP in it.
func TestCommandWords(t *testing.T) {
	remedies.Check(t, "../../../..", commandWords)
}
