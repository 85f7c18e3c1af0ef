// Command cover reads the coverage of the unit tests, as go test -cover prints it, and optionally that of
// all tests, as go tool covdata percent prints it. It prints the coverage of each package, and fails if a
// package is below its floor.
//
//	go test -cover ./... | go run ./hack/cover -floors hack/cover/floors.txt [-all all.txt]
//
// With -update it writes the floors: the coverage rounded down, less a point for chance. It keeps floors
// that would fall, unless -lower is given.
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

// options are the flags.
type options struct {
	floors string // file with a package and its floors a line: of unit tests and of all tests
	all    string // file with the coverage of all tests; "": only unit tests were run
	update bool
	lower  bool
}

func main() {
	var o options
	flag.StringVar(&o.floors, "floors", "hack/cover/floors.txt", "file with a package and its least coverage a line: of unit tests and of all tests")
	flag.StringVar(&o.all, "all", "", "file with the output of go tool covdata percent for all tests")
	flag.BoolVar(&o.update, "update", false, "write the floors")
	flag.BoolVar(&o.lower, "lower", false, "with -update: lower floors too")
	flag.Parse()
	if err := run(os.Stdin, os.Stdout, o); err != nil {
		fmt.Fprintln(os.Stderr, "cover:", err)
		os.Exit(1)
	}
}

// percent is the coverage of a package, or its floor.
type percent struct{ unit, all float64 }

func run(in io.Reader, out io.Writer, o options) error {
	unit, failures, err := parse(in)
	if err != nil {
		return err
	}
	if len(failures) > 0 {
		return fmt.Errorf("tests failed:\n%s", strings.Join(failures, "\n"))
	}
	coverage := map[string]percent{}
	for name, p := range unit {
		coverage[name] = percent{unit: p}
	}
	if o.all != "" {
		f, err := os.Open(o.all)
		if err != nil {
			return err
		}
		defer f.Close()
		all, _, err := parse(f)
		if err != nil {
			return err
		}
		for name := range coverage { // packages of tests have no floors
			coverage[name] = percent{coverage[name].unit, max(all[name], coverage[name].unit)}
		}
	}
	text, err := os.ReadFile(o.floors)
	if err != nil {
		return err
	}
	floors, err := parseFloors(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", o.floors, err)
	}
	if o.update {
		return os.WriteFile(o.floors, []byte(formatFloors(raise(floors, coverage, o.lower))), 0o644)
	}
	for _, name := range slices.Sorted(maps.Keys(coverage)) {
		fmt.Fprintf(out, "%-40s unit %5.1f %%  floor %2.0f %%", name, coverage[name].unit, floors[name].unit)
		if o.all != "" {
			fmt.Fprintf(out, "  all %5.1f %%  floor %2.0f %%", coverage[name].all, floors[name].all)
		}
		fmt.Fprintln(out)
	}
	return check(coverage, floors, o.all != "")
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

// raise returns the floors for a coverage. Without lower, none is below the present one; floors of
// packages that are gone are dropped.
func raise(floors, coverage map[string]percent, lower bool) map[string]percent {
	raised := map[string]percent{}
	floor := func(p, present float64) float64 {
		if floor := math.Floor(p) - 1; lower || floor > present {
			return max(floor, 0)
		}
		return present
	}
	for name, p := range coverage {
		raised[name] = percent{floor(p.unit, floors[name].unit), floor(p.all, floors[name].all)}
	}
	return raised
}

// formatFloors returns the text of floors. Packages without coverage have none.
func formatFloors(floors map[string]percent) string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(floors)) {
		if f := floors[name]; f != (percent{}) {
			fmt.Fprintf(&text, "%s %.0f %.0f\n", name, f.unit, f.all)
		}
	}
	return text.String()
}

func parseFloors(text string) (map[string]percent, error) {
	floors := map[string]percent{}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			return nil, fmt.Errorf("line %q: want a package and two percentages", strings.TrimSpace(line))
		}
		unit, err := strconv.ParseFloat(fields[1], 64)
		all, err2 := strconv.ParseFloat(fields[2], 64)
		if err := errors.Join(err, err2); err != nil {
			return nil, fmt.Errorf("line %q: %w", strings.TrimSpace(line), err)
		}
		floors[fields[0]] = percent{unit, all}
	}
	return floors, nil
}

// check returns an error for each package below a floor, or without coverage.
func check(coverage, floors map[string]percent, withAll bool) error {
	var errs []error
	below := func(name, tests string, p, floor float64) {
		if p < floor {
			errs = append(errs, fmt.Errorf("%s: coverage %.1f %% of %s is below its floor of %.0f %%: add tests; if code with tests was removed: make cover-update LOWER=1", name, p, tests, floor))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(floors)) {
		p, ok := coverage[name]
		if !ok {
			errs = append(errs, fmt.Errorf("%s: no coverage: its tests did not run; if the package is gone: make cover-update", name))
			continue
		}
		below(name, "unit tests", p.unit, floors[name].unit)
		if withAll {
			below(name, "all tests", p.all, floors[name].all)
		}
	}
	return errors.Join(errs...)
}
