// Command markdown reports faults in the Markdown documents that a reader would see: tables and
// lists that merge with a paragraph, rows with too few or too many cells, skipped headings. It
// exits with status 1 if it finds any. The links are checked by test/docs.
package main

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

func main() {
	root := flag.String("root", "../..", "directory to check")
	flag.Parse()
	findings, err := checkTree(os.DirFS(*root))
	if err != nil {
		fmt.Fprintln(os.Stderr, "markdown:", err)
		os.Exit(2)
	}
	for _, f := range findings {
		fmt.Println(f)
	}
	if len(findings) > 0 {
		os.Exit(1)
	}
}

// checkTree checks all Markdown files, except those of hidden directories, bin and other projects.
func checkTree(tree fs.FS) ([]string, error) {
	var all []string
	err := fs.WalkDir(tree, ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != "." && (strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".github" || path == "bin" || path == "test/console/axe"):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(path, ".md"):
			return nil
		}
		document, err := fs.ReadFile(tree, path)
		if err == nil && len(document) > 0 {
			all = append(all, check(path, string(document))...)
		}
		return err
	})
	return all, err
}
