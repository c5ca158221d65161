package instance_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/utkarsh698/cloudflow/internal/datadir"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A canary is something that must not be found, in all the forms in which it might stand somewhere.
type canary struct {
	name  string
	forms map[string][]byte
}

// newCanary makes the forms: as it is, in hexadecimal, in base64 at each of the three places in which it can begin, in UTF-16, and as JSON
// escapes it.
func newCanary(name string, secret []byte) canary {
	c := canary{name, map[string][]byte{
		"plain": secret, "hex": []byte(hex.EncodeToString(secret)), "HEX": []byte(strings.ToUpper(hex.EncodeToString(secret))),
	}}
	for shift := range 3 {
		padded := append(make([]byte, shift), secret...)
		// What the bytes before and behind it have a part in is left out.
		first, last := (shift*8+5)/6, len(padded)*8/6
		for kind, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
			c.forms[kind+" at "+string(rune('0'+shift))] = []byte(encoding.EncodeToString(padded))[first:last]
		}
	}
	var little, big []byte
	for _, u := range utf16.Encode([]rune(string(secret))) {
		little, big = append(little, byte(u), byte(u>>8)), append(big, byte(u>>8), byte(u))
	}
	c.forms["UTF-16LE"], c.forms["UTF-16BE"] = little, big
	if escaped := strings.NewReplacer("@", `\u0040`, "+", `\u002b`).Replace(string(secret)); escaped != string(secret) {
		c.forms["JSON"] = []byte(escaped)
	}
	return c
}

// in names the forms in which the canary stands in the text.
func (c canary) in(text []byte) (found []string) {
	for form, bytesOf := range c.forms {
		if bytes.Contains(text, bytesOf) {
			found = append(found, form)
		}
	}
	return found
}

// A sighting is where a canary was found.
type sighting struct{ canary, place string }

// scan looks for canaries in the bytes of each file below the directories, and in the logs.
func scan(t *testing.T, canaries []canary, logs []byte, dirs ...string) (seen []sighting) {
	t.Helper()
	look := func(place string, text []byte) {
		for _, c := range canaries {
			for _, form := range c.in(text) {
				seen = append(seen, sighting{c.name, place + " (" + form + ")"})
			}
		}
	}
	files := 0
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			files++
			text, err := os.ReadFile(path)
			look(path, text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 10*len(dirs) {
		t.Fatalf("%d files only: that is no data directory", files)
	}
	look("the log", logs)
	return seen
}

// scanItems looks for canaries in what the stores of a stopped directory hold: the blocks of its files are compressed.
func scanItems(t *testing.T, canaries []canary, path string) (seen []sighting) {
	t.Helper()
	dir, err := datadir.Open(path, datadir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	look := func(e store.Entry) error {
		for _, c := range canaries {
			for _, a := range e.Item {
				for _, form := range c.in([]byte(e.Key.String() + a.Name + a.Value.Text())) {
					seen = append(seen, sighting{c.name, e.Key.String() + " (" + form + ")"})
				}
			}
		}
		return nil
	}
	if err := dir.Dump(t.Context(), look, look); err != nil {
		t.Fatal(err)
	}
	return seen
}

// The scan is worth what it finds.
func TestACanaryIsFoundInEveryForm(t *testing.T) {
	secret := "+49151.canary@example.test"
	c := newCanary("c", []byte(secret))
	around := func(before, behind int, b string) string {
		return strings.Repeat("x", before) + b + strings.Repeat("y", behind)
	}
	for shift := range 5 {
		if c.in([]byte(base64.StdEncoding.EncodeToString([]byte(around(shift, 4-shift, secret))))) == nil {
			t.Errorf("not in base64 behind %d bytes", shift)
		}
		if c.in([]byte(base64.URLEncoding.EncodeToString([]byte(around(shift, 4-shift, secret))))) == nil {
			t.Errorf("not in base64url behind %d bytes", shift)
		}
	}
	text, err := json.Marshal(map[string]string{"email": secret})
	if err != nil || c.in(text) == nil {
		t.Errorf("not in %s: %v", text, err)
	}
	if c.in([]byte(around(3, 3, strings.ReplaceAll(secret, "@", "!")))) != nil {
		t.Error("found where it is not")
	}
}
