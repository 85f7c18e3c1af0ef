// Package remedies checks the tables that translate the remedies in errors of the REST API, which
// are in terms of HTTP, for the users of another front end.
package remedies

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

// unsent are parts of messages about requests that no front end sends.
var unsent = []string{"If-None-Match", "merge patch", "PUT the whole object", "fieldSelector is not supported", "watch is not supported"}

// method matches a method or the credentials of HTTP.
var method = regexp.MustCompile(`\b(GET|PUT|POST|PATCH)\b|\bAuthorization:`)

// Check fails the test for a message of the registry or its REST API that has a method of HTTP
// after the translation. root is the root of the repository.
func Check(t *testing.T, root string, words *strings.Replacer) {
	t.Helper()
	var files []string
	for _, pattern := range []string{"registry/*.go", "registry/rest/*.go"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: got %d files, %v", pattern, len(found), err)
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
			if err != nil || !isMessage || slices.ContainsFunc(unsent, func(s string) bool { return strings.Contains(text, s) }) {
				return true
			}
			if got := words.Replace(text); method.MatchString(got) {
				t.Errorf("%s: %q reaches users as %q: add its words to the table", file, text, got)
			}
			translated++
			return true
		})
	}
	if translated < 4 {
		t.Errorf("got %d messages with methods of HTTP, want at least 4", translated)
	}
}
