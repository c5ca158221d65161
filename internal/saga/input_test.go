package saga

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/jcs"
)

func sample() Input {
	return Input{
		OrderID:       "ord-01J",
		Lines:         []Line{{"LAPTOP-01", 1}, {"Tür \"1\"", 2}},
		TotalCents:    155898,
		Currency:      "USD",
		PaymentMethod: "pm_card_visa",
		CorrelationID: "corr-1",
	}
}

var twoKeys = map[string][]byte{
	"k1": bytes.Repeat([]byte{1}, keyBytes),
	"k2": bytes.Repeat([]byte{2}, keyBytes),
}

func testKeys(t *testing.T) *Keys {
	t.Helper()
	keys, err := NewKeys("k2", twoKeys)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestSignature(t *testing.T) {
	keys := testKeys(t)
	signed := keys.Sign(sample())

	t.Run("what was signed is accepted", func(t *testing.T) {
		if err := keys.Verify(signed); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a key that no longer signs goes on verifying", func(t *testing.T) {
		old, err := NewKeys("k1", twoKeys)
		if err != nil {
			t.Fatal(err)
		}
		if err := keys.Verify(old.Sign(sample())); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a signature depends on nothing that was signed before it", func(t *testing.T) {
		other := sample()
		other.OrderID += "-longer-than-the-first"
		if keys.Sign(other).MAC == signed.MAC || keys.Sign(sample()).MAC != signed.MAC || testKeys(t).Sign(sample()).MAC != signed.MAC {
			t.Fatal("it does")
		}
	})
	t.Run("what is signed is the canonical form of RFC 8785", func(t *testing.T) {
		in := sample()
		if got, want := string(in.canonical(nil)), string(jcs.Append(nil, in.signed())); got != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	})

	edits := map[string]func(*Input){
		"another order":          func(in *Input) { in.OrderID = "ord-02" },
		"a smaller total":        func(in *Input) { in.TotalCents = 1 },
		"another currency":       func(in *Input) { in.Currency = "EUR" },
		"another payment method": func(in *Input) { in.PaymentMethod = "pm_sim_slow" },
		"another correlation id": func(in *Input) { in.CorrelationID = "corr-2" },
		"another quantity":       func(in *Input) { in.Lines = []Line{{"LAPTOP-01", 9}, in.Lines[1]} },
		"a line left out":        func(in *Input) { in.Lines = in.Lines[:1] },
		"an unknown key":         func(in *Input) { in.MAC = "k9" + in.MAC[2:] },
		"another key's id":       func(in *Input) { in.MAC = "k1" + in.MAC[2:] },
		"no signature":           func(in *Input) { in.MAC = "" },
		"a torn signature":       func(in *Input) { in.MAC = in.MAC[:len(in.MAC)-1] },
	}
	for name, edit := range edits {
		t.Run("refuses "+name, func(t *testing.T) {
			in := signed
			edit(&in)
			if err := keys.Verify(in); !fault.Is(err, fault.BadSignature) {
				t.Fatalf("got %v, want BadSignature", err)
			}
		})
	}
}

func TestDecodeTask(t *testing.T) {
	signed := testKeys(t).Sign(sample())
	parameters := func() map[string]any {
		return map[string]any{"task": "order.record", "event": "STOCK_RESERVED", "input": signed.Value()}
	}
	t.Run("reads back what Value wrote", func(t *testing.T) {
		got, err := DecodeTask(parameters(), "a1")
		if err != nil {
			t.Fatal(err)
		}
		if string(got.Input.canonical(nil)) != string(signed.canonical(nil)) || got.Input.MAC != signed.MAC {
			t.Errorf("got %+v", got.Input)
		}
		if got.Task != "order.record" || got.Event != "STOCK_RESERVED" || got.Attempt != "a1" {
			t.Errorf("got %+v", got)
		}
	})
	for _, name := range []string{"order_id", "lines", "total_cents", "currency", "payment_method", "correlation_id", "mac"} {
		t.Run("refuses an input without "+name+" and names it", func(t *testing.T) {
			p := parameters()
			delete(p["input"].(map[string]any), name)
			_, err := DecodeTask(p, "a1")
			if !fault.Is(err, fault.BadSignature) || !strings.Contains(err.Error(), name) {
				t.Fatalf("got %v", err)
			}
		})
	}
	for _, garbage := range []any{nil, "text", []any{}, map[string]any{}, map[string]any{"input": 1}} {
		if _, err := DecodeTask(garbage, ""); err == nil {
			t.Errorf("accepted %v", garbage)
		}
	}
}

func TestOpenKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "saga-keys.json")
	first, err := OpenKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := OpenKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("what was signed before a restart is accepted after it", func(t *testing.T) {
		if err := again.Verify(first.Sign(sample())); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("only its owner can read the file", func(t *testing.T) {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("mode %v, error %v", info.Mode(), err)
		}
	})
	for name, text := range map[string]string{
		"a torn file":       `{"signing":"k1","ke`,
		"a key that is off": `{"signing":"k1","keys":{"k1":"zz"}}`,
		"a short key":       `{"signing":"k1","keys":{"k1":"00"}}`,
		"no signing key":    `{"signing":"k7","keys":{}}`,
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			bad := filepath.Join(t.TempDir(), "keys.json")
			if err := os.WriteFile(bad, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := OpenKeys(bad); err == nil {
				t.Fatal("accepted")
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	keys, _ := NewKeys("k1", map[string][]byte{"k1": bytes.Repeat([]byte{1}, keyBytes)})
	in := keys.Sign(sample())
	b.ReportAllocs()
	for b.Loop() {
		if err := keys.Verify(in); err != nil {
			b.Fatal(err)
		}
	}
}

func TestDerivedKeys(t *testing.T) {
	one, two := []byte(strings.Repeat("1", 32)), []byte(strings.Repeat("2", 32))
	derive := func(signing string, byID map[string][]byte, label string) []string {
		t.Helper()
		keys, err := NewKeys(signing, byID)
		if err != nil {
			t.Fatal(err)
		}
		derived, err := keys.Derive(label)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, key := range derived {
			if len(key) != 32 || bytes.Equal(key, one) || bytes.Equal(key, two) {
				t.Errorf("derived %x", key)
			}
			out = append(out, string(key))
		}
		return out
	}
	first := derive("k1", map[string][]byte{"k1": one}, "a")
	t.Run("the same key and label derive the same", func(t *testing.T) {
		if again := derive("other-name", map[string][]byte{"other-name": one}, "a"); !slices.Equal(again, first) {
			t.Error("not the same")
		}
	})
	t.Run("another label derives another", func(t *testing.T) {
		if slices.Equal(derive("k1", map[string][]byte{"k1": one}, "b"), first) {
			t.Error("the same")
		}
	})
	t.Run("after a rotation the new key's comes first, and the old key's is still there", func(t *testing.T) {
		rotated := derive("k2", map[string][]byte{"k1": one, "k2": two}, "a")
		if len(rotated) != 2 || rotated[1] != first[0] || rotated[0] == first[0] {
			t.Errorf("%x", rotated)
		}
	})
}
