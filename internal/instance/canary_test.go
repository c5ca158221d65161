package instance_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/url"
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

// newCanary makes the forms: as it is, in hexadecimal, in base64 at each of the three places in which it can begin, in UTF-16, in JSON
// with few escapes and with nothing else, and in a URL with few and with nothing else.
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
	for form, escaped := range map[string]string{
		"JSON":     strings.NewReplacer("@", `\u0040`, "+", `\u002b`).Replace(string(secret)),
		"all JSON": jsonEscaped(string(secret)),
		"a query":  url.QueryEscape(string(secret)),
		"a path":   url.PathEscape(string(secret)),
		"all URL":  percentEncoded(string(secret)),
	} {
		if escaped != string(secret) {
			c.forms[form] = []byte(escaped)
		}
	}
	return c
}

// jsonEscaped is the inside of a JSON string in which every character is an escape.
func jsonEscaped(text string) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune(text)) {
		fmt.Fprintf(&b, `\u%04x`, unit)
	}
	return b.String()
}

// percentEncoded is the text as a URL may have it, with nothing as it is.
func percentEncoded(text string) string {
	var b strings.Builder
	for i := range len(text) {
		fmt.Fprintf(&b, "%%%02X", text[i])
	}
	return b.String()
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
	for _, written := range []string{jsonEscaped(secret), percentEncoded(secret), url.QueryEscape(secret), url.PathEscape(secret)} {
		if c.in([]byte(around(1, 1, written))) == nil {
			t.Errorf("not in %s", written)
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
