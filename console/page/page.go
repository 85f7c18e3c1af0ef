// Package page renders the pages of the console. It is pure: a page is a function of its model,
// and all text in a model is untrusted. Templates, the stylesheet and the script are embedded.
package page

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

//go:embed templates static
var files embed.FS

// Frame is what all pages have in common.
type Frame struct {
	Title   string
	Section string // the current entry of the navigation; empty: none
	User    string // empty without authentication
	LogOut  bool   // the user has a session of the console
	Version string
	Now     time.Time
	Topics  string // the topics that update the page, separated by spaces; empty: the page is static
	Notice  *Notice
}

// Notice is the result of an action.
type Notice struct {
	Failed bool
	Title  string
	Text   string // of a failure: with its remedy
}

// Pages are the parsed templates.
type Pages struct {
	byName map[string]*template.Template
	assets map[string]Asset // by path
}

// Asset is a static file.
type Asset struct {
	Type string // its media type
	Text []byte
}

// Root is the path below which the console serves everything but the overview, which is at /.
const Root = "/console/"

// New parses the templates.
func New() (*Pages, error) {
	p := &Pages{byName: map[string]*template.Template{}, assets: map[string]Asset{}}
	addressed := map[string]string{} // the path of a static file by its name
	for name, mediaType := range map[string]string{"console.css": "text/css; charset=utf-8", "console.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml"} {
		text, err := files.ReadFile("static/" + name)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(text) // in the path, so that browsers cache for long
		base, extension, _ := strings.Cut(name, ".")
		addressed[name] = Root + "static/" + base + "-" + hex.EncodeToString(sum[:6]) + "." + extension
		p.assets[addressed[name]] = Asset{mediaType, text}
	}
	functions := template.FuncMap{
		"asset": func(name string) string { return addressed[name] },
		"age":   age, "bytes": formatBytes, "cpu": formatCPU, "count": formatCount, "plural": plural,
		"stamp": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
		"iso":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"join":  strings.Join, "lower": strings.ToLower,
		"percent": func(part, whole int) int { return part * 100 / max(whole, 1) },
		"list":    func(values ...any) []any { return values },
	}
	layout, err := template.New("layout").Funcs(functions).ParseFS(files, "templates/layout.html", "templates/parts.html")
	if err != nil {
		return nil, err
	}
	paths, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		return nil, err
	}
	for _, file := range paths {
		name := strings.TrimSuffix(path.Base(file), ".html")
		if name == "layout" || name == "parts" {
			continue
		}
		t, err := template.Must(layout.Clone()).ParseFS(files, file)
		if err != nil {
			return nil, err
		}
		p.byName[name] = t
	}
	return p, nil
}

// Names returns the names of the pages, in order.
func (p *Pages) Names() []string { return slices.Sorted(maps.Keys(p.byName)) }

// Asset returns the static file at a path.
func (p *Pages) Asset(path string) (Asset, bool) {
	a, ok := p.assets[path]
	return a, ok
}

// Render writes a page with its model, which embeds a [Frame].
func (p *Pages) Render(w io.Writer, name string, model any) error {
	t, ok := p.byName[name]
	if !ok {
		return fmt.Errorf("no page %q", name)
	}
	return t.ExecuteTemplate(w, "layout.html", model)
}
