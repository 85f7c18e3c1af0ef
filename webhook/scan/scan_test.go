package scan_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"drey.dev/drey/webhook/scan"
)

// valid reports whether a decoder accepts a text that may repeat names and have invalid UTF-8.
func valid(text []byte) bool {
	return jsontext.Value(text).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

var seeds = []string{
	``, ` `, `null`, `true`, `false`, `nul`, `trues`, `"a"`, `"a`, `"\u00e4\n\"\\\/"`, `"\ud800"`, `"\x"`, `"\u12"`, "\"a\x00\"", "\"12345678\n\"", "\"\xff\"",
	`0`, `-0`, `01`, `-`, `1.`, `1.5`, `.5`, `1e`, `1e5`, `1E+05`, `1e-`, `12a`, `{}`, `[]`, `[1,2]`, `[1,]`, `[,1]`, `{"a":1}`, `{"a":1,}`, `{"a"}`, `{a:1}`, `{"a":1,"a":2}`,
	` { "a" : [ { } , [ ] , "b" ] } `, `[}`, `{]`, `[1}`, `{"a":1]`, `[]]`, `{"a":{"b":[[{"c":"d"}]]}} x`, `{"a":"` + strings.Repeat("x", 100) + `"}`, "\u00a0null", "\ufeffnull",
}

// TestSkip: what a scanner skips is valid JSON, and valid JSON of usual depth is skipped.
func TestSkip(t *testing.T) {
	for _, text := range seeds {
		checkSkip(t, []byte(text))
	}
	for depth, want := range map[int]bool{1: true, 64: true, 65: false, 100_000: false} {
		for _, c := range [][2]string{{"[", "]"}, {`{"a":`, "}"}} {
			var s scan.Scanner
			s.Reset([]byte(strings.Repeat(c[0], depth) + "1" + strings.Repeat(c[1], depth)))
			s.Skip()
			if got := s.End(); got != want {
				t.Errorf("depth %d of %s: accepted: %t, want %t", depth, c[0], got, want)
			}
		}
	}
}

func FuzzSkip(f *testing.F) {
	for _, text := range seeds {
		f.Add([]byte(text))
	}
	f.Fuzz(checkSkip)
}

func checkSkip(t *testing.T, text []byte) {
	var s scan.Scanner
	s.Reset(text)
	s.Skip()
	if got, want := s.End(), valid(text); got != want && (got || strings.Count(string(text), "[")+strings.Count(string(text), "{") <= 64) {
		t.Errorf("%q: accepted: %t, want %t", text, got, want)
	}
}

// TestStringsStay: strings stay as they are when the text changes and the scanner is used again.
func TestStringsStay(t *testing.T) {
	var s scan.Scanner
	var got []string
	for round := range 100 {
		text := fmt.Appendf(nil, `["plain %[1]d","escaped\t%[1]d","%[2]s"]`, round, strings.Repeat("x", round*30))
		s.Reset(text)
		got = append(got, s.Texts()...)
		if !s.End() {
			t.Fatalf("%s: failed", text)
		}
		clear(text)
	}
	for round := range 100 {
		want := []string{fmt.Sprint("plain ", round), fmt.Sprint("escaped\t", round), strings.Repeat("x", round*30)}
		if got := got[3*round:][:3]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestScannerFails: a value of another type, and a string that a decoder changes, fail.
func TestScannerFails(t *testing.T) {
	for rule, c := range map[string]struct {
		text string
		read func(*scan.Scanner)
	}{
		"number for a string":    {`1`, func(s *scan.Scanner) { s.Text() }},
		"string for a boolean":   {`"true"`, func(s *scan.Scanner) { s.Bool() }},
		"array for an object":    {`[]`, func(s *scan.Scanner) { s.Object() }},
		"object for an array":    {`{}`, func(s *scan.Scanner) { s.Array() }},
		"escape in a name":       {`{"\u0061":1}`, func(s *scan.Scanner) { s.Object(); s.Name() }},
		"invalid UTF-8":          {"\"\xff\"", func(s *scan.Scanner) { s.Text() }},
		"half of a surrogate":    {`"\ud800"`, func(s *scan.Scanner) { s.Text() }},
		"invalid UTF-8, escaped": {"\"\\n\xff\"", func(s *scan.Scanner) { s.Text() }},
		"list with a number":     {`["a",1]`, func(s *scan.Scanner) { s.Texts() }},
		"end":                    {`{"a"`, func(s *scan.Scanner) { s.Object(); s.Name() }},
	} {
		t.Run(rule, func(t *testing.T) {
			var s scan.Scanner
			s.Reset([]byte(c.text))
			if c.read(&s); !s.Failed() || s.End() {
				t.Errorf("%s was accepted", c.text)
			}
		})
	}
}

func BenchmarkSkip(b *testing.B) {
	var object strings.Builder
	object.WriteString(`{"env":[`)
	for i := range 95 {
		fmt.Fprintf(&object, `{"name":"PLATFORM_SETTING_%d","value":"a value as pods have them, such as /opt/flink/conf/%d"},`, i, i)
	}
	object.WriteString(`{}]}`)
	text := []byte(object.String())
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	var s scan.Scanner
	for b.Loop() {
		s.Reset(text)
		if s.Skip(); !s.End() {
			b.Fatal("failed")
		}
	}
}
