package rest_test

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/memstore"
	"drey.dev/drey/registry/rest"
)

var update = flag.Bool("update", false, "rewrite the answers in testdata/*.http with what the server says")

// TestExchanges plays each testdata/*.http against a server of its own. A file
// is a list of exchanges parted by lines of "====": a comment, a request, a
// line "----", and the answer. What differs from run to run (ids, times) stands
// there as ID1, ID2, ... and TIME; ID1 in a request means the id that an answer
// before showed so.
func TestExchanges(t *testing.T) {
	files, err := filepath.Glob("testdata/*.http")
	if err != nil || len(files) == 0 {
		t.Fatalf("no exchanges found: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".http"), func(t *testing.T) {
			play(t, file, newServer(t))
		})
	}
}

func newServer(t testing.TB) *httptest.Server {
	t.Helper()
	r, err := registry.New(t.Context(), memstore.New(), registry.Options{Home: "drey-system", Namespaces: []string{"team-a"}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(rest.New(rest.Options{
		Registry: r,
		Log:      slog.New(slog.DiscardHandler),
		Build:    rest.Build{Version: "v1.2.3", Time: "2026-03-01T00:00:00Z", Commit: "0123456789abcdef0123456789abcdef01234567"},
	}))
	t.Cleanup(server.Close)
	return server
}

func play(t *testing.T, file string, server *httptest.Server) {
	names := &volatile{}
	var out []string
	for i, exchange := range exchanges(t, file) {
		request, want, ok := strings.Cut(exchange, "\n----\n")
		if !ok && !*update {
			t.Fatalf("exchange %d of %s has no ---- line", i+1, file)
		}
		request = strings.TrimRight(request, "\n")
		got := names.hide(send(t, server, names.reveal(request)))
		out = append(out, request+"\n----\n"+got)
		if got != want && !*update {
			comment, _, _ := strings.Cut(request, "\n")
			t.Errorf("%s\ngot:\n%s\nwant:\n%s", comment, got, want)
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(strings.Join(out, "====\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func exchanges(t testing.TB, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(text), "====\n")
}

// send makes the request that a text describes and returns the answer as text.
func send(t *testing.T, server *httptest.Server, text string) string {
	t.Helper()
	for strings.HasPrefix(text, "#") {
		_, text, _ = strings.Cut(text, "\n")
	}
	head, body, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	method, path, _ := strings.Cut(lines[0], " ")
	request, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		request.Header.Set(name, value)
	}
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	fmt.Fprintln(&b, response.StatusCode)
	for _, name := range []string{"Content-Type", "Etag", "Allow", "Warning"} {
		for _, value := range response.Header[name] {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	fmt.Fprintf(&b, "\n%s", answer)
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// volatile gives names to what differs from run to run.
type volatile struct{ ids []string }

var (
	uuidPattern = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)
	timePattern = regexp.MustCompile(`20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,12}Z`)
)

func (v *volatile) hide(text string) string {
	text = uuidPattern.ReplaceAllStringFunc(text, func(id string) string {
		for i, known := range v.ids {
			if known == id {
				return fmt.Sprint("ID", i+1)
			}
		}
		v.ids = append(v.ids, id)
		return fmt.Sprint("ID", len(v.ids))
	})
	return timePattern.ReplaceAllStringFunc(text, func(found string) string {
		if found == "2026-03-01T00:00:00Z" { // the build time, which is ours
			return found
		}
		return "TIME"
	})
}

func (v *volatile) reveal(text string) string {
	for i, id := range v.ids {
		text = strings.ReplaceAll(text, fmt.Sprint("ID", i+1), id)
	}
	return text
}
