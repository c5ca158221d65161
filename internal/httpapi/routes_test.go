package httpapi

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/utkarsh698/cloudflow/api"
)

// The policies stand beside the document, so this holds them to it.
func TestPoliciesAreWhatTheDocumentSays(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromData(api.Spec)
	if err != nil {
		t.Fatal(err)
	}
	left := maps.Clone(policies)
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			pattern := method + " " + path
			p := policies[pattern]
			delete(left, pattern)
			var query []string
			for _, parameter := range op.Parameters {
				if parameter.Value.In == "query" {
					query = append(query, parameter.Value.Name)
				}
			}
			if !slices.Equal(query, p.query) {
				t.Errorf("%s takes %v, the policy %v", pattern, query, p.query)
			}
			want := noBody
			switch {
			case op.RequestBody != nil:
				want = requiredBody
			case method != http.MethodGet:
				want = optionalBody
			}
			// A scope is no part of OpenAPI's bearer scheme, so it stands in the text.
			switch {
			case p.open != (op.Security != nil && len(*op.Security) == 0):
				t.Errorf("%s: the policy is open: %v, the document says otherwise", pattern, p.open)
			case p.scope != "" && !strings.Contains(op.Description, "Scope: `"+string(p.scope)+"`."):
				t.Errorf("%s does not say that it wants the scope %s: %s", pattern, p.scope, op.Description)
			case p.scope == "" && strings.Contains(op.Description, "Scope:"):
				t.Errorf("%s says that it wants a scope, and does not", pattern)
			}
			if p.body != want {
				t.Errorf("%s: the policy's body is %d, want %d", pattern, p.body, want)
			}
		}
	}
	for pattern := range left {
		t.Errorf("the policy of %s is for no call of the document", pattern)
	}
}

// The shapes stand beside the document, too.
func TestShapesAreWhatTheDocumentSays(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromData(api.Spec)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*shape{
		"OrderRequest": orderShape, "OrderRequestItem": orderShape.members["items"].items, "Contact": orderShape.members["contact"],
		"ProductPut": putShape, "RestockRequest": restockShape, "RedriveRequest": redriveShape,
		"RedriveLetters": redriveLettersShape, "Faults": faultShape, "KeyRequest": keyShape,
		"TaskSuccess": taskSuccessShape, "TaskFailure": taskFailureShape, "TaskHeartbeat": taskHeartbeatShape,
	} {
		want := slices.Sorted(maps.Keys(doc.Components.Schemas[name].Value.Properties))
		if got := slices.Sorted(maps.Keys(s.members)); !slices.Equal(got, want) {
			t.Errorf("%s has %v, the shape %v", name, want, got)
		}
	}
}
