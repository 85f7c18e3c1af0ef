// Package scan reads fields of JSON, and skips the others at the speed of a search. It is pure.
//
// It accepts less than a decoder: see [Scanner.Failed]. What it accepts is valid JSON, values
// that are skipped included.
package scan

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Scanner reads a JSON text from its start to its end. After a failure its methods return zero
// values, and [Scanner.Failed] reports it. Strings that it returns do not alias the text.
//
// A member of an object, or an element of an array, is read by exactly one call:
//
//	for more := s.Object(); more; more = s.NextMember() {
//		switch string(s.Name()) {
//		case "name":
//			name = s.Text()
//		default:
//			s.Skip()
//		}
//	}
type Scanner struct {
	text   []byte
	at     int
	failed bool

	strings strings.Builder // the bytes of all strings, in blocks
	words   []string        // the elements of all lists
	quoted  []byte          // a string without its escapes
}

// Reset starts a text. Lists of the previous text become invalid, strings do not.
func (s *Scanner) Reset(text []byte) {
	const mostWords = 1024 // a larger buffer is freed
	clear(s.words)
	if s.words = s.words[:0]; cap(s.words) > mostWords {
		s.words = nil
	}
	if cap(s.quoted) > blockSize {
		s.quoted = nil
	}
	s.strings.Reset()
	s.text, s.at, s.failed = text, 0, false
}

// Failed reports whether the text is invalid, or has something that a decoder has to read:
// a value of another type than the one that was read, an escape in a name, invalid UTF-8 in a
// string that was read, or more than 64 containers within each other.
func (s *Scanner) Failed() bool { return s.failed }

// End reports whether all was read without a failure.
func (s *Scanner) End() bool { return !s.failed && s.space() == 0 && s.at == len(s.text) }

// Fail makes the scanner fail, because a decoder has to read the text. It ends the text, so that
// no loop continues.
func (s *Scanner) Fail() { s.failed, s.at = true, len(s.text) }

// space skips white space, and returns the next byte, 0 at the end.
func (s *Scanner) space() byte {
	s.at = spaceEnd(s.text, s.at)
	return byteAt(s.text, s.at)
}

// take skips white space, and then a byte if it is the next.
func (s *Scanner) take(c byte) bool {
	if s.space() != c {
		return false
	}
	s.at++
	return true
}

// Null reads null. It returns false for other values, and does not read them.
func (s *Scanner) Null() bool {
	if s.space() != 'n' {
		return false
	}
	s.literal("null")
	return true
}

// Bool reads true, false or null, which is false.
func (s *Scanner) Bool() bool {
	switch s.space() {
	case 't':
		return s.literal("true")
	case 'f':
		s.literal("false")
		return false
	}
	s.literal("null")
	return false
}

func (s *Scanner) literal(word string) bool {
	end := literalEnd(s.text, s.at, word)
	if end < 0 {
		s.Fail()
		return false
	}
	s.at = end
	return true
}

// Object begins an object, and reports whether it has a member.
func (s *Scanner) Object() bool { return s.begin('{', '}') }

// NextMember reports whether the object has another member.
func (s *Scanner) NextMember() bool { return s.next('}') }

// Array begins an array, and reports whether it has an element.
func (s *Scanner) Array() bool { return s.begin('[', ']') }

// NextElement reports whether the array has another element.
func (s *Scanner) NextElement() bool { return s.next(']') }

func (s *Scanner) begin(opening, closing byte) bool {
	if !s.take(opening) {
		s.Fail()
		return false
	}
	return !s.take(closing)
}

func (s *Scanner) next(closing byte) bool {
	if s.take(',') {
		return true
	}
	if !s.take(closing) {
		s.Fail()
	}
	return false
}

// Name reads the name of a member. It aliases the text, and has no escapes.
func (s *Scanner) Name() []byte {
	name, plain := s.string()
	if !plain || !s.take(':') {
		s.Fail()
		return nil
	}
	return name
}

