package saga

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/order"
)

func keyText(signing string, keys map[string]string) []byte {
	text, err := json.Marshal(keyFile{Signing: signing, Keys: keys})
	if err != nil {
		panic(err)
	}
	return text
}

func parse(t *testing.T, text []byte, others ...[]byte) *Keys {
	t.Helper()
	k, err := ParseKeys(text, others...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestParseKeys(t *testing.T) {
	one, two := strings.Repeat("11", 32), strings.Repeat("22", 32)
	old, now := keyText("k1", map[string]string{"k1": one}), keyText("k2", map[string]string{"k2": two})
	t.Run("the first text says which key signs, and those of the others verify", func(t *testing.T) {
		k := parse(t, now, old)
		if in := k.Sign(sample()); !strings.HasPrefix(in.MAC, "k2:") {
			t.Errorf("signed %s", in.MAC)
		}
		if err := k.Verify(parse(t, old).Sign(sample())); err != nil {
			t.Error(err)
		}
		if err := parse(t, now).Verify(parse(t, old).Sign(sample())); !fault.Is(err, fault.BadSignature) {
			t.Errorf("without the other: %v", err)
		}
	})
	for rule, texts := range map[string][2][]byte{
		"no JSON":                {[]byte(`{"signing":"k1","keys":{"k1":7e3` + one), old},
		"another shape":          {[]byte(`{"signing":"k1","keys":{"k1":["` + one + `"]}}`), old},
		"an id for two keys":     {keyText("k1", map[string]string{"k1": two}), old},
		"other text is no JSON":  {now, []byte(one)},
		"a key without its form": {keyText("k1", map[string]string{"k1": one + "x"}), old},
	} {
		t.Run("refuses "+rule+", and quotes no key", func(t *testing.T) {
			_, err := ParseKeys(texts[0], texts[1])
			if err == nil || strings.Contains(err.Error(), "1111") || strings.Contains(err.Error(), "7e3") {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestTheFlatFormOfKeys(t *testing.T) {
	one := strings.Repeat("11", 32)
	flat := []byte(`{"signing":"k1","k1":"` + one + `"}`)
	t.Run("is another way to write the same keys", func(t *testing.T) {
		if err := parse(t, keyText("k1", map[string]string{"k1": one})).Verify(parse(t, flat).Sign(sample())); err != nil {
			t.Error(err)
		}
	})
	t.Run("stays flat when a key is added, and the old one verifies", func(t *testing.T) {
		rotated, err := RotateKeys(flat)
		if err != nil {
			t.Fatal(err)
		}
		var members map[string]string
		if err := json.Unmarshal(rotated, &members); err != nil || members["signing"] != "k2" || len(members) != 3 {
			t.Errorf("%d members, %v", len(members), err)
		}
		if err := parse(t, rotated).Verify(parse(t, flat).Sign(sample())); err != nil {
			t.Error(err)
		}
	})
	for name, text := range map[string]string{
		"a member that is no key":   `{"signing":"k1","k1":"` + one + `","note":"7e3x"}`,
		"a member that is no text":  `{"signing":"k1","k1":"` + one + `","k2":7}`,
		"no key of the signing id":  `{"signing":"k2","k1":"` + one + `"}`,
		"null in the place of keys": `null`,
	} {
		t.Run(name+" is refused, and no key is quoted", func(t *testing.T) {
			if _, err := ParseKeys([]byte(text)); err == nil || strings.Contains(err.Error(), "1111") || strings.Contains(err.Error(), "7e3") {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestRotateKeys(t *testing.T) {
	text := keyText("mine", map[string]string{"mine": strings.Repeat("ab", 32), "k03": strings.Repeat("cd", 32)})
	var inputs []Input
	for n := 1; n <= 20; n++ {
		inputs = append(inputs, parse(t, text).Sign(sample()))
		rotated, err := RotateKeys(text)
		if err != nil {
			t.Fatal(err)
		}
		k := parse(t, rotated)
		if want := fmt.Sprintf("k%d:", n); !strings.HasPrefix(k.Sign(sample()).MAC, want) {
			t.Fatalf("signed %s, want %s", k.Sign(sample()).MAC, want)
		}
		if err := parse(t, text).Verify(k.Sign(sample())); !fault.Is(err, fault.BadSignature) {
			t.Fatalf("the new key is none: %v", err)
		}
		text = rotated
	}
	k := parse(t, text)
	var lost []int
	for n, in := range inputs {
		if k.Verify(in) != nil {
			lost = append(lost, n)
		}
	}
	if !slices.Equal(lost, []int{1, 2, 3, 4}) || len(k.byID) != 18 { // k1 to k4 are gone, what is named otherwise stays
		t.Errorf("%d keys are left: %v; not verified are %v", len(k.byID), slices.Sorted(maps.Keys(k.byID)), lost)
	}
	if _, err := RotateKeys([]byte("{}")); err == nil {
		t.Error("rotated nothing")
	}
}

func TestFollowKeys(t *testing.T) {
	one, two := keyText("k1", map[string]string{"k1": strings.Repeat("11", 32)}), keyText("k2", map[string]string{"k2": strings.Repeat("22", 32)})
	type world struct {
		cached, actual *Keys
		err            error
		looked         int
	}
	follow := func(t *testing.T, w *world) *Keys {
		t.Helper()
		k, err := FollowKeys(func(fresh bool) (*Keys, error) {
			if fresh {
				w.looked++
				w.cached = w.actual
			}
			return w.cached, w.err
		})
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	t.Run("what they sign and verify with is what they are given now", func(t *testing.T) {
		w := &world{cached: parse(t, one)}
		k := follow(t, w)
		old := k.Sign(sample())
		w.cached = parse(t, two, one)
		if in := k.Sign(sample()); !strings.HasPrefix(in.MAC, "k2:") || k.Verify(in) != nil || k.Verify(old) != nil {
			t.Errorf("signed %s", in.MAC)
		}
		if derived, err := k.Derive("a"); err != nil || len(derived) != 2 {
			t.Errorf("%d derived, %v", len(derived), err)
		}
	})
	t.Run("a key that is not known is looked for once, and then the signature is bad", func(t *testing.T) {
		w := &world{cached: parse(t, one), actual: parse(t, two, one)}
		k := follow(t, w)
		if err := k.Verify(w.actual.Sign(sample())); err != nil || w.looked != 1 {
			t.Errorf("%v after %d looks", err, w.looked)
		}
		forged := sample()
		forged.MAC = "k9:" + strings.Repeat("0", 64)
		if err := k.Verify(forged); !fault.Is(err, fault.BadSignature) || w.looked != 2 {
			t.Errorf("%v after %d looks", err, w.looked)
		}
	})
	t.Run("without them nothing is verified, and the last ones sign", func(t *testing.T) {
		w := &world{cached: parse(t, one)}
		k := follow(t, w)
		in := k.Sign(sample())
		w.cached, w.err = nil, fault.New(fault.Transient, "away")
		if err := k.Verify(in); !fault.Is(err, fault.Transient) {
			t.Error(err)
		}
		if again := k.Sign(sample()); again.MAC != in.MAC {
			t.Errorf("signed %s", again.MAC)
		}
	})
	t.Run("they have to be there at first", func(t *testing.T) {
		if _, err := FollowKeys(func(bool) (*Keys, error) { return nil, errors.New("away") }); err == nil {
			t.Error("no keys are keys")
		}
	})
}

func TestStart(t *testing.T) {
	k := testKeys(t)
	s := order.Start{
		Execution: "ord-1", OrderID: "ord-1", Lines: []order.Line{{ProductID: "A", Quantity: 2}}, TotalCents: 1205, Currency: "USD",
		PaymentMethod: "pm_card_visa", CorrelationID: "corr-1",
	}
	first, err := k.Start(s)
	if err != nil || len(first) != 7 || first["total_cents"] != json.Number("1205") {
		t.Fatalf("%v, %v", first, err)
	}
	resume := func(state, input string) map[string]any {
		t.Helper()
		s.Resume = &order.Failure{State: state, Input: json.RawMessage(input)}
		v, err := k.Start(s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	without := func(v map[string]any, names ...string) map[string]any {
		v = maps.Clone(v)
		for _, name := range names {
			delete(v, name)
		}
		return v
	}
	t.Run("a resume has what the failed state had, and what is signed from the order", func(t *testing.T) {
		v := resume("ConfirmOrder", `{"total_cents":1,"mac":"forged","payment":{"captured":true,"refunded_cents":12345678901234567890},"resume_at":"ReserveStock"}`)
		if v["resume_at"] != "ConfirmOrder" || !reflect.DeepEqual(without(v, "resume_at", "payment"), first) {
			t.Errorf("%v", v)
		}
		if text, _ := json.Marshal(v["payment"]); string(text) != `{"captured":true,"refunded_cents":12345678901234567890}` {
			t.Errorf("%s", text)
		}
	})
	t.Run("one that ended before its first task goes on where it was to begin", func(t *testing.T) {
		if v := resume("Enter", `{}`); !reflect.DeepEqual(v, first) {
			t.Errorf("%v", v)
		}
		if v := resume("", `{"resume_at":"ConfirmOrder"}`); v["resume_at"] != "ConfirmOrder" {
			t.Errorf("%v", v)
		}
	})
	t.Run("an input that is no object is refused", func(t *testing.T) {
		for _, input := range []string{"", "null", "[]", "{"} {
			s.Resume = &order.Failure{State: "ConfirmOrder", Input: json.RawMessage(input)}
			if v, err := k.Start(s); err == nil {
				t.Errorf("%q: %v", input, v)
			}
		}
	})
}

func TestResumable(t *testing.T) {
	machine, err := asl.Parse(Definition(LocalResources()))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range machine.States() {
		if s, _ := machine.State(name); Resumable(name) != (s.Type == "Task") {
			t.Errorf("%s, a %s: %v", name, s.Type, Resumable(name))
		}
	}
	if Resumable("") || Resumable("Nowhere") {
		t.Error("an execution can go on nowhere")
	}
}
