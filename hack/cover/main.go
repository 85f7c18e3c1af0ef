// Command cover reads the output of go test -cover, prints the coverage of each package, and
// fails if a package is below its floor.
//
//	go test -cover ./... | go run ./hack/cover -floors hack/cover/floors.txt
//
// With -update it writes the floors: the coverage rounded down, less a point for chance.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const module = "drey.dev/drey/"

func main() {
	path := flag.String("floors", "hack/cover/floors.txt", "file with a package and its least coverage a line")
	update := flag.Bool("update", false, "write the floors")
	flag.Parse()
	if err := run(os.Stdin, os.Stdout, *path, *update); err != nil {
		fmt.Fprintln(os.Stderr, "cover:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer, path string, update bool) error {
	coverage, failures, err := parse(in)
	if err != nil {
		return err
	}
	if len(failures) > 0 {
		return fmt.Errorf("tests failed:\n%s", strings.Join(failures, "\n"))
	}
	if update {
		return os.WriteFile(path, []byte(formatFloors(coverage)), 0o644)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	floors, err := parseFloors(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, name := range slices.Sorted(maps.Keys(coverage)) {
		fmt.Fprintf(out, "%-40s %5.1f %%  floor %2.0f %%\n", name, coverage[name], floors[name])
	}
	return check(coverage, floors)
}

var (
	covered = regexp.MustCompile(`^(?:ok\s+|\s+)(\S+)\s.*coverage: ([0-9.]+)% of statements`)
	failed  = regexp.MustCompile(`^(?:FAIL\s+\S|\s*--- FAIL|panic:)`)
)

// parse returns the coverage by package in percent, and the lines of failures.
func parse(in io.Reader) (coverage map[string]float64, failures []string, err error) {
	coverage = map[string]float64{}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		line := lines.Text()
		if failed.MatchString(line) {
			failures = append(failures, line)
		}
		m := covered.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		percent, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			return nil, nil, fmt.Errorf("line %q: %w", line, err)
		}
		coverage[strings.TrimPrefix(m[1], module)] = percent
	}
	return coverage, failures, lines.Err()
}

// formatFloors returns the floors for a coverage. Packages without coverage have none.
func formatFloors(coverage map[string]float64) string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(coverage)) {
		if floor := math.Floor(coverage[name]) - 1; floor > 0 {
			fmt.Fprintf(&text, "%s %.0f\n", name, floor)
		}
	}
	return text.String()
}

func parseFloors(text string) (map[string]float64, error) {
	floors := map[string]float64{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		floor, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("line %q: want a package and a percentage", strings.TrimSpace(line))
		}
		floors[name] = floor
	}
	return floors, nil
}

// check returns an error for each package below its floor, or without coverage.
func check(coverage, floors map[string]float64) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(floors)) {
		switch percent, ok := coverage[name]; {
		case !ok:
			errs = append(errs, fmt.Errorf("%s: no coverage: its tests did not run; if the package is gone: make cover-update", name))
		case percent < floors[name]:
			errs = append(errs, fmt.Errorf("%s: coverage %.1f %% is below its floor of %.0f %%: add tests; if code with tests was removed: make cover-update", name, percent, floors[name]))
		}
	}
	return errors.Join(errs...)
}
