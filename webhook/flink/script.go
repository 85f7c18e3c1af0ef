package flink

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// The bounds of scripts that are parsed. A larger script is split at separators instead: the
// parser's stack grows with the depth of its input.
const (
	maxScript   = 32 << 10 // bytes
	maxBrackets = 256      // opening ones
)

// eachCommand calls yield with the words of every simple command of a shell script, and with
// what they may refer to, until yield returns false. Quotes are removed, and expansions replaced
// by their value or by [expansion]. positional are the parameters from $0 on.
func eachCommand(script string, positional []string, s scope, yield func(argv []string, s scope) bool) {
	if argv, ok := splitPlain(script); ok {
		yield(argv, s)
		return
	}
	if len(script) > maxScript || strings.Count(script, "(")+strings.Count(script, "{")+strings.Count(script, "`") > maxBrackets {
		eachLine(script, s, yield)
		return
	}
	file, err := syntax.NewParser().Parse(strings.NewReader(script), "")
	if err != nil {
		eachLine(script, s, yield)
		return
	}
	s.spend(0) // the count is one for all commands of the script
	r := &scriptReader{script: script, scope: s, yield: yield, more: true}
	r.read(file, positional)
}

// special are the bytes that, outside quotes, need a parser.
const special = "\"$`;&|<>(){}#*?[]~!\r\n"

var isSpecial = func() (table [256]bool) {
	for i := range len(special) {
		table[special[i]] = true
	}
	return table
}()

// splitPlain splits a command of plain words, single quotes and backslash escapes, as Flink
// writes the command line of a TaskManager. ok is false if the command needs a parser.
func splitPlain(command string) (argv []string, ok bool) {
	if !strings.ContainsAny(command, special+`'\`) {
		return strings.Fields(command), true
	}
	word, inWord, inQuotes := make([]byte, 0, 64), false, false
	for i := 0; i < len(command); i++ {
		switch c := command[i]; {
		case c == '\'':
			inQuotes, inWord = !inQuotes, true
		case inQuotes:
			word = append(word, c)
		case c == ' ' || c == '\t':
			if inWord {
				argv, word, inWord = append(argv, string(word)), word[:0], false
			}
		case isSpecial[c]:
			return nil, false
		case c == '\\':
			if i++; i == len(command) || command[i] == '\n' {
				return nil, false
			}
			word, inWord = append(word, command[i]), true
		default:
			word, inWord = append(word, c), true
		}
	}
	if inWord {
		argv = append(argv, string(word))
	}
	return argv, !inQuotes
}

// expansion replaces the expansion of a variable or a command. No name contains it.
const expansion = "\x00"

// parameter returns the name of the parameter if a word consists of its expansion, quoted or
// not.
func parameter(w *syntax.Word) (string, bool) {
	if len(w.Parts) != 1 {
		return "", false
	}
	part := w.Parts[0]
	if quoted, ok := part.(*syntax.DblQuoted); ok && len(quoted.Parts) == 1 {
		part = quoted.Parts[0]
	}
	p, ok := part.(*syntax.ParamExp)
	if !ok || p.Param == nil {
		return "", false
	}
	return p.Param.Value, true
}

// writeLiteral writes a literal without its backslash escapes. In double quotes, a backslash
// escapes only $, `, ", \ and a newline.
func writeLiteral(b *strings.Builder, text string, quoted bool) {
	for {
		i := strings.IndexByte(text, '\\')
		if i < 0 || i+1 == len(text) {
			b.WriteString(text)
			return
		}
		b.WriteString(text[:i])
		next := text[i+1]
		if quoted && !strings.ContainsRune("$`\"\\\n", rune(next)) {
			b.WriteByte('\\')
		}
		if next != '\n' {
			b.WriteByte(next)
		}
		text = text[i+2:]
	}
}

// eachLine calls yield with the words between separators of a script that cannot be parsed.
func eachLine(script string, s scope, yield func(argv []string, s scope) bool) {
	for line := range strings.FieldsFuncSeq(script, func(r rune) bool { return strings.ContainsRune(";&|(){}`\n", r) }) {
		words := strings.Fields(line)
		for i, w := range words {
			words[i] = quotes.Replace(w)
		}
		if len(words) > 0 && !yield(words, s) {
			return
		}
	}
}

var quotes = strings.NewReplacer("'", "", `"`, "")
