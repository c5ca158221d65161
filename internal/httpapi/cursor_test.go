package httpapi

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
)

func TestCursors(t *testing.T) {
	one, two := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	c := newCursors([][]byte{one})
	const place = "ord-01JHZK5V3M8Q9T2W4X6Y8Z0A1B"
	sealed := c.seal("ada", "GET /orders\x00ada\x00", place)
	t.Run("a cursor leads its caller back to the place in the same list", func(t *testing.T) {
		if got, ok := c.open("ada", "GET /orders\x00ada\x00", sealed); !ok || got != place {
			t.Errorf("%q %v", got, ok)
		}
	})
	t.Run("the same place has the same cursor, in every process with the key", func(t *testing.T) {
		if again := newCursors([][]byte{one}).seal("ada", "GET /orders\x00ada\x00", place); again != sealed {
			t.Errorf("%s and %s", sealed, again)
		}
	})
	t.Run("it is no other caller's, and of no other list", func(t *testing.T) {
		for _, other := range [][2]string{
			{"bob", "GET /orders\x00ada\x00"}, {"", "GET /orders\x00ada\x00"}, {"ada", "GET /orders\x00bob\x00"}, {"ada", "GET /orders\x00ada\x00FAILED"},
			{"ada", "GET /products"}, {"adaGET /orders\x00ada\x00", ""}, {"ad", "aGET /orders\x00ada\x00"},
		} {
			if got, ok := c.open(other[0], other[1], sealed); ok {
				t.Errorf("%q leads to %q", other, got)
			}
		}
	})
	t.Run("one that is torn or edited anywhere is none", func(t *testing.T) {
		for i := range sealed {
			if _, ok := c.open("ada", "GET /orders\x00ada\x00", sealed[:i]); ok {
				t.Errorf("the first %d characters are one", i)
			}
			for _, other := range "Aa0_" {
				edited := sealed[:i] + string(other) + sealed[i+1:]
				if _, ok := c.open("ada", "GET /orders\x00ada\x00", edited); ok && edited != sealed {
					t.Errorf("with %c in place %d it is one", other, i)
				}
			}
		}
		for _, text := range []string{"", sealed + "A", sealed + "\n", sealed + "=", " " + sealed, strings.Repeat("A", 10_000)} {
			if _, ok := c.open("ada", "GET /orders\x00ada\x00", text); ok {
				t.Errorf("%.50q is one", text)
			}
		}
	})
	t.Run("it does not show its place", func(t *testing.T) {
		plain, err := base64.RawURLEncoding.DecodeString(sealed)
		if err != nil || bytes.Contains(plain, []byte(place[:8])) {
			t.Errorf("%q %v", plain, err)
		}
		a, _ := base64.RawURLEncoding.DecodeString(c.seal("ada", "GET /events", "\x00\x00\x00\x00\x00\x00\x00\x01\x00"))
		b, _ := base64.RawURLEncoding.DecodeString(c.seal("ada", "GET /events", "\x00\x00\x00\x00\x00\x00\x00\x02\x00"))
		if bytes.Equal(a[17:24], b[17:24]) {
			t.Errorf("two places look alike: %x %x", a, b)
		}
	})
	t.Run("an old key goes on opening after a new one has come, and no longer once it is gone", func(t *testing.T) {
		rotated := newCursors([][]byte{two, one})
		if got, ok := rotated.open("ada", "GET /orders\x00ada\x00", sealed); !ok || got != place {
			t.Errorf("%q %v", got, ok)
		}
		if rotated.seal("ada", "GET /orders\x00ada\x00", place) == sealed {
			t.Error("the old key made a new cursor")
		}
		if _, ok := newCursors([][]byte{two}).open("ada", "GET /orders\x00ada\x00", sealed); ok {
			t.Error("it is opened without its key")
		}
	})
	t.Run("without a key they end with the process", func(t *testing.T) {
		sealed := newCursors(nil).seal("ada", "", place)
		if _, ok := newCursors(nil).open("ada", "", sealed); ok {
			t.Error("another process opens it")
		}
	})
	t.Run("the longest place fits the contract", func(t *testing.T) {
		if n := len(c.seal("ada", productsQuery, strings.Repeat("x", 64))); n > maxCursor {
			t.Errorf("%d characters", n)
		}
	})
}

func FuzzACursorIsOpenedOrRefused(f *testing.F) {
	c := newCursors([][]byte{bytes.Repeat([]byte{1}, 32)})
	good := c.seal("ada", "q", "place")
	f.Add(good)
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if place, ok := c.open("ada", "q", text); ok && text != good {
			t.Errorf("%q leads to %q", text, place)
		}
	})
}
