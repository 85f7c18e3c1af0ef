package flink

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// scriptReader reads the commands of a parsed script, in their order in the text. It knows the
// variables that the script sets to one value, its functions, and the texts of its
// here-documents. It evaluates no condition.
type scriptReader struct {
	script    string
	scope     scope
	yield     func(argv []string, s scope) bool
	more      bool // false: yield has returned false
	functions []*function
	piped     map[*syntax.Stmt]string // standard input of a command in a pipe
}

type function struct {
	*syntax.FuncDecl
	called bool
}

// The bounds of texts that a script may use any number of times.
const (
	maxValue    = 1 << 10   // bytes of the value of a variable
	maxRepeated = 128 << 10 // bytes of functions, here-documents and files that are read
	minRepeated = 512       // bytes that each of them counts at least

	freePositional = 64 // positional parameters that do not count each time they are expanded
)

// read reads the commands below a node, then the functions that no command calls: a program may.
func (r *scriptReader) read(node syntax.Node, positional []string) {
	r.walk(node, positional)
	for _, f := range r.functions {
		if !f.called && r.more {
			r.walk(f.Body, nil)
		}
	}
}

func (r *scriptReader) walk(node syntax.Node, positional []string) {
	x := expander{positional, &r.scope}
	syntax.Walk(node, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.FuncDecl:
			r.functions = append(r.functions, &function{FuncDecl: n})
			return false
		case *syntax.BinaryCmd:
			if n.Op == syntax.Pipe || n.Op == syntax.PipeAll {
				r.pipe(n, x)
			}
		case *syntax.DeclClause:
			r.assign(n.Args, x)
		case *syntax.Stmt:
			if call, ok := n.Cmd.(*syntax.CallExpr); ok && r.more {
				r.call(n, call, x)
				x.positional = r.parameters(call, x)
			}
		}
		return r.more
	})
}

// call yields a simple command, or reads the function that it calls.
func (r *scriptReader) call(stmt *syntax.Stmt, call *syntax.CallExpr, x expander) {
	if len(call.Args) == 0 {
		r.assign(call.Assigns, x)
		return
	}
	argv := x.argv(call.Args)
	if len(argv) == 0 {
		return
	}
	text := r.hereDocument(stmt, x)
	if text != "" {
		r.writeFile(stmt, argv, text, x)
	}
	if f := r.function(argv[0]); f != nil {
		f.called = true
		if r.scope.spend(int(f.Body.End().Offset() - f.Body.Pos().Offset())) {
			r.walk(f.Body, argv)
		}
		return
	}
	s := r.scope
	s.stdin = text
	if piped, ok := r.piped[stmt]; ok && text == "" {
		s.stdin = piped
	}
	r.more = r.yield(argv, s)
}

// parameters returns the positional parameters after a command, which set -- changes. They count as
// repeated text.
func (r *scriptReader) parameters(call *syntax.CallExpr, x expander) []string {
	if len(call.Args) < 2 || call.Args[0].Lit() != "set" || call.Args[1].Lit() != "--" {
		return x.positional
	}
	words := x.argv(call.Args)[2:]
	size := 0
	for _, w := range words {
		size += len(w) + 1
	}
	if !r.scope.spend(size) {
		return x.positional
	}
	return append([]string{"sh"}, words...)
}

// function returns the function that a name calls, nil if none.
func (r *scriptReader) function(name string) *function {
	for _, f := range slices.Backward(r.functions) {
		if f.Name != nil && f.Name.Value == name {
			return f
		}
	}
	return nil
}

// assign keeps the values of variables. A variable with several values is unknown.
func (r *scriptReader) assign(assigns []*syntax.Assign, x expander) {
	for _, a := range assigns {
		if a.Name == nil || a.Naked {
			continue
		}
		value := expansion
		switch {
		case a.Append || a.Index != nil:
		case a.Array != nil:
			var words []*syntax.Word
			for _, e := range a.Array.Elems {
				if e.Value != nil {
					words = append(words, e.Value)
				}
			}
			value = strings.Join(x.argv(words), " ")
		case a.Value != nil:
			value = x.text(a.Value)
		default:
			continue // empty, such as a declaration
		}
		if r.scope.vars == nil {
			r.scope.vars = map[string]string{}
		}
		if len(value) > maxValue {
			value = expansion
		}
		if old, ok := r.scope.vars[a.Name.Value]; ok && old != value {
			value = expansion
		}
		r.scope.vars[a.Name.Value] = value
	}
}