// Key reads the name of a member as a string.
func (s *Scanner) Key() string {
	key := s.decoded()
	if !s.take(':') {
		s.Fail()
	}
	return key
}

// string reads a string, and returns the text between its quotes. plain is false if it has an
// escape.
func (s *Scanner) string() (between []byte, plain bool) {
	if !s.take('"') {
		s.Fail()
		return nil, false
	}
	from := s.at
	end, plain := stringEnd(s.text, from)
	if end < 0 {
		s.Fail()
		return nil, false
	}
	s.at = end
	return s.text[from : end-1], plain
}

// Text reads a string or null, which is empty.
func (s *Scanner) Text() string {
	if s.Null() {
		return ""
	}
	return s.decoded()
}

func (s *Scanner) decoded() string {
	between, plain := s.string()
	switch {
	case s.failed:
		return ""
	case plain && utf8.Valid(between):
		return s.keep(between)
	}
	return s.Unquote(s.text[s.at-len(between)-2 : s.at])
}

// RawText reads a string or null, and returns its text, which aliases that of the scanner; nil for
// null.
func (s *Scanner) RawText() []byte {
	if s.Null() {
		return nil
	}
	from := s.at
	if s.string(); s.failed {
		return nil
	}
	return s.text[from:s.at]
}

// Unquote returns the string of a text that RawText returned.
func (s *Scanner) Unquote(raw []byte) string {
	if len(raw) == 0 {
		return ""
	}
	if between := raw[1 : len(raw)-1]; bytes.IndexByte(between, '\\') < 0 && utf8.Valid(between) {
		return s.keep(between)
	}
	var err error
	if s.quoted, err = jsontext.AppendUnquote(s.quoted[:0], raw); err != nil {
		s.Fail()
		return ""
	}
	return s.keep(s.quoted)
}

// blockSize is the size of a block of strings: about that of the strings of a pod.
const blockSize = 1 << 10

// keep returns a copy. The copies of a text share blocks, so that they cost few allocations.
func (s *Scanner) keep(b []byte) string {
	if len(b) > s.strings.Cap()-s.strings.Len() {
		s.strings.Reset() // a new block: the strings in the previous one stay
		s.strings.Grow(max(len(b), blockSize))
	}
	from := s.strings.Len()
	s.strings.Write(b)
	return s.strings.String()[from:]
}

// Texts reads an array of strings, or null, which is empty. The list is valid until Reset.
func (s *Scanner) Texts() []string {
	from := len(s.words)
	if s.Null() {
		return nil
	}
	for more := s.Array(); more; more = s.NextElement() {
		s.words = append(s.words, s.Text())
	}
	return s.words[from:len(s.words):len(s.words)]
}

// Raw reads a value, and returns its text, which aliases that of the scanner.
func (s *Scanner) Raw() []byte {
	s.space()
	from := s.at
	s.Skip()
	if s.failed {
		return nil
	}
	return s.text[from:s.at]
}

// maxSkipped bounds the depth of a value that is skipped.
const maxSkipped = 64

// Skip reads a value and validates it.
func (s *Scanner) Skip() {
	end := valueEnd(s.text, s.at)
	if end < 0 {
		s.Fail()
		return
	}
	s.at = end
}

