package pii_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/pii"
)

func TestCopy(t *testing.T) {
	keys, err := pii.OpenKeyFile(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	sealed := map[string][]byte{}
	for _, subject := range []string{"a", "b", "c"} {
		if sealed[subject], err = pii.Seal(keys, subject, []byte("of "+subject)); err != nil {
			t.Fatal(err)
		}
	}
	key, err := keys.Key("b", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.Erase("b"); err != nil {
		t.Fatal(err)
	}
	content := keys.Copy()
	path := filepath.Join(t.TempDir(), "copy")

	t.Run("it opens what the file opens, and nothing that was erased", func(t *testing.T) {
		if bytes.Contains(content, key) {
			t.Error("it holds an erased key")
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		again, err := pii.OpenKeyFile(path)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		for subject, want := range map[string]bool{"a": true, "b": false, "c": true} {
			if _, err := pii.Open(again, subject, sealed[subject]); (err == nil) != want {
				t.Errorf("%s: %v", subject, err)
			}
		}
		if err := again.Erase("a"); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("it is whole, also after an erasure in it", func(t *testing.T) {
		erased, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range [][]byte{content, erased, content[:64]} {
			if err := pii.CheckCopy(bytes.NewReader(c)); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("no byte of it can change unseen, nor can it end early", func(t *testing.T) {
		for i := range content {
			changed := bytes.Clone(content)
			changed[i] ^= 0x10
			if pii.CheckCopy(bytes.NewReader(changed)) == nil {
				t.Errorf("byte %d of %d was changed", i, len(content))
			}
			if i%64 != 0 && pii.CheckCopy(bytes.NewReader(content[:i])) == nil {
				t.Errorf("it ended at byte %d", i)
			}
		}
		if pii.CheckCopy(bytes.NewReader(nil)) == nil {
			t.Error("nothing is no key file")
		}
	})
}
