package pan

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// The payment networks' published test numbers.
var cards = []string{
	"4222222222222",       // Visa, 13
	"30569309025904",      // Diners Club, 14
	"378282246310005",     // American Express, 15
	"4111111111111111",    // Visa, 16
	"5555555555554444",    // Mastercard
	"2223003122003222",    // Mastercard of the 2 series
	"6011111111111117",    // Discover
	"3530111333300000",    // JCB
	"6304000000000000",    // Maestro, made long below
	"6304000000000000006", // 19
}

// checked puts the check digit behind the digits.
func checked(digits string) string {
	for c := range 10 {
		s := digits + fmt.Sprint(c)
		d := []byte(s)
		for i := range d {
			d[i] -= '0'
		}
		if luhn(d) {
			return s
		}
	}
	return ""
}

func TestCardNumbersAreFound(t *testing.T) {
	for _, card := range cards {
		if len(card) == 19 || card == "6304000000000000" {
			card = checked(card[:len(card)-1])
		}
		spaced := card[:4] + " " + card[4:8] + " " + card[8:12] + " " + card[12:]
		if len(card) == 15 {
			spaced = card[:4] + " " + card[4:10] + " " + card[10:]
		}
		for _, written := range []string{
			card, spaced, strings.ReplaceAll(spaced, " ", "-"), strings.Replace(spaced, " ", "-", 1), strings.Join(strings.Split(card, ""), " "),
		} {
			for _, around := range []string{
				"%s", "cust-%s", "card %s please", "card%s", "%sx", "(%s)", "x_%s.", "%s 12/27 123", "2026-01-15 %s", "\x00%s\xff", "%s\n" + card, "é%sé", "7 %s",
			} {
				text := strings.Replace(around, "%s", written, 1)
				if !In(text) {
					t.Errorf("%q: not found", text)
				}
				if struck := Strike(text); In(struck) || !strings.Contains(struck, Struck) || strings.Contains(struck, card[1:8]) {
					t.Errorf("%q became %q", text, struck)
				}
			}
		}
	}
	t.Run("two that stand side by side are both struck out", func(t *testing.T) {
		for _, sep := range []string{" ", "-", ",", " and "} {
			if got, want := Strike("4111111111111111"+sep+"5555555555554444"), Struck+sep+Struck; got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
	})
}

func TestOtherTextsAreLeftAlone(t *testing.T) {
	for _, text := range []string{
		"", "cust-001", "4111111111111112", "411111111111", "41111111111111111111111", "4111  1111  1111  1111", "4111.1111.1111.1111",
		"4111_1111_1111_1111", "4111111/111111111", "4111:1111:1111:1111",
		"2026-01-15T10:30:00.047Z", "2026-01-15T10:30:00.047123456Z", "2026-01-15 10:30:00", "+49 151 12345679",
		"ord-01ARZ3NDEKTSV4RRFFQ69G5FAV", "corr-01ARZ3NDEKTSV4RRFFQ69G5FAV",
		"01M4111111111111111ZZZZZZZ",                                       // a ULID around digits with a good check digit
		"4bf92f35774111111111111111a3ce92",                                 // a trace id
		"f4111111111111111f000000000000000000000000000000000000000000000a", // a hash
		"41111111-1111-1111-9d6e-0f2f6f0d8c11",                             // UUIDs
		"key:0f2f6f0d-8c11-4111-8111-111111111111!",
		"ord-00000000000000000000000001", `[1,2,3,4,5,6,7,8,9,10,11,12,13,14]`, "1.2.3.4.5.6.7.8.9.0.1.2.3.4.5.6",
	} {
		if got := Strike(text); got != text || In(text) {
			t.Errorf("%q became %q", text, got)
		}
	}
	t.Run("one made id in a million, at most, is taken for a card's number", func(t *testing.T) {
		chance := rand.New(rand.NewPCG(1, 2))
		const crockford, hexadecimal = "0123456789ABCDEFGHJKMNPQRSTVWXYZ", "0123456789abcdef"
		pick := func(alphabet string, n int) string {
			b := make([]byte, n)
			for i := range b {
				b[i] = alphabet[chance.IntN(len(alphabet))]
			}
			return string(b)
		}
		for range 300_000 {
			h := pick(hexadecimal, 32)
			for _, id := range []string{
				"ord-01" + pick(crockford, 24), h, h[:16], h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:],
			} {
				if In(id) && strings.ContainsAny(id[4:], "abcdefABCDEFGHJKMNPQRSTVWXYZ") {
					t.Fatalf("%s is taken for a card's number", id)
				}
			}
		}
	})
}

func FuzzStrike(f *testing.F) {
	for _, card := range cards {
		f.Add("a" + card + " b")
	}
	f.Fuzz(func(t *testing.T, s string) {
		struck := Strike(s)
		if In(struck) {
			t.Errorf("%q became %q, in which there is one still", s, struck)
		}
		if (struck != s) != In(s) {
			t.Errorf("%q became %q, found: %v", s, struck, In(s))
		}
	})
}

func BenchmarkStrike(b *testing.B) {
	for name, text := range map[string]string{
		"an id":  "ord-01ARZ3NDEKTSV4RRFFQ69G5FAV",
		"a card": "reason: 4111 1111 1111 1111",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Strike(text)
			}
		})
	}
}
