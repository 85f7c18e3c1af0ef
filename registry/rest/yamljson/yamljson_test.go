package yamljson_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"sigs.k8s.io/yaml"

	"drey.dev/drey/registry/rest/yamljson"
)

// TestPlainScalars: plain scalars have the types that kubectl gives them.
func TestPlainScalars(t *testing.T) {
	for _, text := range []string{
		"yes", "Off", "y", "n", "true", "null", "~", "", "0x1F", "0o17", "017", "1_000", "+1", "-.5", ".5", "1.", "1e3", "0b101", ".inf", "-.Inf", ".nan",
		"2026-01-02", "2026-01-02T03:04:05Z", "12:30:45", "a", "- a", "'1'", `"1"`, "!!str 1", "!!int '1'", "1: a", "true: a", "~x", "=", "|\n  two\n  lines\n", ">\n  two\n  lines\n",
		"{a: [1, b], c: {}}", "a: &x {b: 1}\nc: *x", "a: &x {b: 1, c: 2}\nd: {<<: *x, b: 3}", "a: &x {b: 1}\ne: &y {c: 2}\nd: {<<: [*x, *y], f: 3}", "'1': a", "\"\\u00fc\\x41\"", "? a\n: b",
	} {
		want, wantErr := yaml.YAMLToJSON([]byte(text))
		got, err := yamljson.ToJSON([]byte(text), nil)
		if (err != nil) != (wantErr != nil) && text != "" {
			t.Errorf("%q: error %v, kubectl's is %v", text, err, wantErr)
			continue
		}
		if err == nil && rounded(t, got) != rounded(t, want) {
			t.Errorf("%q: got %s, to kubectl it is %s", text, got, want)
		}
	}
}

// TestKeys: keys are text as written.
func TestKeys(t *testing.T) {
	for _, key := range []string{"y", "no", "On", "123", "0x1F", "1_000", "1.20", "'1'"} {
		got, err := yamljson.ToJSON([]byte(key+": a"), nil)
		if want := `{"` + strings.Trim(key, "'") + `":"a"}`; err != nil || string(got) != want {
			t.Errorf("%s became %s, %v, want %s", key, got, err, want)
		}
	}
}

