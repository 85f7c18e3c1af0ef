package flink

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// tableFile is the document with the table of results, between markers.
var tableFile = filepath.Join("..", "..", "docs", "explanation", "flink.md")

const (
	tableBegin = "<!-- table: written by make test-flink FLINK_ARGS=-update -->"
	tableEnd   = "<!-- end of table -->"
)

// cell identifies a result in the table.
type cell struct{ scenario, object, labels string }

// seen has the versions of Flink per cell.
var seen = map[cell][]string{}

// record records drey's labels of the objects of a scenario.
func record(version, scenario string, objects []unstructured.Unstructured) {
	for _, o := range objects {
		var has []string
		for key := range o.GetLabels() {
			if isDreys(key) {
				has = append(has, key)
			}
		}
		c := cell{scenario, objectName(o), inOrder(has)}
		if !slices.Contains(seen[c], version) {
			seen[c] = append(seen[c], version)
		}
	}
}

// inOrder joins label keys in the order of dreyLabels.
func inOrder(keys []string) string {
	if len(keys) == 0 {
		return "none"
	}
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a, b))
	})
	return "`" + strings.Join(keys, "` `") + "`"
}

// rank returns the position of a key in dreyLabels.
func rank(key string) int {
	if i := slices.Index(dreyLabels, key); i >= 0 {
		return i
	}
	return len(dreyLabels)
}

// objectName returns the name of an object in the table: role and kind.
func objectName(o unstructured.Unstructured) string {
	role := map[string]string{"jobmanager": "JobManager ", "taskmanager": "TaskManager "}[o.GetLabels()["component"]]
	if isHighAvailability(o) {
		role = "high availability "
	}
	if o.GetLabels()["component"] == "autoscaler" {
		role = "autoscaler "
	}
	return role + o.GetKind()
}

// writeTable replaces the cells of this run in the table, and keeps the others.
func writeTable() error {
	text, err := os.ReadFile(tableFile)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(text), tableBegin)
	old, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		return fmt.Errorf("write the table: %q has no %q and %q", tableFile, tableBegin, tableEnd)
	}
	rows := map[cell][]string{}
	type run struct{ version, scenario string }
	fresh := map[run]bool{}
	for c, versions := range seen {
		for _, v := range versions {
			fresh[run{v, c.scenario}] = true
		}
		rows[c] = slices.Clone(versions)
	}
	for line := range strings.Lines(old) {
		words := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(words) != 4 || strings.HasPrefix(strings.TrimSpace(words[0]), "-") || strings.TrimSpace(words[0]) == "Scenario" {
			continue
		}
		for object := range strings.SplitSeq(strings.TrimSpace(words[1]), ", ") {
			c := cell{strings.TrimSpace(words[0]), object, strings.TrimSpace(words[2])}
			for v := range strings.SplitSeq(strings.TrimSpace(words[3]), ", ") {
				if !fresh[run{v, c.scenario}] && !slices.Contains(rows[c], v) {
					rows[c] = append(rows[c], v)
				}
			}
		}
	}
	return os.WriteFile(tableFile, []byte(before+tableBegin+"\n\n"+render(rows)+"\n"+tableEnd+after), 0o644)
}

// render returns the table. Objects of a scenario with the same labels in the same versions
// share a row.
func render(rows map[cell][]string) string {
	type row struct{ scenario, labels, versions string }
	objects := map[row][]string{}
	for c, versions := range rows {
		slices.SortFunc(versions, compareVersions)
		r := row{c.scenario, c.labels, strings.Join(versions, ", ")}
		objects[r] = append(objects[r], c.object)
	}
	var b strings.Builder
	b.WriteString("| Scenario | Objects | Labels from drey | Flink |\n|---|---|---|---|\n")
	var lines []string
	for r, o := range objects {
		slices.Sort(o)
		lines = append(lines, fmt.Sprintf("| %s | %s | %s | %s |\n", r.scenario, strings.Join(o, ", "), r.labels, r.versions))
	}
	slices.Sort(lines)
	for _, line := range lines {
		b.WriteString(line)
	}
	return b.String()
}

// compareVersions orders 1.9.0 before 1.10.0.
func compareVersions(a, b string) int {
	pad := func(v string) string {
		words := strings.Split(v, ".")
		for i := range words {
			words[i] = fmt.Sprintf("%4s", words[i])
		}
		return strings.Join(words, ".")
	}
	return strings.Compare(pad(a), pad(b))
}

// update writes the table if -update is set.
func update() error {
	if !*updateFlag {
		return nil
	}
	if len(seen) == 0 {
		return errors.New("write the table: no scenario passed")
	}
	return writeTable()
}