// pipe keeps the output of a command that is piped into another one, if the script shows it.
func (r *scriptReader) pipe(pipe *syntax.BinaryCmd, x expander) {
	call, ok := pipe.X.Cmd.(*syntax.CallExpr)
	if !ok || len(call.Args) == 0 {
		return
	}
	text, argv := "", x.argv(call.Args)
	switch {
	case len(argv) == 0:
	case argv[0] == "cat", argv[0] == "tee":
		text = r.hereDocument(pipe.X, x)
	case argv[0] == "echo", argv[0] == "printf":
		text = strings.Join(argv[1:], " ")
	}
	if text == "" {
		return
	}
	if r.piped == nil {
		r.piped = map[*syntax.Stmt]string{}
	}
	r.piped[pipe.Y] = text
}

// hereDocument returns the text of a here-document or here-string of a command.
func (r *scriptReader) hereDocument(stmt *syntax.Stmt, x expander) string {
	for _, redirect := range stmt.Redirs {
		switch {
		case redirect.Hdoc != nil:
			text := r.script[redirect.Hdoc.Pos().Offset():redirect.Hdoc.End().Offset()]
			return strings.ReplaceAll(text, `\$`, "$")
		case redirect.Op == syntax.WordHdoc:
			return x.text(redirect.Word)
		}
	}
	return ""
}

// writeFile keeps the here-document that cat or tee writes to a file.
func (r *scriptReader) writeFile(stmt *syntax.Stmt, argv []string, text string, x expander) {
	var to []string
	switch argv[0] {
	case "tee":
		to = argv[1:]
		fallthrough
	case "cat":
		for _, redirect := range stmt.Redirs {
			switch redirect.Op {
			case syntax.RdrOut, syntax.RdrClob, syntax.RdrAll, syntax.AppOut:
				to = append(to, x.text(redirect.Word))
			}
		}
	}
	for _, file := range to {
		if r.scope.files == nil {
			r.scope.files = map[string]string{}
		}
		r.scope.files[file] = text
	}
}

// expander expands the words of a script.
type expander struct {
	positional []string
	scope      *scope
}

// argv returns the words of a command, with the known values of parameters. Unquoted values are
// split into words.
func (x expander) argv(words []*syntax.Word) []string {
	argv := make([]string, 0, len(words)+min(len(x.positional), freePositional))
	for _, w := range words {
		switch p, ok := parameter(w); {
		case ok && (p == "@" || p == "*"):
			if len(x.positional) <= freePositional || x.scope.spend(len(x.positional)) {
				argv = append(argv, x.positional[min(1, len(x.positional)):]...)
			}
			continue
		case ok && len(p) == 1 && p[0] >= '0' && int(p[0]-'0') < len(x.positional):
			argv = append(argv, x.positional[p[0]-'0'])
			continue
		}
		var b strings.Builder
		split := false
		for _, part := range w.Parts {
			split = x.write(&b, part, false) || split
		}
		if split {
			argv = append(argv, strings.Fields(b.String())...)
			continue
		}
		argv = append(argv, b.String())
	}
	return argv
}

// text returns a word that is not split.
func (x expander) text(w *syntax.Word) string {
	var b strings.Builder
	for _, part := range w.Parts {
		x.write(&b, part, false)
	}
	return b.String()
}

// write writes a part of a word. split reports that it has a value that the shell splits.
func (x expander) write(b *strings.Builder, part syntax.WordPart, quoted bool) (split bool) {
	switch part := part.(type) {
	case *syntax.Lit:
		writeLiteral(b, part.Value, quoted)
	case *syntax.SglQuoted:
		b.WriteString(part.Value)
	case *syntax.DblQuoted:
		for _, inner := range part.Parts {
			split = x.write(b, inner, true) || split
		}
	case *syntax.ParamExp:
		value, ok := x.value(part)
		if !ok {
			b.WriteString(expansion)
			return false
		}
		b.WriteString(value)
		return !quoted || part.Index != nil // the elements of an array are words
	default:
		b.WriteString(expansion)
	}
	return split
}

// value returns the value of a parameter, or its default.
func (x expander) value(p *syntax.ParamExp) (string, bool) {
	if p.Param == nil || p.Excl || p.Length || p.Width || p.Slice != nil || p.Repl != nil {
		return "", false
	}
	value, known := x.scope.vars[p.Param.Value]
	if !known {
		value, known = x.scope.env[p.Param.Value]
	}
	if p.Exp == nil {
		return value, known
	}
	switch p.Exp.Op {
	case syntax.DefaultUnset, syntax.DefaultUnsetOrNull, syntax.AssignUnset, syntax.AssignUnsetOrNull:
		if !known && p.Exp.Word != nil {
			return x.text(p.Exp.Word), true
		}
		return value, known
	case syntax.ErrorUnset, syntax.ErrorUnsetOrNull:
		return value, known
	}
	return "", false
}
