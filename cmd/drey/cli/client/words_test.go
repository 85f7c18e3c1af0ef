package client

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestCommandWords: no message of the registry or its REST API reaches a user of the command
// line with a method of HTTP in it.
func TestCommandWords(t *testing.T) {
	method := regexp.MustCompile(`\b(GET|PUT|POST|PATCH)\b`)
	// Parts of messages about requests that the command line does not send.
	others := []string{"If-None-Match", "If-Match", "merge patch", "PUT the whole object"}
	var files []string
	for _, pattern := range []string{"registry/*.go", "registry/rest/*.go"} {
		found, err := filepath.Glob("../../../../" + pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		files = append(files, found...)
	}
	translated := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(literal.Value)
			isMessage := strings.Contains(text, " ") && method.MatchString(text)
			if err != nil || !isMessage || slices.ContainsFunc(others, func(s string) bool { return strings.Contains(text, s) }) {
				return true
			}
			if got := commandWords.Replace(text); method.MatchString(got) {
				t.Errorf("%s: %q reaches users of the command line as %q: add its words to commandWords", file, text, got)
			}
			translated++
			return true
		})
	}
	if translated < 4 {
		t.Errorf("%d messages with methods of HTTP: the test does not find them", translated)
	}
}
