package console

import (
	"testing"

	"drey.dev/drey/test/framework/remedies"
)

// TestPageWords: no message of the registry or its REST API reaches a user of the console with a
// method of HTTP in it.
func TestPageWords(t *testing.T) {
	remedies.Check(t, "..", pageWords)
}
