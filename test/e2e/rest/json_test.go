package rest

import (
	"bytes"
	"encoding/json"
	"errors"
)

// unmarshal reads one JSON value with its numbers as they are.
func unmarshal(text []byte, v any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if err := decoder.Decode(v); err != nil {
		return err
	}
	if decoder.More() {
		return errors.New("there is more than one value")
	}
	return nil
}
