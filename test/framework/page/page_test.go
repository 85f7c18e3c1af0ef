package page

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const sample = `# Title

<!-- world: cluster drey -->
<!-- setup
kubectl create namespace a
-->

Save as ''a.yaml'':

<!-- file: a.yaml -->
'''yaml
kind: A
'''

'''console
$ kubectl apply -f a.yaml \
  -n a
a created
$ kubectl apply -f - <<'EOF'
kind: B
EOF
...
'''

1. In a list:

   '''sh
   # a comment
   first
   second '{
   }'
   '''

   <!-- checked by: TestValues TestMore -->
   '''yaml
   values: 1
   '''

   <!-- not run: kind needs containers -->
   '''sh
   kind create cluster
   '''
`

func TestParse(t *testing.T) {
	p, err := Parse(strings.ReplaceAll(sample, "'''", "```"))
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintln(p.World)
	for _, b := range p.Blocks {
		got += fmt.Sprintf("%d %q %q %q\n", b.Line, b.File+strings.Join(b.CheckedBy, " "), b.Text, b.NotRun)
		for _, c := range b.Commands {
			got += fmt.Sprintf("  %d %q %q %v\n", c.Line, c.Text, c.Output, c.Check)
		}
	}
	want := `[cluster drey]
4 "" "" ""
  5 "kubectl create namespace a" [] false
11 "a.yaml" "kind: A\n" ""
15 "" "" ""
  16 "kubectl apply -f a.yaml \\\n  -n a" ["a created"] true
  19 "kubectl apply -f - <<'EOF'\nkind: B\nEOF" ["..."] true
27 "" "" ""
  29 "first" [] false
  30 "second '{\n}'" [] false
35 "TestValues TestMore" "values: 1\n" ""
40 "" "" "kind needs containers"
  41 "kind create cluster" [] false
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestUnchecked(t *testing.T) {
	const text = `<!-- file: a.yaml -->
'''yaml
used: true
'''

<!-- file: b/b.yaml -->
'''yaml
used: in a directory
'''

<!-- file: c.yaml -->
'''yaml
used: only by a command that is not run
'''

<!-- checked by: TestD -->
'''yaml
d: 1
'''

'''json
{"e": 1}
'''

'''text
f
'''

'''sh
kubectl apply -f a.yaml -f b/
'''

<!-- not run: no cluster -->
'''sh
kubectl apply -f c.yaml
'''
`
	p, err := Parse(strings.ReplaceAll(text, "'''", "```"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"page.md:12", "page.md:21"}, Unchecked("page.md", p)); diff != "" {
		t.Errorf("unchecked blocks (-want +got):\n%s", diff)
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"'''\nx\n'''":                    "line 1: block without a language",
		"'''sh\nx":                       "line 1: block does not end",
		"<!-- setup\nx":                  "line 1: setup does not end",
		"<!-- not run: why -->\n\nText.": "line 3: no block follows the directive",
	} {
		if _, err := Parse(strings.ReplaceAll(text, "'''", "```")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, test := range []struct {
		want, got string
		match     bool
	}{
		{"a created", "a created\n", true},
		{"a created", "a created\nb created\n", false},
		{"a created\n...", "a created\nb created\n", true},
		{"a created\n...", "a created\n", true},
		{"NAME  AGE\npod   5s", "NAME   AGE\npod    1m2s\n", true},
		{"NAME  AGE\npod   5s", "NAME   AGE\nbox    1m2s\n", false},
		{"top-speed-6cb7f4b7d4-xk2vp Running", "top-speed-7d9c6c9f5-4xkqz   Running\n", true},
		{"id 21e49296-..., end", "id 21e49296-1, end\n", true},
		{"one ... end", "one end\n", true},
		{"one ... end", "one two end\n", true},
		{"http://127.0.0.1:8080/", "http://127.0.0.1:41213/\n", true},
		{"", "", true},
		{"", "unexpected\n", false},
		{"pattern .*", "pattern xx\n", false},
	} {
		if got := Match(strings.Split(test.want, "\n"), test.got); got != test.match {
			t.Errorf("want %q, output %q: got %v", test.want, test.got, got)
		}
	}
}
