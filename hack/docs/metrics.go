package main

import (
	"go/ast"
	"slices"
	"strings"
)

// metricsPage lists drey's own metrics, from the options of their constructors.
func metricsPage(root string) (string, error) {
	dirs, err := packages(root)
	if err != nil {
		return "", err
	}
	var rows [][]string
	for _, dir := range dirs {
		files, err := parsePackage(dir)
		if err != nil {
			return "", err
		}
		labels := labelSets(files)
		for _, f := range files {
			ast.Inspect(f, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					if row := metric(call, labels); row != nil {
						rows = append(rows, row)
					}
				}
				return true
			})
		}
	}
	slices.SortFunc(rows, slices.Compare)
	return "# List of metrics\n\n" + note + "The metrics that drey defines. [Metrics](metrics.md) explains them, and those of the libraries.\n\n" +
		strings.TrimRight(table([]string{"metric", "type", "labels", "help"}, rows), "\n") + "\n", nil
}

// labelSets returns the variables of a package that are lists of strings.
func labelSets(files []*ast.File) map[string][]string {
	sets := map[string][]string{}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok && len(v.Names) == 1 && len(v.Values) == 1 {
				if values := list(v.Values[0]); len(values) > 0 {
					sets[v.Names[0].Name] = values
				}
			}
			return true
		})
	}
	return sets
}

func list(e ast.Expr) (values []string) {
	if c, ok := e.(*ast.CompositeLit); ok {
		for _, v := range c.Elts {
			if text, ok := literal(v); ok {
				values = append(values, text)
			}
		}
	}
	return values
}

// metric returns the row of a call of a constructor of package prometheus, or nil.
func metric(call *ast.CallExpr, labels map[string][]string) []string {
	constructor, ok := strings.CutPrefix(expression(call.Fun), "prometheus.New")
	if !ok || len(call.Args) == 0 {
		return nil
	}
	var name, help string
	names := []string{}
	if constructor == "Desc" { // name, help, labels, constant labels
		name, _ = literal(call.Args[0])
		help, _ = literal(call.Args[1])
		names = append(list(call.Args[2]), labels[expression(call.Args[2])]...)
		constructor = "Gauge"
	} else if options, ok := call.Args[0].(*ast.CompositeLit); ok {
		for _, e := range options.Elts {
			field := e.(*ast.KeyValueExpr)
			switch expression(field.Key) {
			case "Name":
				name, _ = literal(field.Value)
			case "Help":
				help, _ = literal(field.Value)
			case "ConstLabels":
				for _, l := range field.Value.(*ast.CompositeLit).Elts {
					key, _ := literal(l.(*ast.KeyValueExpr).Key)
					names = append(names, key)
				}
			}
		}
		if len(call.Args) > 1 {
			names = append(list(call.Args[1]), labels[expression(call.Args[1])]...)
		}
	}
	if !strings.HasPrefix(name, "drey_") {
		return nil
	}
	for i, n := range names {
		names[i] = code(n)
	}
	kind, _, _ := strings.Cut(strings.ToLower(constructor), "vec")
	return []string{code(name), strings.TrimSuffix(kind, "func"), strings.Join(names, ", "), help}
}
