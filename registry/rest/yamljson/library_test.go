package yamljson_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"drey.dev/drey/registry/rest/yamljson"
)

// TestLibraryDigits: sigs.k8s.io/yaml changes numbers that this package keeps, which is the reason
// for it: see decision 22. If this test fails, the package may go.
func TestLibraryDigits(t *testing.T) {
	changed := map[string]string{}
	for _, n := range []string{"1", "1.5", "0.1000", "12345678901234567890.10", "9007199254740993.0", "1E+2", "-0", "1e400", "0x10", "1_000"} {
		ours, err := yamljson.ToJSON([]byte("a: "+n), nil)
		if err != nil {
			t.Fatal(err)
		}
		if theirs, err := yaml.YAMLToJSON([]byte("a: " + n)); err != nil {
			changed[n] = "error"
		} else if string(theirs) != string(ours) {
			changed[n] = string(theirs[len(`{"a":`) : len(theirs)-1])
		}
	}
	want := map[string]string{
		"-0": "0", "0.1000": "0.1", "1E+2": "100", "9007199254740993.0": "9007199254740992", "12345678901234567890.10": "12345678901234567000", "1e400": `"1e400"`,
	}
	if diff := cmp.Diff(want, changed); diff != "" {
		t.Errorf("numbers that the library changes (-want +got):\n%s", diff)
	}
}