// valueEnd returns the end of a value, -1 if it is invalid.
func valueEnd(b []byte, i int) int {
	var objects uint64 // a bit for each open container, the last for the innermost: 1 for an object
	depth := 0
	for {
		i = spaceEnd(b, i)
		switch c := byteAt(b, i); c {
		case '"':
			i, _ = stringEnd(b, i+1)
		case '{', '[':
			i = spaceEnd(b, i+1)
			if byteAt(b, i) == c+2 { // } or ]
				i++
				break
			}
			if depth++; depth > maxSkipped {
				return -1
			}
			objects <<= 1
			if c == '{' {
				objects |= 1
				if i = nameEnd(b, i); i < 0 {
					return -1
				}
			}
			continue
		case 't':
			i = literalEnd(b, i, "true")
		case 'f':
			i = literalEnd(b, i, "false")
		case 'n':
			i = literalEnd(b, i, "null")
		default:
			i = numberEnd(b, i)
		}
		if i < 0 {
			return -1
		}
		for { // a value has ended
			if depth == 0 {
				return i
			}
			i = spaceEnd(b, i)
			c := byteAt(b, i)
			i++
			if c == ',' {
				break
			}
			if c != ']'+byte(objects&1)*('}'-']') {
				return -1
			}
			depth--
			objects >>= 1
		}
		if objects&1 == 1 {
			if i = nameEnd(b, i); i < 0 {
				return -1
			}
		}
	}
}

// nameEnd returns the end of the name of a member and its colon, -1 if they are invalid.
func nameEnd(b []byte, i int) int {
	if i = spaceEnd(b, i); byteAt(b, i) != '"' {
		return -1
	}
	if i, _ = stringEnd(b, i+1); i < 0 {
		return -1
	}
	if i = spaceEnd(b, i); byteAt(b, i) != ':' {
		return -1
	}
	return i + 1
}

// byteAt returns a byte, 0 at the end. A byte 0 is nowhere valid.
func byteAt(b []byte, i int) byte {
	if i < len(b) {
		return b[i]
	}
	return 0
}

func spaceEnd(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

func literalEnd(b []byte, i int, word string) int {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return -1
	}
	return i + len(word)
}

// numberEnd returns the end of a number, -1 if it is invalid.
func numberEnd(b []byte, i int) int {
	if byteAt(b, i) == '-' {
		i++
	}
	switch c := byteAt(b, i); {
	case c == '0':
		i++
	case '1' <= c && c <= '9':
		i = digitsEnd(b, i)
	default:
		return -1
	}
	if byteAt(b, i) == '.' {
		from := i + 1
		if i = digitsEnd(b, from); i == from {
			return -1
		}
	}
	if byteAt(b, i)|0x20 == 'e' {
		if i++; byteAt(b, i) == '+' || byteAt(b, i) == '-' {
			i++
		}
		from := i
		if i = digitsEnd(b, from); i == from {
			return -1
		}
	}
	return i
}

func digitsEnd(b []byte, i int) int {
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	return i
}

// stringEnd returns the index after the quote that ends a string, whose text begins at i, -1
// if the string is invalid. plain is false if it has an escape. Eight bytes are compared at a
// time.
func stringEnd(b []byte, i int) (end int, plain bool) {
	plain = true
	for {
		for i+8 <= len(b) {
			if found := special(binary.LittleEndian.Uint64(b[i:])); found != 0 {
				i += bits.TrailingZeros64(found) / 8
				break
			}
			i += 8
		}
		switch c := byteAt(b, i); {
		case c == '"':
			return i + 1, plain
		case c == '\\':
			plain = false
			if i = escapeEnd(b, i+1); i < 0 {
				return -1, false
			}
		case c < ' ': // or the end
			return -1, false
		default:
			i++
		}
	}
}

// special marks the bytes of a word that are a quote, a backslash or a control character, by
// their highest bit. Bytes above a marked one may be marked wrongly.
func special(word uint64) uint64 {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	quote, backslash := word^(ones*'"'), word^(ones*'\\')
	return ((word-ones*' ')&^word | (quote-ones)&^quote | (backslash-ones)&^backslash) & high
}

// escapeEnd returns the end of an escape after its backslash, -1 if it is invalid.
func escapeEnd(b []byte, i int) int {
	switch byteAt(b, i) {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		for range 4 {
			i++
			if c := byteAt(b, i); (c < '0' || '9' < c) && (c|0x20 < 'a' || 'f' < c|0x20) {
				return -1
			}
		}
		return i + 1
	}
	return -1
}
