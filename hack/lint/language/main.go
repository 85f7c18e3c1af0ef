// Command language reports British spelling and noun clauses with "who" in Go files and
// Markdown documents. It exits with status 1 if it finds any, except with -report.
package main

import (
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	root := flag.String("root", "../..", "directory to check")
	report := flag.Bool("report", false, "print the number of findings per directory and exit with status 0")
	flag.Parse()
	found, err := checkTree(os.DirFS(*root))
	if err != nil {
		fmt.Fprintln(os.Stderr, "language:", err)
		os.Exit(2)
	}
	if *report {
		printCounts(os.Stdout, found)
		return
	}
	for _, f := range found {
		fmt.Println(f)
	}
	if len(found) > 0 {
		os.Exit(1)
	}
}

// checkTree checks all Go and Markdown files, except those of hidden directories and bin.
func checkTree(tree fs.FS) ([]finding, error) {
	var all []finding
	err := fs.WalkDir(tree, ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != "." && (strings.HasPrefix(entry.Name(), ".") || path == "bin" || path == "hack/lint/language"):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, ".md"):
			return nil
		}
		text, err := fs.ReadFile(tree, path)
		if err != nil {
			return err
		}
		if strings.HasSuffix(path, ".md") {
			all = append(all, checkMarkdown(path, text)...)
			return nil
		}
		found, err := checkGo(path, text)
		all = append(all, found...)
		return err
	})
	return all, err
}

// printCounts prints the number of findings per directory and rule.
func printCounts(w io.Writer, found []finding) {
	counts := map[string]int{}
	for _, f := range found {
		counts[filepath.Dir(f.path)+"\t"+f.rule]++
	}
	for _, key := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(w, "%d\t%s\n", counts[key], key)
	}
}
