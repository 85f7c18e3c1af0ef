package codec

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// The API server parses numbers into int64 or float64 and writes its own form:
// 12345678901234567890.10 becomes 12345678901234567000, and 1.0 becomes 1. REST clients get
// the digits back that they sent, so the texts of numbers that differ from the API server's
// form are stored in an annotation, by JSON pointer.
//
// A text applies while the spec has the API server's form of it: a number that kubectl changed
// is changed. The order of keys is not preserved; the API server sorts them.

// canonicalizeNumbers returns a spec with all numbers in the API server's form, and the original
// texts of those that differ.
func canonicalizeNumbers(spec json.RawMessage) (json.RawMessage, map[string]string, error) {
	texts := map[string]string{}
	simple, err := replaceNumbers(spec, func(at, text string) string {
		form := apiForm(text)
		if form != text {
			texts[at] = text
		}
		return form
	})
	return simple, texts, err
}

// restoreNumbers reverses canonicalizeNumbers for numbers that have not changed.
func restoreNumbers(spec json.RawMessage, texts map[string]string) (json.RawMessage, error) {
	return replaceNumbers(spec, func(at, form string) string {
		if text, ok := texts[at]; ok && isNumber(text) && apiForm(text) == form {
			return text
		}
		return form
	})
}

// isNumber reports whether a text is a JSON number. Any user with update on the
// object can write the annotation.
func isNumber(text string) bool {
	v := jsontext.Value(text)
	return v.IsValid() && v.Kind() == '0' && len(bytes.TrimSpace(v)) == len(v)
}

// apiForm returns a number in the API server's form; 0 for numbers that it would reject.
func apiForm(text string) string {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return strconv.FormatInt(n, 10)
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) || f == 0 {
		return "0" // also -0
	}
	form, err := json.Marshal(f)
	if err != nil {
		return "0"
	}
	return string(form)
}

// replaceNumbers returns a JSON value with replaced texts of its numbers.
func replaceNumbers(v json.RawMessage, change func(at, text string) string) (json.RawMessage, error) {
	in := jsontext.NewDecoder(bytes.NewReader(v), jsontext.AllowDuplicateNames(true))
	var b bytes.Buffer
	out := jsontext.NewEncoder(&b, jsontext.AllowDuplicateNames(true))
	for {
		if in.PeekKind() != '0' {
			token, err := in.ReadToken()
			if err != nil {
				return nil, err
			}
			if err := out.WriteToken(token); err != nil {
				return nil, err
			}
		} else {
			number, err := in.ReadValue()
			if err != nil {
				return nil, err
			}
			text := change(string(in.StackPointer()), string(number))
			if err := out.WriteValue(jsontext.Value(text)); err != nil {
				return nil, err
			}
		}
		if in.StackDepth() == 0 {
			return bytes.TrimSpace(b.Bytes()), nil
		}
	}
}
