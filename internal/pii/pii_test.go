package pii

import (
	"bytes"
	"errors"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/fault"
)

func TestSeal(t *testing.T) {
	text := []byte(`{"email":"alice@example.com"}`)
	seal := func(t *testing.T, keys Keys, subject string) []byte {
		t.Helper()
		sealed, err := Seal(keys, subject, text)
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}

	t.Run("what was sealed opens again and does not show", func(t *testing.T) {
		keys := NewMemoryKeys()
		sealed := seal(t, keys, "alice")
		if bytes.Contains(sealed, []byte("alice")) || len(sealed) != len(text)+Overhead {
			t.Errorf("sealed = %q", sealed)
		}
		if got, err := Open(keys, "alice", sealed); err != nil || !bytes.Equal(got, text) {
			t.Errorf("opened %q, %v", got, err)
		}
	})
	t.Run("two seals of one text differ", func(t *testing.T) {
		keys := NewMemoryKeys()
		if bytes.Equal(seal(t, keys, "alice"), seal(t, keys, "alice")) {
			t.Error("they are equal")
		}
	})
	t.Run("an empty text is sealed as well", func(t *testing.T) {
		keys := NewMemoryKeys()
		sealed, err := Seal(keys, "alice", nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Open(keys, "alice", sealed); err != nil || len(got) != 0 {
			t.Errorf("opened %q, %v", got, err)
		}
	})
	t.Run("a change of any byte is found", func(t *testing.T) {
		keys := NewMemoryKeys()
		sealed := seal(t, keys, "alice")
		for i := range sealed {
			bad := bytes.Clone(sealed)
			bad[i] ^= 1
			if _, err := Open(keys, "alice", bad); err == nil {
				t.Errorf("byte %d: no error", i)
			}
			if _, err := Open(keys, "alice", sealed[:i]); err == nil {
				t.Errorf("cut at %d: no error", i)
			}
		}
	})
	t.Run("another subject does not open it, not even with the same key", func(t *testing.T) {
		keys := NewMemoryKeys()
		sealed := seal(t, keys, "alice")
		seal(t, keys, "bob")
		if _, err := Open(keys, "bob", sealed); err == nil {
			t.Error("bob's key opened it")
		}
		keys.keys["bob"] = keys.keys["alice"]
		if _, err := Open(keys, "bob", sealed); fault.KindOf(err) != fault.Internal || errors.Is(err, ErrErased) {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("erased, it never opens again, not even when the subject comes back", func(t *testing.T) {
		keys := NewMemoryKeys()
		old := seal(t, keys, "alice")
		for range 2 {
			if err := keys.Erase("alice"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Open(keys, "alice", old); !errors.Is(err, ErrErased) {
			t.Errorf("err = %v", err)
		}
		young := seal(t, keys, "alice")
		if _, err := Open(keys, "alice", old); !errors.Is(err, ErrErased) {
			t.Errorf("after a new key: err = %v", err)
		}
		if _, err := Open(keys, "alice", young); err != nil {
			t.Errorf("the new one: %v", err)
		}
	})
}

func FuzzOpen(f *testing.F) {
	keys := NewMemoryKeys()
	sealed, err := Seal(keys, "alice", []byte("text"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add([]byte{sealVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := Open(keys, "alice", b); err == nil && string(got) != "text" {
			t.Fatalf("%x opened as %q", b, got)
		}
	})
}

func BenchmarkSealAndOpen(b *testing.B) {
	keys := NewMemoryKeys()
	text := []byte(`{"email":"alice@example.com","phone":"+15550100"}`)
	b.ReportAllocs()
	for b.Loop() {
		sealed, err := Seal(keys, "alice", text)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := Open(keys, "alice", sealed); err != nil {
			b.Fatal(err)
		}
	}
}
