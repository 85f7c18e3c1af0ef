package cli

import (
	"os"
	"testing"

	"drey.dev/drey/test/framework/drey"
)

// program is the binary under test.
var program string

func TestMain(m *testing.M) { os.Exit(drey.Main(m, &program)) }

// start runs drey serve without a cluster.
func start(t *testing.T, dataDir string) *drey.Drey {
	t.Helper()
	d, err := drey.Start(t.Context(), drey.Options{Program: program, DataDir: dataDir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Stop() }) // it may have ended
	return d
}
