// Package transcript prints the steps of a demonstration and the labels of its objects, and
// collects unexpected results.
package transcript

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
)

// Transcript prints to Out.
type Transcript struct {
	Out io.Writer

	rows     []row
	failures []string
}

// row is an object in the table at the end.
type row struct {
	object, verdict string
	before, after   map[string]string
}

// Heading prints the title of a step.
func (t *Transcript) Heading(format string, args ...any) {
	fmt.Fprintf(t.Out, "\n== "+format+"\n", args...)
}

// Detail prints the lines of a step, indented.
func (t *Transcript) Detail(format string, args ...any) {
	text := strings.TrimSpace(fmt.Sprintf(format, args...))
	fmt.Fprintf(t.Out, "   %s\n", strings.ReplaceAll(text, "\n", "\n   "))
}

// Expect prints and records a failure unless ok.
func (t *Transcript) Expect(ok bool, format string, args ...any) {
	if !ok {
		t.failures = append(t.failures, fmt.Sprintf(format, args...))
		t.Detail("FAIL: "+format, args...)
	}
}

// Admitted adds an object to the table, with its labels before and after admission. It
// expects that drey adds exactly the labels in added.
func (t *Transcript) Admitted(object string, before, after, added map[string]string) {
	want := maps.Clone(before)
	maps.Copy(want, added)
	t.Expect(maps.Equal(after, want), "%s: got the labels %s, want %s", object, list(after), list(want))
	verdict := "allowed, labeled"
	if maps.Equal(before, after) {
		verdict = "allowed, unchanged"
	}
	t.rows = append(t.rows, row{object, verdict, before, after})
}

// Denied adds a denied object to the table.
func (t *Transcript) Denied(object, reason string) {
	t.rows = append(t.rows, row{object: object, verdict: "denied: " + reason})
}

// Table prints the objects with their verdicts and labels.
func (t *Transcript) Table() {
	t.Heading("Verdicts and labels (+: added by drey)")
	fmt.Fprintln(t.Out)
	w := tabwriter.NewWriter(t.Out, 0, 4, 3, ' ', 0)
	fmt.Fprintln(w, "OBJECT\tVERDICT\tLABELS")
	for _, r := range t.rows {
		object, verdict := r.object, r.verdict
		if len(r.after) == 0 {
			fmt.Fprintf(w, "%s\t%s\t-\n", object, verdict)
		}
		for _, mark := range []string{" ", "+"} {
			for _, key := range slices.Sorted(maps.Keys(r.after)) {
				if _, had := r.before[key]; had == (mark == " ") {
					fmt.Fprintf(w, "%s\t%s\t%s %s=%s\n", object, verdict, mark, key, r.after[key])
					object, verdict = "", ""
				}
			}
		}
	}
	_ = w.Flush() // to Out, whose errors are ignored
}

// Err returns an error with the unexpected results, nil if there is none.
func (t *Transcript) Err() error {
	if len(t.failures) == 0 {
		return nil
	}
	return fmt.Errorf("unexpected results:\n  %s", strings.Join(t.failures, "\n  "))
}

// Curl sends a JSON body, and prints the equivalent curl command and the response.
func (t *Transcript) Curl(ctx context.Context, method, url, body string) (status int, answer string, err error) {
	fmt.Fprintf(t.Out, "   $ curl -X %s %s -H 'Content-Type: application/json' -d '%s'\n", method, url, body)
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, "", err
	}
	t.Detail("%s", response.Status)
	t.Detail("%s", text)
	return response.StatusCode, string(text), nil
}

// list returns labels as KEY=VALUE, sorted.
func list(labels map[string]string) string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		all = append(all, key+"="+labels[key])
	}
	return strings.Join(all, ",")
}
