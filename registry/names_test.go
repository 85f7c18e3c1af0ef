package registry_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"

	"drey.dev/drey/registry"
)

func TestLabelValue(t *testing.T) {
	for rule, c := range map[string]struct{ name, want string }{
		"a name of Ververica Platform":                    {"My Deployment Name", "my-deployment-name"},
		"a valid value in lower case stays":               {"my_job.v1-2", "my_job.v1-2"},
		"upper case is lowered":                           {"TopSpeed", "topspeed"},
		"runs of anything else are one hyphen":            {"a  --  b", "a-b"},
		"no hyphen at the ends":                           {" (a) ", "a"},
		"a name that lost a letter is told from others":   {"Eichhörnchen", "eichh-rnchen-" + digestOf("Eichhörnchen")},
		"a name with nothing left":                        {"松鼠", "x-" + digestOf("松鼠")},
		"an empty name":                                   {"", "x-" + digestOf("")},
		"punctuation alone":                               {"...", "x-" + digestOf("...")},
		"63 characters stay":                              {strings.Repeat("a", 63), strings.Repeat("a", 63)},
		"64 are cut, and end in a digest":                 {strings.Repeat("a", 64), strings.Repeat("a", 54) + "-" + digestOf(strings.Repeat("a", 64))},
		"a cut does not leave two hyphens":                {strings.Repeat("a", 53) + "-" + strings.Repeat("b", 20), strings.Repeat("a", 53) + "-" + digestOf(strings.Repeat("a", 53)+"-"+strings.Repeat("b", 20))},
		"a value that is valid but for its end is mended": {"job-", "job"},
	} {
		t.Run(rule, func(t *testing.T) {
			if got := registry.LabelValue(c.name); got != c.want {
				t.Errorf("%q became %q, want %q", c.name, got, c.want)
			}
		})
	}
}

// digest is taken from the value of a name that has nothing else: that it is
// the SHA-256's is pinned by one that was computed with another tool.
func digestOf(name string) string {
	value := registry.LabelValue(name)
	return value[len(value)-8:]
}

// TestLabelValueDigest: the digest is that of SHA-256.
func TestLabelValueDigest(t *testing.T) {
	// printf '...' | sha256sum
	if got := registry.LabelValue("..."); got != "x-ab5df625" {
		t.Errorf("got %q", got)
	}
}

// TestLabelValueCollisions: names that differ in more than punctuation have different values.
func TestLabelValueCollisions(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	letters := []rune("abcXYZ019öß松é")
	seen := map[string]string{}
	for range 200_000 {
		name := make([]rune, 1+rng.IntN(80))
		for i := range name {
			name[i] = letters[rng.IntN(len(letters))]
		}
		key := strings.ToLower(string(name))
		if key != string(name) && isASCII(key) {
			key = strings.ToLower(key) // ASCII case is folded on purpose
		} else {
			key = string(name)
		}
		value := registry.LabelValue(string(name))
		if other, ok := seen[value]; ok && other != key {
			t.Fatalf("%q and %q are both %q", other, key, value)
		}
		seen[value] = key
	}
}

func isASCII(s string) bool { return strings.IndexFunc(s, func(r rune) bool { return r > 127 }) < 0 }

func FuzzLabelValue(f *testing.F) {
	for _, name := range []string{"", "a", "My Deployment Name", "\xff", "a\x00b", strings.Repeat("-", 100), strings.Repeat("ö", 100), "x-e3b0c442"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		value := registry.LabelValue(name)
		if value == "" {
			t.Errorf("%q has no value", name)
		}
		if problems := validation.IsValidLabelValue(value); len(problems) > 0 {
			t.Errorf("%q became %q: %v", name, value, problems)
		}
		if value != strings.ToLower(value) {
			t.Errorf("%q became %q, which is not in lower case", name, value)
		}
		if again := registry.LabelValue(value); again != value {
			t.Errorf("%q became %q, and that %q", name, value, again)
		}
		if name != "" && name == strings.ToLower(name) && len(validation.IsValidLabelValue(name)) == 0 && value != name {
			t.Errorf("%q was valid and became %q", name, value)
		}
	})
}

func ExampleLabelValue() {
	fmt.Println(registry.LabelValue("My Deployment Name"))
	// Output: my-deployment-name
}
