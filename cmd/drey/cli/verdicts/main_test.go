package verdicts

import (
	"os"
	"regexp"
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

var uuidPattern = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

func runDrey(t *testing.T, stdin string, args []string) (string, int) {
	t.Helper()
	text, code := drey.Run(t, program, stdin, args...)
	return uuidPattern.ReplaceAllString(text, "ID"), code
}
