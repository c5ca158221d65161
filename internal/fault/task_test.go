package fault

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestWhatAStateMachineIsTold(t *testing.T) {
	for _, c := range []struct {
		err     error
		kind    Kind
		message string
	}{
		{New(PaymentDeclined, "no money"), PaymentDeclined, "no money"},
		{fmt.Errorf("charge: %w", Wrap(Throttled, errors.New("429: a secret"), "too often")), Throttled, "too often"},
		{New(Unavailable, "the disk is full"), Transient, "the disk is full"},
		{errors.New("a secret"), Internal, ""},
		{Wrap(Internal, errors.New("a secret"), ""), Internal, ""},
		{New(OrderState, "%s", strings.Repeat("ü", MaxTaskMessage)), OrderState, strings.Repeat("ü", MaxTaskMessage/2)},
	} {
		if kind, message := OfTask(c.err); kind != c.kind || message != c.message {
			t.Errorf("of %.40v it is told %s %.40q, want %s %.40q", c.err, kind, message, c.kind, c.message)
		}
	}
}

func TestClipCutsAtAWholeCharacter(t *testing.T) {
	for _, c := range []struct {
		text string
		n    int
		want string
	}{{"abc", 3, "abc"}, {"abc", 2, "ab"}, {"aü", 2, "a"}, {"aü", 3, "aü"}, {"€€", 5, "€"}, {"ü", 1, ""}, {"\x80\x80", 1, ""}, {"", 0, ""}} {
		if got := Clip(c.text, c.n); got != c.want {
			t.Errorf("%q to %d is %q, want %q", c.text, c.n, got, c.want)
		}
	}
}
