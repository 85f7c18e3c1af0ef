package v1

import (
	"slices"

	jsonv2 "github.com/go-json-experiment/json"
)

// Raw is the text of a JSON object. A spec that embeds it marshals to this text,
// regardless of its fields.
type Raw []byte

// MarshalJSON implements json.Marshaler. It returns the text.
func (r Raw) MarshalJSON() ([]byte, error) {
	if len(r) == 0 {
		return []byte("{}"), nil
	}
	return r, nil
}

// unmarshal keeps the text of a spec and decodes the fields that drey reads. Fields of
// the wrong type, which the API server rejects, stay empty: one object must not make a
// list unreadable.
func unmarshal(text []byte, fields any, raw *Raw) error {
	_ = jsonv2.Unmarshal(text, fields)
	*raw = slices.Clone(text)
	return nil
}
