// Command docs writes the generated pages of docs/reference: the commands of drey, the REST
// API, the custom resources, the metrics and the reasons.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	root := flag.String("root", ".", "directory of the repository")
	flag.Parse()
	if err := write(*root); err != nil {
		fmt.Fprintln(os.Stderr, "docs:", err)
		os.Exit(1)
	}
}

func write(root string) error {
	pages, err := generate(root)
	if err != nil {
		return err
	}
	for path, text := range pages {
		if err := os.WriteFile(filepath.Join(root, path), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// note is at the top of a generated page.
const note = "<!-- Written by make docs. -->\n\n"

// generate returns the pages by path.
func generate(root string) (map[string]string, error) {
	pages := map[string]string{"docs/reference/commands.md": commandsPage()}
	for path, page := range map[string]func(root string) (string, error){
		"docs/reference/rest-api.md":         restPage,
		"docs/reference/custom-resources.md": customResourcesPage,
		"docs/reference/reasons.md":          reasonsPage,
		"docs/reference/metrics-list.md":     metricsPage,
	} {
		text, err := page(root)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		pages[path] = text
	}
	return pages, nil
}

// table returns a Markdown table.
func table(header []string, rows [][]string) string {
	var b strings.Builder
	row := func(cells []string) {
		for _, c := range cells {
			b.WriteString("| " + strings.ReplaceAll(strings.Join(strings.Fields(c), " "), "|", `\|`) + " ")
		}
		b.WriteString("|\n")
	}
	row(header)
	b.WriteString(strings.Repeat("|---", len(header)) + "|\n")
	for _, r := range rows {
		row(r)
	}
	return b.String() + "\n"
}

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}
