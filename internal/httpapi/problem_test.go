package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	goparser "go/parser"
	"go/token"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/fault"
)

// kinds reads the kinds from fault's source, so that a new one cannot be forgotten here.
func kinds(t *testing.T) []fault.Kind {
	t.Helper()
	file, err := goparser.ParseFile(token.NewFileSet(), "../fault/fault.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []fault.Kind
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); !ok || typ.Name != "Kind" {
			return true
		}
		for _, v := range spec.Values {
			text, err := strconv.Unquote(v.(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, fault.Kind(text))
		}
		return true
	})
	if len(out) < 20 {
		t.Fatalf("found %d kinds only", len(out))
	}
	return out
}

func TestEveryKindIsAProblem(t *testing.T) {
	for _, kind := range kinds(t) {
		p := problemOf(fault.New(kind, "the caller's text").With("field", "x"))
		if p.title == "" || p.status < 400 || p.status != kind.Status() {
			t.Errorf("%s: %+v", kind, p)
		}
		internal := p.status == http.StatusInternalServerError
		if internal != (p.code == "INTERNAL") || internal && (p.text != internalText || p.details != nil) {
			t.Errorf("%s says what is for the log only: %+v", kind, p)
		}
		var members map[string]any
		if err := json.Unmarshal(p.append(nil, "/x", "corr-1"), &members); err != nil || members["error"] != p.code || members["detail"] == "" {
			t.Errorf("%s: %v %v", kind, members, err)
		}
		if name, _ := members["type"].(string); !strings.HasPrefix(name, "urn:problem-type:cloudflow:") || strings.ToLower(name) != name || strings.Contains(name, "_") {
			t.Errorf("%s: type %s", kind, name)
		}
	}
}

func TestOnlyWhatIsWrittenForCallersReachesThem(t *testing.T) {
	cause := errors.New("open /var/lib/secret: denied")
	for _, err := range []error{
		cause,
		fmt.Errorf("orders: %w", cause),
		fault.Wrap(fault.Internal, cause, "orders: read head"),
		fault.Wrap(fault.Transient, cause, "orders: read head"),
		fault.Wrap(fault.Unavailable, cause, ""),
		fault.Wrap(fault.NotFound, cause, "There is no such order."),
		fmt.Errorf("wrapped secretly: %w", fault.Wrap(fault.OrderFinal, cause, "The order has ended.")),
		fault.New(fault.Internal, "x").With("path", "secret"),
	} {
		body := string(problemOf(err).append(nil, "/x", "corr-1"))
		if strings.Contains(body, "secret") || strings.Contains(body, "head") {
			t.Errorf("%v: %s", err, body)
		}
	}
}

func TestADetailThatIsNoJSONIsLeftOut(t *testing.T) {
	body := problemOf(fault.New(fault.NotFound, "x").With("bad", func() {}).With("good", 1)).append(nil, "/x", "corr-1")
	var members map[string]any
	if err := json.Unmarshal(body, &members); err != nil || members["good"] != 1.0 || members["bad"] != nil {
		t.Errorf("%s %v", body, err)
	}
}
