package main

import (
	"errors"
	"fmt"
	"go/ast"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// reasonsPage lists the reasons of verdicts and of REST errors, with the comments of their
// constants.
func reasonsPage(root string) (string, error) {
	verdicts, err := constants(filepath.Join(root, "webhook/verdict"), func(_, typ string) bool { return typ == "Reason" })
	if err != nil {
		return "", err
	}
	if len(verdicts) != 2 {
		return "", fmt.Errorf("webhook/verdict: got %d groups of reasons, want those that allow and those that deny", len(verdicts))
	}
	var b strings.Builder
	b.WriteString("# Reasons\n\n" + note + "A reason is one of a closed list. Denials, errors, events, metrics and the audit log have the same reasons.\n\n")
	b.WriteString("## Denials\n\nThe API server returns a denial as 403. [Troubleshoot](../how-to/troubleshoot.md#fix-a-denied-workload) has the fix of each.\n\n")
	b.WriteString(table([]string{"reason", "meaning"}, meanings(verdicts[1])))
	b.WriteString("## Allowed requests\n\n" + table([]string{"reason", "meaning"}, meanings(verdicts[0])))
	b.WriteString("## Errors of the REST API\n\nThe field `reason` of an [error](rest.md#errors). [Rules for kubectl](kubernetes.md#rules-for-kubectl) lists those that kubectl can get.\n\n")
	errorRows, err := restReasons(root)
	if err != nil {
		return "", err
	}
	b.WriteString(table([]string{"reason", "status", "meaning"}, errorRows))
	return strings.TrimRight(b.String(), "\n") + "\n", nil
}

func meanings(reasons []constant) (rows [][]string) {
	for _, r := range reasons {
		rows = append(rows, []string{code(r.value), r.comment})
	}
	return rows
}

// restReasons returns the reasons of REST errors with their status, in its order.
func restReasons(root string) ([][]string, error) {
	byName, statuses := map[string]constant{}, map[string]int{}
	for _, dir := range []string{"registry", "registry/rest"} {
		groups, err := constants(filepath.Join(root, dir), func(name, _ string) bool { return strings.HasPrefix(name, "Reason") })
		if err != nil {
			return nil, err
		}
		for _, r := range slices.Concat(groups...) {
			byName[r.name] = r
		}
	}
	files, err := parsePackage(filepath.Join(root, "registry/rest"))
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.KeyValueExpr: // of statusOf
				addStatus(statuses, expression(n.Key), expression(n.Value))
			case *ast.CompositeLit: // problem{status, reason, message}
				if expression(n.Type) == "problem" && len(n.Elts) == 3 {
					addStatus(statuses, expression(n.Elts[1]), expression(n.Elts[0]))
				}
			}
			return true
		})
	}
	var rows [][]string
	for name, r := range byName {
		status, ok := statuses[name]
		if !ok {
			return nil, fmt.Errorf("registry/rest: found no status of %s", name)
		}
		if r.comment == "" {
			return nil, errors.New(name + " has no comment: say what the reason means, on its line")
		}
		rows = append(rows, []string{code(r.value), strconv.Itoa(status), r.comment})
	}
	slices.SortFunc(rows, func(a, b []string) int { return strings.Compare(a[1]+a[0], b[1]+b[0]) })
	return rows, nil
}

func addStatus(statuses map[string]int, reason, status string) {
	reason = strings.TrimPrefix(reason, "registry.")
	if text, ok := strings.CutPrefix(status, "http.Status"); ok && strings.HasPrefix(reason, "Reason") {
		statuses[reason] = httpStatuses[text]
	}
}

// httpStatuses are the statuses by the name of their constant in net/http.
var httpStatuses = func() map[string]int {
	names := map[string]int{}
	for status := range 600 {
		names[strings.NewReplacer(" ", "", "-", "").Replace(http.StatusText(status))] = status
	}
	maps.DeleteFunc(names, func(name string, _ int) bool { return name == "" })
	return names
}()
