package codec

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	kjson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation"

	"drey.dev/drey/registry"
	v1 "drey.dev/drey/registry/kubestore/v1"
)

// TestObjectName: the names are valid and unique.
func TestObjectName(t *testing.T) {
	names := map[string]string{}
	add := func(name string) {
		t.Helper()
		kept := ObjectName(name)
		if problems := validation.IsDNS1123Subdomain(kept); len(problems) > 0 {
			t.Fatalf("%q becomes %q: %v", name, kept, problems)
		}
		if other, ok := names[kept]; ok && other != name {
			t.Fatalf("%q and %q are both %q", name, other, kept)
		}
		names[kept] = name
	}
	for _, name := range []string{"a", "A", "-", "_", "a-", "-a", "a_", "a_b", "a-b", "aB", "ab", "Ab", "AB", strings.Repeat("x", 250), strings.Repeat("X", 250), strings.Repeat("x", 249) + "-", strings.Repeat("_", 250)} {
		add(name)
	}
	const alphabet = "abAB01-_"
	random := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		b := make([]byte, 1+random.IntN(6))
		if random.IntN(20) == 0 {
			b = make([]byte, 240+random.IntN(11))
		}
		for i := range b {
			b[i] = alphabet[random.IntN(len(alphabet))]
		}
		add(string(b))
	}
	for name, want := range map[string]string{"staging": "staging", "my-target-2": "my-target-2", "my_target": "my-target.", "myDeploymentTarget": "mydeploymenttarget.", "_": "x-"} {
		if got := ObjectName(name); !strings.HasPrefix(got, want) {
			t.Errorf("%q becomes %q, want %q", name, got, want)
		}
	}
}

