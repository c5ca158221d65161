package api_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/utkarsh698/cloudflow/api"
)

func load(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(api.Spec)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestTheDocumentIsValid(t *testing.T) {
	doc := load(t)
	if err := doc.Validate(context.Background(), openapi3.EnableExamplesValidation(), openapi3.EnableSchemaFormatValidation()); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.0.3" {
		t.Errorf("it is OpenAPI %s; API Gateway imports 3.0", doc.OpenAPI)
	}
}

func each(doc *openapi3.T, visit func(name string, op *openapi3.Operation)) {
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			visit(method+" "+path, op)
		}
	}
}

// formats are what the call's parameter of that name may ask for; one if it has none.
func formats(op *openapi3.Operation) []any {
	if p := op.Parameters.GetByInAndName("query", "format"); p != nil {
		return p.Schema.Value.Enum
	}
	return []any{nil}
}

func TestEveryCallIsExplained(t *testing.T) {
	tags := map[string]bool{}
	doc := load(t)
	for _, tag := range doc.Tags {
		tags[tag.Name] = tag.Description != ""
	}
	each(doc, func(name string, op *openapi3.Operation) {
		if op.OperationID == "" || op.Summary == "" || len(op.Tags) != 1 || !tags[op.Tags[0]] {
			t.Errorf("%s needs an operationId, a summary and one tag that is explained", name)
		}
		for _, p := range op.Parameters {
			if p.Value.Description == "" {
				t.Errorf("%s: the parameter %s is not explained", name, p.Value.Name)
			}
		}
	})
}

func TestEveryAnswerHasASchemaAndACorrelationID(t *testing.T) {
	each(load(t), func(name string, op *openapi3.Operation) {
		for status, response := range op.Responses.Map() {
			answer := name + " " + status
			if _, ok := response.Value.Headers["X-Correlation-Id"]; !ok {
				t.Errorf("%s does not declare X-Correlation-Id", answer)
			}
			if status == "304" {
				continue
			}
			// Who asks for another format of an export gets it; every other answer has one form.
			if want := len(formats(op)); len(response.Value.Content) != want && (status < "400" || len(response.Value.Content) != 1) {
				t.Errorf("%s has %d media types, want %d", answer, len(response.Value.Content), want)
			}
			for mediaType, content := range response.Value.Content {
				if content.Schema == nil {
					t.Errorf("%s %s has no schema", answer, mediaType)
				}
				if refused := status >= "400"; refused != (mediaType == "application/problem+json") {
					t.Errorf("%s is %s", answer, mediaType)
				}
			}
			if _, ok := response.Value.Headers["Retry-After"]; (status == "503" || status == "429") && !ok {
				t.Errorf("%s does not declare Retry-After", answer)
			}
		}
	})
}

func TestNoBodyTakesUnknownMembers(t *testing.T) {
	for name, schema := range load(t).Components.Schemas {
		s := schema.Value
		if s.Type == nil || !s.Type.Is("object") || name == "Problem" {
			continue
		}
		if s.AdditionalProperties.Has == nil || *s.AdditionalProperties.Has {
			t.Errorf("%s allows members that it does not name", name)
		}
	}
}

func TestEveryCallCanBeTooMany(t *testing.T) {
	each(load(t), func(name string, op *openapi3.Operation) {
		if op.Responses.Value("429") == nil {
			t.Errorf("%s does not declare 429", name)
		}
	})
}

func TestEveryCallThatWritesCanBeTurnedAway(t *testing.T) {
	each(load(t), func(name string, op *openapi3.Operation) {
		if strings.HasPrefix(name, "GET ") {
			return
		}
		for _, status := range []string{"400", "406", "413", "415", "500", "503"} {
			if op.Responses.Value(status) == nil {
				t.Errorf("%s does not declare %s", name, status)
			}
		}
	})
}

// The calls that are answered without credentials: probes, and documents that tell nothing of anybody.
var open = []string{"GET /health", "GET /ready", "GET /openapi.yaml", "GET /docs", "GET /docs/style.css"}

func TestEveryCallSaysWhoMayMakeIt(t *testing.T) {
	doc := load(t)
	if len(doc.Security) != 2 || doc.Components.SecuritySchemes["bearer"] == nil || doc.Components.SecuritySchemes["apiKey"] == nil {
		t.Errorf("by default a call takes %v, want a token or a key", doc.Security)
	}
	each(doc, func(name string, op *openapi3.Operation) {
		if slices.Contains(open, name) {
			if op.Security == nil || len(*op.Security) != 0 {
				t.Errorf("%s is open, and does not say so (security: [])", name)
			}
			return
		}
		if op.Security != nil {
			t.Errorf("%s has a security of its own", name)
		}
		for _, status := range []string{"401", "403"} {
			if op.Responses.Value(status) == nil {
				t.Errorf("%s does not declare %s", name, status)
			}
		}
		if op.Responses.Value("401") != nil && op.Responses.Value("401").Value.Headers["WWW-Authenticate"] == nil {
			t.Errorf("%s does not declare WWW-Authenticate", name)
		}
	})
}
