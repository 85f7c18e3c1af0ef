package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// report has the results of a run.
type report struct {
	settings  settings
	review    int // bytes
	took      time.Duration
	idle      footprint
	direct    []directRow
	apiServer apiServerResults
}

// goal is a figure beside its limit.
type goal struct {
	figure string
	value  float64
	limit  float64
	least  bool // the limit is the least value; else the most
	digits int
	unit   string
}

func (g goal) met() bool {
	if g.least {
		return g.value >= g.limit
	}
	return g.value <= g.limit
}

func (g goal) row() []string {
	bound, result := "at most", "missed"
	if g.least {
		bound = "at least"
	}
	if g.met() {
		result = "met"
	}
	return []string{g.figure, fmt.Sprintf("%.*f%s", g.digits, g.value, g.unit), fmt.Sprintf("%s %.*f%s", bound, g.digits, g.limit, g.unit), result}
}

// write prints the report, and writes it into a directory of documents.
func (r *report) write(docs string) error {
	text := r.markdown()
	fmt.Printf("\n%s", text)
	if docs == "" {
		return nil
	}
	if err := os.WriteFile(filepath.Join(docs, "images", "performance.svg"), r.plot(), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(docs, "explanation", "performance.md"), text, 0o644)
}

func (r *report) markdown() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `# Performance

`+"`make bench`"+` writes this page. It runs one control plane, drey, and webhooks to compare with, on one machine, in %s:
%d rounds of %s for each figure, which alternate. Figures are medians. Compare them by their ratios, which are medians of the
ratios in a round.

`, r.took.Round(time.Second), r.settings.rounds, r.settings.each)
	b.WriteString("![Added time and throughput by kind of admission](../images/performance.svg)\n\n## Figures and limits\n\n")
	var goals [][]string
	for _, g := range r.goals() {
		goals = append(goals, g.row())
	}
	table(&b, []string{"figure", "measured", "limit", "result"}, goals)
	fmt.Fprintf(&b, `
## Direct calls

A client calls the webhooks over TLS, without an API server, with a review of %.1f KB. CPU is that of the server. The
API server uses HTTP/1.1 alone: see [decision 26](decisions/026-http1.md).

`, float64(r.review)/1000)
	var direct [][]string
	for _, d := range r.direct {
		direct = append(direct, []string{d.server.protocol(), fmt.Sprint(d.connections), d.server.name, fmt.Sprintf("%.0f", d.perSecond), short(d.p50), short(d.p99),
			fmt.Sprintf("%d µs", d.cpu.Microseconds()), fmt.Sprintf("%.2f", d.relative)})
	}
	table(&b, []string{"protocol", "connections", "webhook", "calls/s", "p50", "p99", "CPU/call", "of do-nothing"}, direct)
	b.WriteString(`
## Through the API server

Pods of Flink's native mode are created with dry run. "Added" is the median time beyond that without admission. "CEL policies"
are a MutatingAdmissionPolicy and a ValidatingAdmissionPolicy that recognize Flink as drey does, and add three labels; they
have no registry and no owners. CPU is that of the API server.

`)
	table(&b, []string{"clients", "admission", "creates/s", "p50", "p99", "added", "CPU/create"}, r.scenes(&oneClient, &taskManagers, &eightClients, &manyClients))
	b.WriteString(`
## Pods of others

Pods that are not Flink's, one client. "None, again" repeats the first measurement at the end of each round: its difference is
the noise.

`)
	table(&b, []string{"pod", "admission", "creates/s", "p50", "p99", "added", "CPU/create"}, r.scenes(&plainPods, &largePods))
	fmt.Fprintf(&b, `
Of the added time, %d µs for nginx and %d µs for 200 containers are match conditions; neither is sent to drey.
`, r.conditions(&plainPods).Microseconds(), r.conditions(&largePods).Microseconds())
	b.WriteString(`
## Ledger of the added time

From the API server's own histograms, with one client, by request, without what a request takes without admission. The call
has the encoding of the review, the hop, and the handler of drey, from drey's histogram. The API server does not time match
conditions that all hold, nor validating policies that admit: they are in the rest, and so is the conversion of the pod for
CEL. Pods with Flink's label type are selected without both: see [decision 27](decisions/027-pods-selected-by-label.md).

`)
	names := r.names(&oneClient)
	rows := make([][]string, len(ledgerRows))
	none := middleLedger(r.apiServer[&oneClient][sceneNone].ledgers)
	for i, row := range ledgerRows {
		rows[i] = []string{row}
		for _, name := range names[1:] {
			rows[i] = append(rows[i], fmt.Sprintf("%d µs", middleLedger(r.apiServer[&oneClient][name].ledgers).added(none)[row].Microseconds()))
		}
	}
	table(&b, slices.Concat([]string{"added per request"}, names[1:]), rows)
	fmt.Fprintf(&b, `
## Memory

An idle replica with one target, %s after its start: %.1f MiB anonymous, of which the live heap is %.1f MiB; RSS %.0f MiB, of
which the rest is pages of the program that the kernel can drop. `+"`bin/bench memory`"+` measures it by number of targets, and
`+"`bin/bench deployments`"+` by number of Deployments in the cluster.
`, idle, r.idle.anonymous, r.idle.heap, r.idle.rss)
	return b.Bytes()
}

// names returns the scenes of a load in their order.
func (r *report) names(l *load) []string {
	order := []string{sceneNone, sceneNoop, sceneConstant, sceneDrey + " before", sceneDrey, scenePolicies, sceneAgain}
	return slices.DeleteFunc(order, func(name string) bool { m := r.apiServer[l][name]; return m == nil || len(m.figures) == 0 })
}

