package codec

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// The API server reads numbers into an int64 or a float64, and writes them in
// its own form: 12345678901234567890.10 comes back as 12345678901234567000, and
// 1.0 as 1. Clients of REST get back what they sent, to the digit. So where the
// API server's form is another, the number's own text goes beside the spec, by
// its JSON pointer.
//
// A text counts only as long as the spec holds what the API server makes of it:
// who changes the number with kubectl has changed it.
//
// The order of keys is not kept: the API server sorts them, and to keep it would
// take the whole text a second time.

// simplify returns a spec with all numbers in the API server's form, and the
// texts of those that are another.
func simplify(spec json.RawMessage) (json.RawMessage, map[string]string, error) {
	texts := map[string]string{}
	simple, err := eachNumber(spec, func(at, text string) string {
		form := apiForm(text)
		if form != text {
			texts[at] = text
		}
		return form
	})
	return simple, texts, err
}

// restore undoes simplify, as far as the numbers are still the same.
func restore(spec json.RawMessage, texts map[string]string) (json.RawMessage, error) {
	return eachNumber(spec, func(at, form string) string {
		if text, ok := texts[at]; ok && isNumber(text) && apiForm(text) == form {
			return text
		}
		return form
	})
}

// isNumber reports whether a text is a JSON number and nothing else. Texts come from an
// annotation, which anybody may write who may write the object.
func isNumber(text string) bool {
	v := jsontext.Value(text)
	return v.IsValid() && v.Kind() == '0' && len(bytes.TrimSpace(v)) == len(v)
}

// apiForm is how the API server writes a number that it was sent. One that it
// would refuse is a zero.
func apiForm(text string) string {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return strconv.FormatInt(n, 10)
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) || f == 0 {
		return "0" // -0, too
	}
	form, err := json.Marshal(f)
	if err != nil {
		return "0"
	}
	return string(form)
}

// eachNumber writes a JSON value out anew, with other texts for its numbers.
func eachNumber(v json.RawMessage, change func(at, text string) string) (json.RawMessage, error) {
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
