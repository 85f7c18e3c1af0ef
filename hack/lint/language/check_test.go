package main

import (
	"strings"
	"testing"
	"testing/fstest"
)

func TestCheckGo(t *testing.T) {
	for text, want := range map[string]string{
		"// Whoever registers a target owns it.":                                `x.go:1: noun clause with who: "Whoever"`,
		"// The file is removed. Who writes it\n// holds the lock.":             `x.go:1: noun clause with who: "Who writes it holds the lock."`,
		"// a says one thing: who\n// deletes it holds the lock":                `x.go:1: noun clause with who: "who deletes"`,
		"// The token says who calls.":                                          `x.go:1: noun clause with who: "says who"`,
		"// It is made anew.":                                                   `x.go:1: archaism: "anew"`,
		"// A labelled pod.":                                                    `x.go:1: US spelling: "labelled"`,
		"// One.\n// Two, which drey recognises.":                               `x.go:2: US spelling: "recognises"`,
		"/* the\n   behaviour */":                                               `x.go:2: US spelling: "behaviour"`,
		"var text = \"the neighbour's\"":                                        `x.go:1: US spelling: "neighbour"`,
		"// users who may create pods":                                          `x.go:1: permission without its verb: "who may"`,
		"// users who can create pods, who is unknown":                          "",
		"// Who may call this?":                                                 "",
		"// The controller labels pods. Cancelled contexts are optimistic.":     "",
		"// organism, analysis, authority, promise, otherwise, raise, licensed": "",
		"var whoever = \"whoever\"":                                             "",
	} {
		found, err := checkGo("x.go", []byte(text+"\n\npackage x\n"))
		if strings.HasPrefix(text, "var") {
			found, err = checkGo("x.go", []byte("package x; "+text+"\n"))
		}
		var lines []string
		for _, f := range found {
			lines = append(lines, f.String())
		}
		if got := strings.Join(lines, "\n"); err != nil || got != want {
			t.Errorf("%s\ngot  %s, %v\nwant %s", text, got, err, want)
		}
	}
}

func TestCheckMarkdown(t *testing.T) {
	found := checkMarkdown("a.md", []byte("It lists what runs.\nWhat is drey?\n`what is`, whatever\nCode lists what it needs"))
	var lines []string
	for _, f := range found {
		lines = append(lines, f.String())
	}
	want := "a.md:1: noun clause with what: \"what runs.\"\na.md:4: noun clause with what: \"what it needs\""
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestCheckTree: Go and Markdown files are checked, other files and hidden directories are not.
func TestCheckTree(t *testing.T) {
	bad := &fstest.MapFile{Data: []byte("`colour` is a\ncolour")}
	found, err := checkTree(fstest.MapFS{"docs/a.md": bad, "docs/a.yaml": bad, ".git/a.md": bad, "bin/a.md": bad, "a/a.go": &fstest.MapFile{Data: []byte("package a // colour\n")}})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	printCounts(&b, found)
	if want := "1\ta\tUS spelling\n1\tdocs\tUS spelling\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}