// TestStringFields: scalars of string fields are text as written, in YAML and JSON.
func TestStringFields(t *testing.T) {
	fields := yamljson.NewStrings("name", "labels.*", "labels.deep.no", "list[]", "env[].value")
	for text, want := range map[string]string{
		"name: y":                      `{"name":"y"}`,
		"name: 0123":                   `{"name":"0123"}`,
		"name: .inf":                   `{"name":".inf"}`,
		"name: 2026-01-02":             `{"name":"2026-01-02"}`,
		"name: !!int '7'":              `{"name":"7"}`,
		"name: ~":                      `{"name":null}`,
		"name: {name: 1}":              `{"name":{"name":1}}`,
		"other: 1.20":                  `{"other":1.20}`,
		"a: &a 1.20\nname: *a\nb: *a":  `{"a":1.20,"name":"1.20","b":1.20}`,
		"labels: {on: off, n: [1, y]}": `{"labels":{"on":"off","n":[1,true]}}`,
		"labels: {deep: {no: 1}}":      `{"labels":{"deep":{"no":"1"}}}`,
		"list: [1, 0x10, {a: 1}]":      `{"list":["1","0x10",{"a":1}]}`,
		"env: [{name: 1, value: yes}]": `{"env":[{"name":1,"value":"yes"}]}`,
		"env: {value: 1}":              `{"env":{"value":1}}`,
	} {
		if got, err := yamljson.ToJSON([]byte(text), fields); err != nil || string(got) != want {
			t.Errorf("%s became %s, %v, want %s", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		`{"name": 1.20 , "x":1}`:                   `{"name": "1.20" , "x":1}`,
		`{"name":null,"other":true}`:               `{"name":null,"other":true}`,
		`{"labels":{"a":true,"b":"c","d":-1e400}}`: `{"labels":{"a":"true","b":"c","d":"-1e400"}}`,
		`{"list":[1,[2],"3",false]}`:               `{"list":["1",[2],"3","false"]}`,
		`{"env":[{"value":1},{"name":2}]}`:         `{"env":[{"value":"1"},{"name":2}]}`,
		`{"name":1,"name":2}`:                      `{"name":"1","name":"2"}`,
		`{"name":1,`:                               `{"name":"1",`,
		`{"name":01}`:                              `{"name":"0"1}`, // invalid at the same place
		`[1]`:                                      `[1]`,
		``:                                         ``,
	} {
		got, inserted := fields.Quote([]byte(text))
		if string(got) != want {
			t.Errorf("%s became %s, want %s", text, got, want)
		}
		if at := yamljson.Unquoted(int64(len(got)), inserted); at != int64(len(text)) {
			t.Errorf("%s: the end is at %d, want %d", text, at, len(text))
		}
	}
}

// TestNumberDigits: numbers keep their digits.
func TestNumberDigits(t *testing.T) {
	for _, n := range []string{"12345678901234567890.10", "1e400", "-0", "0.1000", "9007199254740993", "1E+2"} {
		got, err := yamljson.ToJSON([]byte("a: "+n), nil)
		if want := `{"a":` + n + `}`; err != nil || string(got) != want {
			t.Errorf("%s became %s, %v", n, got, err)
		}
	}
}

// TestInvalidYAML: errors have the line and column.
func TestInvalidYAML(t *testing.T) {
	for text, says := range map[string]string{
		"":                               "no document",
		"# nothing":                      "no document",
		"a: 1\n---\nb: 2":                "more than one document",
		"a: 1\nb: 2\na: 3":               `line 3, column 1: duplicate key "a", first in line 1`,
		"{a: 1, <<: 2}":                  "only an object can be merged",
		"? [a]\n: 1":                     "a key must be a scalar",
		strings.Repeat("- ", 300):        "nested deeper than 200",
		"a: \xff":                        "UTF-8",
		bomb():                           "exceed 200000 values",
		"a: &a {<<: *a}":                 "",
		mergeBomb():                      "exceed 200000 values",
		"a: &a [*a]":                     "",
		"x: &x {k: 1}\ny: {<<: [*x, 7]}": "only an object can be merged",
	} {
		if got, err := yamljson.ToJSON([]byte(text), nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.60q: got %.60s, %v, want an error that says %q", text, got, err, says)
		}
	}
}

// TestSyntaxErrorPosition: syntax errors have the line and column.
func TestSyntaxErrorPosition(t *testing.T) {
	for text, says := range map[string]string{
		"spec:\n  kubernetes:\n namespace: staging\n": "line 3, column 2: did not find expected key",
		"a: 1\nb: {c: 1, d: ]}\ne: 2\n":               "line 2, column 14: did not find expected node content",
		"a: 1\nb: \tc\n  d: 2\n":                      "line 3, column 3: ",
		"a:\n  - b\n  c: d\n":                         "line 3, column 3: did not find expected '-' indicator",
		"a: 1\nb: \"open\n":                           "line 2, column 4: found unexpected end of stream",
		"]":                                           "line 1, column 1: ",
		"a: \xff":                                     "line 1, column 4: ",
	} {
		if _, err := yamljson.ToJSON([]byte(text), nil); err == nil || !strings.HasPrefix(err.Error(), says) {
			t.Errorf("%q: got %v, want %q", text, err, says)
		}
	}
}

// TestPosition: values are found by the JSON pointer into the conversion.
func TestPosition(t *testing.T) {
	const text = "# a comment\nmetadata:\n  labels: {on: a, \"b/c\": [x, y]}\nlist:\n- 1\n- {z: 2}\n"
	for pointer, want := range map[string][2]int{
		"": {2, 1}, "/metadata/labels/on": {3, 16}, "/metadata/labels/b~1c/1": {3, 30}, "/list/1/z": {6, 7}, "/list/7": {5, 1}, "/other": {2, 1},
	} {
		if line, column := yamljson.Position([]byte(text), pointer); line != want[0] || column != want[1] {
			t.Errorf("%s: got line %d, column %d, want %v", pointer, line, column, want)
		}
	}
}

func bomb() string {
	text := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'i'; c++ {
		alias := "*" + string(c-1)
		text += string(c) + ": &" + string(c) + " [" + strings.Repeat(alias+",", 9) + alias + "]\n"
	}
	return text
}

// longBombs are few values, each of them long: as text, as a key, and as a key
// that is merged in and is there already.
func longBombs() map[string]string {
	long := "long: &long " + strings.Repeat("x", 200_000) + "\n"
	return map[string]string{
		"text":        long + "a: [" + strings.Repeat("*long,", 20_000) + "]",
		"key":         long + "a: [" + strings.Repeat("{*long : 1},", 20_000) + "]",
		"merged keys": long + "m: &m {*long : 1}\na: {<<: [" + strings.Repeat("*m,", 20_000) + "]}",
	}
}

// TestAliasExpansionBytes: aliases of long texts are bounded in bytes.
func TestAliasExpansionBytes(t *testing.T) {
	for name, text := range longBombs() {
		if _, err := yamljson.ToJSON([]byte(text), nil); err == nil || !strings.Contains(err.Error(), "bytes") || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%s: got error %v, want one that says where its aliases make too many bytes", name, err)
		}
	}
}

// TestLargestBody: a body of the maximum size is within the bounds.
func TestLargestBody(t *testing.T) {
	for _, text := range []string{`"` + strings.Repeat(`\0`, 1<<19-1) + `"`, "? " + strings.Repeat("long key", 1<<16) + "\n: " + strings.Repeat("é", 1<<18)} {
		if _, err := yamljson.ToJSON([]byte(text), nil); err != nil {
			t.Errorf("%d bytes of text: %v", len(text), err)
		}
	}
}

// TestDeepValuesFlowStyle: deep values are in flow style, which needs no indentation.
func TestDeepValuesFlowStyle(t *testing.T) {
	deep := func(open, inner, end string) string {
		return strings.Repeat(open, 5000) + inner + strings.Repeat(end, 5000)
	}
	for _, text := range []string{deep(`{"a":`, "1", "}"), deep("[", "1", "]"), deep(`[{"a b":`, `"x: y"`, "}]"), deep(`{"a":`, "["+strings.Repeat("1,", 20_000)+"1]", "}")} {
		got, err := yamljson.FromJSON([]byte(text))
		if err != nil || len(got) > 10*len(text) {
			t.Errorf("%.20s...: %d bytes of JSON made %d of YAML, %v", text, len(text), len(got), err)
		}
	}
}

// mergeBomb merges nothing, 2^60 times.
func mergeBomb() string {
	text := "a0: &a0 {}\n"
	for i := range 60 {
		text += fmt.Sprintf("a%d: &a%[1]d {<<: [*a%d, *a%[2]d]}\n", i+1, i)
	}
	return text
}

// FuzzRoundTrip: JSON survives the conversion to YAML and back.
func FuzzRoundTrip(f *testing.F) {
	f.Add(strings.Repeat(`{"a":[`, 12) + `{"?":"- x","b: ":"#","":[],"{":"}","k":"\n x"},",","two\n words"` + strings.Repeat("]}", 12))
	for _, text := range []string{
		`{}`, `[]`, `""`, `null`, `{"a":{"b":[1,2.50,"x"],"c":null},"d":true}`, `"yes"`, `"1e3"`, `"\ud83d\ude00"`, `"\u0000\u0007\u007f"`, `"two\nlines\n\n"`, `" lead"`, `"trail "`,
		`"- a"`, `"#"`, `"a: b"`, `"\ttab"`, `"\r\n"`, `"\u0085\u2028\ufeff"`, `{"":"","<<":1,"=":2,"y":3,"1":4,"null":5}`, `[[],[[]],{}]`, `1e400`, `-0`, `"*a"`, `"&a"`, `"!a"`, `"%a"`, `"@a"`, "\"`a\"", `"..."`, `"---"`, `"? a"`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !jsontext.Value(text).IsValid() {
			return
		}
		if len(text) > 10_000 || strings.Count(text, "[")+strings.Count(text, "{") > 100 {
			return
		}
		asYAML, err := yamljson.FromJSON([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		back, err := yamljson.ToJSON(asYAML, nil)
		if err != nil {
			t.Fatalf("%s\n%s: %v", text, asYAML, err)
		}
		if got, want := canonical(t, back), canonical(t, []byte(text)); got != want {
			t.Errorf("%s\nbecame\n%s\nand then\n%s", want, asYAML, got)
		}
	})
}

func FuzzToJSON(f *testing.F) {
	f.Add("a: &x {b: 1}\nc: {<<: *x}")
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := yamljson.ToJSON([]byte(text), nil); err == nil && !jsontext.Value(got).IsValid() {
			t.Errorf("%q became %q", text, got)
		}
	})
}

// rounded is JSON with its keys in order and its numbers as float64 has them.
func rounded(t testing.TB, text []byte) string {
	t.Helper()
	v := jsontext.Value(text).Clone()
	if err := v.Canonicalize(); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return string(v)
}

// canonical is JSON with its keys in order and its numbers as they are.
func canonical(t testing.TB, text []byte) string {
	t.Helper()
	v := jsontext.Value(text).Clone()
	if err := v.Format(jsontext.ReorderRawObjects(true)); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return string(v)
}