func TestVersions(t *testing.T) {
	state, other := digest{1}, digest{2}
	for name, c := range map[string]struct {
		counted string
		want    int32
	}{
		"as counted":                  {formatVersion(7, state), 7},
		"the greatest there is":       {formatVersion(math.MaxInt32, state), math.MaxInt32},
		"counted for another state":   {formatVersion(7, other), 1 << 30},
		"never counted":               {"", 1 << 30},
		"nonsense":                    {"x " + state.String(), 1 << 30},
		"zero":                        {"0 " + state.String(), 1 << 30},
		"below zero":                  {"-1 " + state.String(), 1 << 30},
		"more than an int32":          {"2147483648 " + state.String(), 1 << 30},
		"a number without its digest": {"7", 1 << 30},
	} {
		if got, _ := parseVersion(c.counted, state); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	if registry.NextVersion(1) != 2 || registry.NextVersion(math.MaxInt32) != 1 {
		t.Error("next does not count")
	}
	for i := range 10000 {
		o := registry.Object{Metadata: registry.Metadata{Name: fmt.Sprint(i)}, Spec: json.RawMessage("{}")}
		if v, _ := parseVersion("", digestOf(o)); v < 1<<30 {
			t.Fatalf("version %d of a state", v)
		}
	}
}

// TestDigestOf: digests differ in what REST shows.
func TestDigestOf(t *testing.T) {
	base := func() registry.Object {
		return registry.Object{
			Metadata: registry.Metadata{Name: "a", DisplayName: "A", Labels: map[string]string{"l": "1"}, Annotations: map[string]string{"n": "1"}},
			Spec:     json.RawMessage(`{"x":1.0,"y":"ü"}`),
		}
	}
	for name, c := range map[string]struct {
		change func(*registry.Object)
		same   bool
	}{
		"nothing":        {func(*registry.Object) {}, true},
		"the id":         {func(o *registry.Object) { o.Metadata.ID = "x" }, true},
		"order of keys":  {func(o *registry.Object) { o.Spec = json.RawMessage(`{"y":"\u00fc", "x":1.0}`) }, true},
		"a digit":        {func(o *registry.Object) { o.Spec = json.RawMessage(`{"x":1.00,"y":"ü"}`) }, false},
		"a label":        {func(o *registry.Object) { o.Metadata.Labels["l"] = "2" }, false},
		"an annotation":  {func(o *registry.Object) { delete(o.Metadata.Annotations, "n") }, false},
		"a display name": {func(o *registry.Object) { o.Metadata.DisplayName = "" }, false},
		"label to a note": {func(o *registry.Object) {
			o.Metadata.Labels, o.Metadata.Annotations = nil, map[string]string{"n": "1", "l": "1"}
		}, false},
	} {
		o := base()
		c.change(&o)
		if got := digestOf(o) == digestOf(base()); got != c.same {
			t.Errorf("%s: same is %t", name, got)
		}
	}
}

// FuzzNumbers: the digits of a spec survive the API server.
func FuzzNumbers(f *testing.F) {
	for _, seed := range []string{
		`{"a":1,"b":1.0,"c":-0,"d":1e5,"e":1E400,"f":0.1,"g":12345678901234567890.10}`,
		`{"a":[1,2.50,{"b~/c":3.00}],"":{"":-0.0}}`, `{"t":"1.0","n":null,"b":true,"o":{},"l":[]}`, `{"x":9007199254740993,"y":9223372036854775808,"z":1e21}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		v := jsontext.Value(text)
		if !v.IsValid() || v.Kind() != '{' { // REST takes nothing else
			return
		}
		simple, texts, err := canonicalizeNumbers(json.RawMessage(text))
		if err != nil {
			t.Fatalf("canonicalizeNumbers: %v", err)
		}
		var kept map[string]any
		if err := kjson.Unmarshal(simple, &kept); err != nil {
			t.Fatalf("the API server could not read %s: %v", simple, err)
		}
		stored, err := json.Marshal(kept)
		if err != nil {
			t.Fatal(err)
		}
		back, err := restoreNumbers(stored, texts)
		if err != nil {
			t.Fatalf("restoreNumbers: %v", err)
		}
		if got, want := sorted(t, back), sorted(t, text); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

func sorted(t *testing.T, text []byte) string {
	v := jsontext.Value(text).Clone()
	if err := v.Format(jsontext.ReorderRawObjects(true)); err != nil {
		t.Fatal(err)
	}
	return string(v)
}

// TestRestoreNumbersChanged: a number that kubectl changed is changed.
func TestRestoreNumbersChanged(t *testing.T) {
	_, texts, err := canonicalizeNumbers(json.RawMessage(`{"cpu":1.0,"n":2.0}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := restoreNumbers(json.RawMessage(`{"cpu":3,"n":2}`), texts); err != nil || string(got) != `{"cpu":3,"n":2.0}` {
		t.Errorf("%s, %v", got, err)
	}
}

// TestNumbersAnnotation: a text that is not a JSON number is ignored. Users may write any.
func TestNumbersAnnotation(t *testing.T) {
	const spec = `{"deploymentTargetName":"staging","parallelism":3,"zero":0}`
	for _, c := range []struct{ numbers, want string }{
		{`{"/parallelism":"3.0"}`, `{"deploymentTargetName":"staging","parallelism":3.0,"zero":0}`},
		{`{"/parallelism":"+3"}`, spec},
		{`{"/parallelism":"0x3"}`, spec},
		{`{"/parallelism":"0x3p0"}`, spec},
		{`{"/parallelism":" 3"}`, spec},
		{`{"/parallelism":"3 "}`, spec},
		{`{"/parallelism":"03"}`, spec},
		{`{"/parallelism":"3."}`, spec},
		{`{"/zero":""}`, spec},
		{`{"/zero":"nan"}`, spec},
		{`{"/zero":"-0"}`, `{"deploymentTargetName":"staging","parallelism":3,"zero":-0}`},
		{`{"/zero":"\"x\""}`, spec},
		{`{"/zero":"{\"a\":1}"}`, spec},
		{`{"/zero":"0,\"deploymentTargetName\":\"other\""}`, spec},
		{`{"/zero":7}`, spec},
		{`[]`, spec},
		{`{`, spec},
	} {
		o := Resources[registry.Deployment].New()
		if err := Resources[registry.Deployment].setSpec(o, "a", json.RawMessage(spec)); err != nil {
			t.Fatal(err)
		}
		o.SetAnnotations(map[string]string{v1.AnnotationNumbers: c.numbers})
		if got := string(Resources[registry.Deployment].Decode(o).Spec); got != c.want {
			t.Errorf("with %s the spec is\n%s, want\n%s", c.numbers, got, c.want)
		}
	}
}
