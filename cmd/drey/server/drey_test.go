package server

import (
	"os"
	"testing"

	"drey.dev/drey/test/framework/drey"
)

// program is the binary under test.
var program string

func TestMain(m *testing.M) { os.Exit(drey.Main(m, &program)) }

// Exit codes of the command line, see docs/how-to/cli.md.
const (
	exitFailure  = 1
	exitUsage    = 2
	exitNotFound = 3
	exitRefused  = 4
)

func start(t *testing.T, dataDir string) *drey.Drey {
	t.Helper()
	return startWith(t, dataDir)
}

// startWith runs drey serve without a cluster.
func startWith(t *testing.T, dataDir string, args ...string) *drey.Drey {
	t.Helper()
	d, err := drey.Start(t.Context(), drey.Options{Program: program, DataDir: dataDir, Args: args})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Stop() }) // it may have ended
	return d
}
