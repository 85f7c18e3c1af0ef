package rest

import (
	"bytes"
	"encoding/json"
	"errors"
)

// unmarshal reads exactly one JSON value.
func unmarshal(text []byte, v any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if err := decoder.Decode(v); err != nil {
		return err
	}
	if decoder.More() {
		return errors.New("got more than one JSON value")
	}
	return nil
}
