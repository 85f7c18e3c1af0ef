package v1

import (
	"slices"

	jsonv2 "github.com/go-json-experiment/json"
)

// Raw is one JSON object as it came. A spec that embeds it is written as this
// text, whatever its fields say.
type Raw []byte

// MarshalJSON returns the text.
func (r Raw) MarshalJSON() ([]byte, error) {
	if len(r) == 0 {
		return []byte("{}"), nil
	}
	return r, nil
}

// unmarshal keeps the text of a spec, and reads the fields that drey looks at.
// The API server has checked their types: whatever cannot be read is left empty,
// rather than that one object makes a list unreadable.
func unmarshal(text []byte, fields any, raw *Raw) error {
	_ = jsonv2.Unmarshal(text, fields)
	*raw = slices.Clone(text)
	return nil
}
