package output

import (
	"slices"
	"strings"
	"testing"
)

// TestTableWidth: on a terminal no line is longer than its width, and no text is lost.
func TestTableWidth(t *testing.T) {
	rows := [][]string{
		{"flink-production", "Deployment/my-very-long-job-name-with-parts-6d4b9c", "NoDeploymentTarget", "it runs in a namespace without a target, since yesterday"},
		{"b", "Pod/x", "", "Ümlaut ümlaut ümlaut ümlaut ümlaut ümlaut ümlaut"},
		{"wide", "Pod/部署", "", "双字宽的部署名称双字宽的部署名称双字宽的部署名称双字宽的部署名称双字宽的部署名称"},
	}
	for _, width := range []int{60, 80, 100, 200} {
		var b strings.Builder
		table := NewTable(&Screen{Writer: &b, Width: width}, "NAMESPACE", "WORKLOAD", "FINDING", "NOTE")
		for _, r := range rows {
			table.Row(r...)
		}
		if err := table.Flush(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if n := textWidth(strings.TrimSuffix(line, "\n")); n > width {
				t.Errorf("width %d: a line of %d characters: %s", width, n, line)
			}
		}
		for _, r := range rows {
			for _, cell := range r {
				if !containsInOrder(b.String(), cell) {
					t.Errorf("width %d: %q is not in\n%s", width, cell, b.String())
				}
			}
		}
	}
}

func squash(s string) string { return strings.Join(strings.Fields(s), "") }

// containsInOrder reports whether all characters of a cell occur in this order.
func containsInOrder(text, cell string) bool {
	rest := []rune(squash(cell))
	for _, r := range text {
		if len(rest) > 0 && r == rest[0] {
			rest = rest[1:]
		}
	}
	return len(rest) == 0
}

// TestTablePipe: without a terminal nothing is wrapped or colored, and rows that come later are
// aligned with the first.
func TestTablePipe(t *testing.T) {
	var b strings.Builder
	table := NewTable(&b, "NAME", "NOTE")
	table.Row("one", strings.Repeat("long ", 60))
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	table.Row("b", "")
	want := "NAME   NOTE\none    " + strings.TrimSpace(strings.Repeat("long ", 60)) + "\nb      -\n"
	if b.String() != want {
		t.Errorf("got\n%s, want\n%s", b.String(), want)
	}
}

// TestWrap: lines end at spaces, else after a separator of names, else anywhere.
func TestWrap(t *testing.T) {
	for text, want := range map[string][]string{
		"short":               {"short"},
		"two words here":      {"two words", "here"},
		"deployment/top-job":  {"deployment", "/top-job"},
		"abc/def-ghi":         {"abc/def-", "ghi"},
		"a longwords b":       {"a", "longwords", "b"},
		"部署名称 部署":             {"部署名称", "部署"},
		"部署名称部署":              {"部署名称部", "署"},
		"abcdefghijklmnop":    {"abcdefghij", "klmnop"},
		"ääääääääää öööööööö": {"ääääääääää", "öööööööö"},
	} {
		if got := wrap(text, 10); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// TestMessage: the command in a message stays on one line, which can be copied.
func TestMessage(t *testing.T) {
	const command = "echo '{\"a\": \"b\"}' | kubectl apply -f - --a-long-flag=1 --another-long-flag=2"
	text := `namespace "sandbox" has no DeploymentTarget, so Flink may not run there. Register it: ` + command + ` ; or deploy to a namespace that has one.`
	var b strings.Builder
	if err := Message(&Screen{Writer: &b, Width: 50}, "  ", text, command); err != nil {
		t.Fatal(err)
	}
	want := "  namespace \"sandbox\" has no DeploymentTarget, so\n  Flink may not run there. Register it:\n    " + command + "\n  or deploy to a namespace that has one.\n"
	if b.String() != want {
		t.Errorf("got\n%s, want\n%s", b.String(), want)
	}
	b.Reset()
	if err := Message(&b, "", text, command); err != nil || b.String() != text+"\n" {
		t.Errorf("without a terminal: %q, %v", b.String(), err)
	}
}

// TestColor: a result is colored on a terminal, and alignment is that of the text.
func TestColor(t *testing.T) {
	var b strings.Builder
	table := NewTable(&Screen{Writer: &b, Color: true}, "VERDICT", "NAME")
	table.Row("DENIED: NoDeploymentTarget", "a")
	table.Row("allowed: HasTarget", "FAILURE")
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	want := "VERDICT                      NAME\n" + red + "DENIED: NoDeploymentTarget" + reset + "   a\n" + green + "allowed: HasTarget" + reset + "           FAILURE\n"
	if b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

// TestTableLastBelow: on a terminal a command in the last column is on a line of its own.
func TestTableLastBelow(t *testing.T) {
	for width, want := range map[int]string{
		30: "NAME   REASON\na      NoDeploymentTarget\n  drey targets create demo --kubernetes-namespace demo\nb      -\n",
		0:  "NAME   REASON               REMEDY\na      NoDeploymentTarget   drey targets create demo --kubernetes-namespace demo\nb      -                    -\n",
	} {
		var b strings.Builder
		table := NewTable(&Screen{Writer: &b, Width: width}, "NAME", "REASON", "REMEDY")
		table.LastBelow()
		table.Row("a", "NoDeploymentTarget", "drey targets create demo --kubernetes-namespace demo")
		table.Row("b", "", "")
		if err := table.Flush(); err != nil || b.String() != want {
			t.Errorf("width %d: got\n%s(%v), want\n%s", width, b.String(), err, want)
		}
	}
}

// TestTableFields: a table that fits only with broken words has a line per field, without empty ones.
func TestTableFields(t *testing.T) {
	var b strings.Builder
	table := NewTable(&Screen{Writer: &b, Width: 30}, "NAMESPACE", "STATE", "OWNER", "NOTE")
	table.Row("staging", "Transitioning", "", "two words")
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	table.Row("b", "Running", "Deployment/playground-jobmanager", "")
	want := "NAMESPACE  staging\nSTATE      Transitioning\nNOTE       two words\n\n" +
		"NAMESPACE  b\nSTATE      Running\nOWNER      Deployment/\n           playground-\n           jobmanager\n\n"
	if b.String() != want {
		t.Errorf("got\n%s, want\n%s", b.String(), want)
	}
}

// TestTableWideCharacters: columns are aligned by what characters take on a terminal.
func TestTableWideCharacters(t *testing.T) {
	var b strings.Builder
	table := NewTable(&b, "NAME", "AGE")
	table.Row("部署", "1d")
	table.Row("de\u0301ploye\u0301", "2d")
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	if want := "NAME      AGE\n部署      1d\nde\u0301ploye\u0301   2d\n"; b.String() != want {
		t.Errorf("got\n%s, want\n%s", b.String(), want)
	}
}
