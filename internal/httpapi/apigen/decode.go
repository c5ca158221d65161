package apigen

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// Decode reads an answer into a model. Where that takes any JSON, as the input of a state, a number keeps its text as a json.Number: it need be none
// that a float64 can hold.
func Decode(answer []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(answer))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something after the JSON value")
	}
	return nil
}
