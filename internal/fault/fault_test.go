package fault_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/fault"
)

func TestKindOf(t *testing.T) {
	cause := errors.New("disk on fire")
	cases := []struct {
		rule string
		err  error
		want fault.Kind
	}{
		{"nil has no kind", nil, ""},
		{"a plain error is internal", cause, fault.Internal},
		{"a kind survives wrapping", fmt.Errorf("reserve: %w", fault.New(fault.InsufficientStock, "short")), fault.InsufficientStock},
		{"the outermost kind wins", fault.Wrap(fault.Transient, fault.New(fault.Internal, "inner"), "outer"), fault.Transient},
		{"a deadline says nothing about the work", fmt.Errorf("get: %w", context.DeadlineExceeded), fault.Transient},
		{"a cancelled call says nothing about the work", context.Canceled, fault.Transient},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			if got := fault.KindOf(c.err); got != c.want {
				t.Errorf("KindOf = %q, want %q", got, c.want)
			}
		})
	}
	if !errors.Is(fault.Wrap(fault.Internal, cause, "write"), cause) {
		t.Error("the cause is not in the chain")
	}
}

func TestCodeAndStatus(t *testing.T) {
	if got := fault.InsufficientStock.Code(); got != "INSUFFICIENT_STOCK" {
		t.Errorf("code = %s", got)
	}
	if got := fault.InsufficientStock.Status(); got != http.StatusConflict {
		t.Errorf("status = %d", got)
	}
	unknown := fault.Kind("NeverHeardOf")
	if unknown.Code() != "INTERNAL" || unknown.Status() != http.StatusInternalServerError {
		t.Errorf("an unknown kind is %s %d, want INTERNAL 500", unknown.Code(), unknown.Status())
	}
}