func (r *report) scenes(all ...*load) (rows [][]string) {
	for _, l := range all {
		for _, name := range r.names(l) {
			f := middle(r.apiServer[l][name].figures)
			first := fmt.Sprint(l.clients)
			if l.name != "" {
				first = l.name
			}
			rows = append(rows, []string{first, name, fmt.Sprintf("%.0f", f.perSecond), short(f.p50), short(f.p99), short(r.added(l, name)), short(f.cpu)})
		}
	}
	return rows
}

// conditions returns the time of match conditions that do not hold, for a pod with drey.
func (r *report) conditions(l *load) time.Duration {
	return middleLedger(r.apiServer[l][sceneDrey].ledgers)[rowConditions]
}

// added is added for a load.
func (r *report) added(l *load, name string) time.Duration {
	return added(r.apiServer[l], name)
}

// added returns the median of the time that a scene adds to p50 in a round.
func added(by map[string]*measured, name string) time.Duration {
	var all []time.Duration
	for i, f := range by[name].figures {
		all = append(all, f.p50-by[sceneNone].figures[i].p50)
	}
	return median(all, func(d time.Duration) time.Duration { return d })
}

// ratio returns the median of the ratio of the throughputs of two scenes in a round.
func (r *report) ratio(l *load, name, to string) float64 {
	other := r.apiServer[l][to].figures
	var all []float64
	for i, f := range r.apiServer[l][name].figures {
		all = append(all, f.perSecond/other[i].perSecond)
	}
	return median(all, func(f float64) float64 { return f })
}

func (r *report) goals() []goal {
	last := r.direct[slices.IndexFunc(r.direct, func(d directRow) bool { return d.server.name == sceneDrey && !d.server.http2 && d.connections == 8 })]
	addedRatio := float64(r.added(&oneClient, sceneDrey)) / float64(r.added(&oneClient, sceneConstant))
	celRatio := float64(r.added(&oneClient, sceneDrey)) / float64(r.added(&oneClient, scenePolicies))
	return []goal{
		{"direct, 8 connections: calls/s, of the do-nothing webhook", last.relative, 0.9, true, 2, ""},
		{"API server, 8 clients: creates/s, of the constant patch", r.ratio(&eightClients, sceneDrey, sceneConstant), 0.95, true, 2, ""},
		{"API server, 1 client: added time, of the constant patch", addedRatio, 1.1, false, 2, ""},
		{"API server, 8 clients: creates/s, of CEL policies", r.ratio(&eightClients, sceneDrey, scenePolicies), 1.4, true, 2, ""},
		{"API server, 1 client: added time, of CEL policies", celRatio, 0.67, false, 2, ""},
		{"nginx: creates/s, of no admission", r.ratio(&plainPods, sceneDrey, sceneNone), 0.95, true, 2, ""},
		{"the same without drey, the noise", r.ratio(&plainPods, sceneAgain, sceneNone), 0.95, true, 2, ""},
		{"200 containers: creates/s, of no admission", r.ratio(&largePods, sceneDrey, sceneNone), 0.9, true, 2, ""},
		{"the same without drey, the noise", r.ratio(&largePods, sceneAgain, sceneNone), 0.95, true, 2, ""},
		{"idle replica: anonymous memory", r.idle.anonymous, 25, false, 1, " MiB"},
	}
}

// table writes a table of Markdown.
func table(b *bytes.Buffer, header []string, rows [][]string) {
	line := func(cells []string) { fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | ")) }
	line(header)
	fmt.Fprintf(b, "|%s\n", strings.Repeat("---|", len(header)))
	for _, row := range rows {
		line(row)
	}
}

// plot returns two bar charts in SVG: the added time at one client, and the throughput at eight.
func (r *report) plot() []byte {
	type bar struct {
		name  string
		value float64
		text  string
	}
	var added, rates []bar
	for _, name := range r.names(&eightClients) {
		if f := middle(r.apiServer[&eightClients][name].figures); name != sceneAgain {
			rates = append(rates, bar{name, f.perSecond, fmt.Sprintf("%.0f", f.perSecond)})
		}
		if name != sceneNone && name != sceneAgain {
			d := r.added(&oneClient, name)
			added = append(added, bar{name, float64(max(d, 0)), short(d)})
		}
	}
	const width, label, most, height = 720, 150, 460, 26
	var b bytes.Buffer
	rows := len(added) + len(rates)
	total := (rows+4)*height + 10
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13" role="img">`+"\n", width, total)
	fmt.Fprintf(&b, `<title>Added time and throughput of admission</title>`+"\n"+`<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", width, total)
	y := height
	chart := func(title string, bars []bar) {
		fmt.Fprintf(&b, `<text x="10" y="%d" font-weight="bold" fill="#1f2328">%s</text>`+"\n", y, title)
		y += 10
		longest := 1.0
		for _, bar := range bars {
			longest = max(longest, bar.value)
		}
		for _, bar := range bars {
			color := "#8c959f"
			if bar.name == sceneDrey {
				color = "#0969da"
			}
			length := int(bar.value / longest * most)
			fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end" fill="#1f2328">%s</text><rect x="%d" y="%d" width="%d" height="%d" fill="%s"/><text x="%d" y="%d" fill="#1f2328">%s</text>`+"\n",
				label-8, y+17, bar.name, label, y+4, length, height-8, color, label+length+8, y+17, bar.text)
			y += height
		}
		y += height
	}
	chart("Added time of a pod's creation, one client, p50", added)
	chart("Creates per second, 8 clients", rates)
	b.WriteString("</svg>\n")
	return b.Bytes()
}
