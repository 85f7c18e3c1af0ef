package yamljson

import (
	"bytes"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Strings are the fields of a document whose values are strings. Numbers and booleans there become
// strings with the text as written. The nil value has no fields.
type Strings struct {
	isString bool
	members  map[string]*Strings
	other    *Strings // of members that are not in members
	items    *Strings
}

// NewStrings returns the fields at paths. In a path, dots separate members, * is any member, and a
// member ending in [] is an array: metadata.labels.*, spec.envVars[].value.
func NewStrings(paths ...string) *Strings {
	root := &Strings{}
	for _, path := range paths {
		at := root
		for name := range strings.SplitSeq(path, ".") {
			name, isArray := strings.CutSuffix(name, "[]")
			at = at.add(name)
			if isArray {
				if at.items == nil {
					at.items = &Strings{}
				}
				at = at.items
			}
		}
		at.isString = true
	}
	return root
}

func (s *Strings) add(name string) *Strings {
	if name == "*" {
		if s.other == nil {
			s.other = &Strings{}
		}
		return s.other
	}
	if s.members == nil {
		s.members = make(map[string]*Strings)
	}
	if s.members[name] == nil {
		s.members[name] = &Strings{}
	}
	return s.members[name]
}

// Member returns the fields below a member of an object; nil: none.
func (s *Strings) Member(name string) *Strings {
	if s == nil {
		return nil
	}
	if at, ok := s.members[name]; ok {
		return at
	}
	return s.other
}

// item returns the fields below the items of an array; nil: none.
func (s *Strings) item() *Strings {
	if s == nil {
		return nil
	}
	return s.items
}

// Quote returns a JSON value with the numbers and booleans of s as strings, and the offsets in the
// result of the quotes that it inserted. An invalid value is unchanged from the error on.
func (s *Strings) Quote(text []byte) (quoted []byte, inserted []int64) {
	q := quoter{in: jsontext.NewDecoder(bytes.NewReader(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))}
	_ = q.walk(s) // the caller's decoder returns the error
	if len(q.bounds) == 0 {
		return text, nil
	}
	out := make([]byte, 0, len(text)+len(q.bounds))
	last := int64(0)
	for _, bound := range q.bounds {
		out = append(out, text[last:bound]...)
		inserted = append(inserted, int64(len(out)))
		out = append(out, '"')
		last = bound
	}
	return append(out, text[last:]...), inserted
}

// Unquoted converts an offset into the result of [Strings.Quote] to one into its argument.
func Unquoted(offset int64, inserted []int64) int64 {
	n, _ := slices.BinarySearch(inserted, offset)
	return offset - int64(n)
}

type quoter struct {
	in     *jsontext.Decoder
	bounds []int64 // offsets at which to insert a quote, in order
}

func (q *quoter) walk(s *Strings) error {
	switch kind := q.in.PeekKind(); {
	case s == nil:
		return q.in.SkipValue()
	case s.isString && (kind == '0' || kind == 't' || kind == 'f'):
		value, err := q.in.ReadValue()
		if err == nil {
			end := q.in.InputOffset()
			q.bounds = append(q.bounds, end-int64(len(value)), end)
		}
		return err
	case kind == '{' && (s.members != nil || s.other != nil):
		return q.within(func() error {
			name, err := q.in.ReadToken()
			if err != nil {
				return err
			}
			return q.walk(s.Member(name.String()))
		})
	case kind == '[' && s.items != nil:
		return q.within(func() error { return q.walk(s.items) })
	}
	return q.in.SkipValue()
}

// within calls each for each member of the next object or array.
func (q *quoter) within(each func() error) error {
	if _, err := q.in.ReadToken(); err != nil {
		return err
	}
	for kind := q.in.PeekKind(); kind != '}' && kind != ']'; kind = q.in.PeekKind() {
		if err := each(); err != nil {
			return err
		}
	}
	_, err := q.in.ReadToken()
	return err
}
