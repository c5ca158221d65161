package apidocs_test

import (
	"html"
	"regexp"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/utkarsh698/cloudflow/api"
	"github.com/utkarsh698/cloudflow/internal/apidocs"
)

func rendered(t *testing.T) string {
	t.Helper()
	page, err := apidocs.Page(api.Spec)
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// between is the part of the page that begins with one text and ends before the next occurrence of another.
func between(t *testing.T, page, from, to string) string {
	t.Helper()
	_, rest, ok := strings.Cut(page, from)
	if !ok {
		t.Errorf("the page has no %s", from)
		return ""
	}
	part, _, _ := strings.Cut(rest, to)
	return html.UnescapeString(part)
}

func TestThePageHasAllThatTheDocumentHas(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromData(api.Spec)
	if err != nil {
		t.Fatal(err)
	}
	page := rendered(t)
	nav := between(t, page, `<nav class="side"`, "</nav>")
	calls := 0
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			calls++
			article := between(t, page, `<article class="call" id="`+op.OperationID+`">`, "</article>")
			wanted := []string{">" + method + "<", "<code>" + path + "</code>", op.Summary, "curl -s"}
			for _, p := range append(item.Parameters, op.Parameters...) {
				wanted = append(wanted, "<dt><code>"+p.Value.Name+"</code> <span class=\"in\">"+p.Value.In+"</span>")
			}
			for status, response := range op.Responses.Map() {
				wanted = append(wanted, ">"+status+"</span>")
				for name := range response.Value.Headers {
					wanted = append(wanted, "<dt><code>"+name+"</code>")
				}
				for mediaType := range response.Value.Content {
					wanted = append(wanted, ">"+mediaType+"</span>")
				}
			}
			if op.RequestBody != nil {
				schema := op.RequestBody.Value.Content["application/json"].Schema
				wanted = append(wanted, `href="#schema-`+strings.TrimPrefix(schema.Ref, "#/components/schemas/")+`"`)
				for name := range schema.Value.Properties {
					wanted = append(wanted, "<dt><code>"+name+"</code>")
				}
			}
			for _, want := range wanted {
				if !strings.Contains(article, want) {
					t.Errorf("%s %s: the page does not say %s", method, path, want)
				}
			}
			if !strings.Contains(nav, `href="#`+op.OperationID+`"`) {
				t.Errorf("%s %s is not in the navigation", method, path)
			}
		}
	}
	if n := strings.Count(page, `<article class="call"`); n != calls || calls == 0 {
		t.Errorf("%d calls on the page, %d in the document", n, calls)
	}
	for name, schema := range doc.Components.Schemas {
		article := between(t, page, `<article class="schema" id="schema-`+name+`">`, "</article>")
		for member := range schema.Value.Properties {
			if !strings.Contains(article, "<dt><code>"+member+"</code>") {
				t.Errorf("the schema %s lacks %s", name, member)
			}
		}
		for _, value := range schema.Value.Enum {
			if !strings.Contains(article, "<code>"+value.(string)+"</code>") && schema.Ref == "" {
				t.Errorf("the schema %s lacks the value %v", name, value)
			}
		}
		if !strings.Contains(nav, `href="#schema-`+name+`"`) {
			t.Errorf("the schema %s is not in the navigation", name)
		}
	}
	for _, tag := range doc.Tags {
		if !strings.Contains(page, `id="tag-`+tag.Name+`"`) {
			t.Errorf("no group %s", tag.Name)
		}
	}
}

func TestThePageAsksNobodyElse(t *testing.T) {
	page := rendered(t)
	for _, m := range regexp.MustCompile(`(?:src|srcset|href|action|poster|data)="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if target := m[1]; !strings.HasPrefix(target, "#") && target != apidocs.StylePath && target != "/openapi.yaml" && target != "data:," {
			t.Errorf("the page points to %s", target)
		}
	}
	for _, bad := range []string{"<script", "<style", " style=", " onclick", "<img", "<iframe", "javascript:"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	for _, bad := range []string{"url(", "@import", "http:", "https:"} {
		if strings.Contains(string(apidocs.Style), bad) {
			t.Errorf("the style sheet has %s", bad)
		}
	}
}

func TestEveryLinkWithinThePageLeadsSomewhere(t *testing.T) {
	page := rendered(t)
	seen := map[string]bool{}
	for _, m := range regexp.MustCompile(` id="([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if seen[m[1]] {
			t.Errorf("the id %s stands twice", m[1])
		}
		seen[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`href="#([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if !seen[m[1]] {
			t.Errorf("#%s leads nowhere", m[1])
		}
	}
}

// small is a document with the calls, and after them the components.
func small(calls, components string) []byte {
	return []byte("openapi: 3.0.3\ninfo: {title: T, version: '1', description: 'a <b> `c<d` **e** '}\ntags: [{name: x, description: X.}]\npaths:\n" +
		calls + "\ncomponents:\n  schemas:\n" + components + "\n")
}

func TestPage(t *testing.T) {
	t.Run("what the document says is escaped", func(t *testing.T) {
		page, err := apidocs.Page(small(
			`  /a: {get: {tags: [x], operationId: a, summary: '<script>alert(1)</script>', responses: {'200': {description: '"&<'}}}}`,
			`    S: {type: object, description: '**<i>**', properties: {'<m>': {type: string}}}`))
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"<script", "<b>", "<d`", "<i>", "<m>"} {
			if strings.Contains(string(page), bad) {
				t.Errorf("the page has %s", bad)
			}
		}
		if !strings.Contains(string(page), "<code>c&lt;d</code> <strong>e</strong>") {
			t.Error("code and strong are not marked up")
		}
	})
	t.Run("an example keeps its types and its order, and a command says it on one line", func(t *testing.T) {
		page, err := apidocs.Page(small(`  /a:
    post:
      tags: [x]
      operationId: a
      requestBody:
        content:
          application/json:
            schema: {type: object}
            example: {z: "1", b: 2, a: [true, null, 1.5], q: it's}
      responses: {'200': {description: Done.}}`, "    S: {type: object}"))
		if err != nil {
			t.Fatal(err)
		}
		call := between(t, string(page), `<article class="call"`, "</article>")
		if strings.Count(call, `{"z": "1", "b": 2, "a": [true, null, 1.5], "q": "it`) != 2 || !strings.Contains(call, `it'\''s`) {
			t.Errorf("%s", call)
		}
	})
	t.Run("credentials are told, and stand in the command", func(t *testing.T) {
		page, err := apidocs.Page([]byte(`
info: {title: T}
tags: [{name: x}]
security: [{bearer: ['orders:read']}, {key: []}]
paths: {/a: {get: {tags: [x], operationId: a, responses: {'200': {description: Done.}}}}}
components: {securitySchemes: {bearer: {type: http, scheme: bearer}, key: {type: apiKey, in: header, name: X-Key}}}
`))
		if err != nil || !strings.Contains(string(page), "bearer: orders:read") || !strings.Contains(string(page), "Authorization: Bearer $TOKEN") {
			t.Errorf("%v %s", err, page)
		}
	})
	for rule, spec := range map[string][]byte{
		"nothing":                         nil,
		"no YAML":                         []byte("\t: :"),
		"a tag that is not declared":      small(`  /a: {get: {tags: [y], operationId: a}}`, "    S: {type: object}"),
		"a status that is no number":      small(`  /a: {get: {tags: [x], operationId: a, responses: {default: {}}}}`, "    S: {type: object}"),
		"a reference that leads nowhere":  small(`  /a: {get: {tags: [x], operationId: a, parameters: [{$ref: '#/x/y'}]}}`, "    S: {type: object}"),
		"a schema that leads nowhere":     small(`  /a: {get: {tags: [x], operationId: a}}`, "    S: {$ref: '#/components/schemas/Gone'}"),
		"a reference to another document": small(`  /a: {get: {tags: [x], operationId: a, requestBody: {$ref: 'http://x/y'}}}`, "    S: {type: object}"),
	} {
		t.Run(rule+" is an error, and not half a page", func(t *testing.T) {
			if page, err := apidocs.Page(spec); err == nil || page != nil {
				t.Errorf("%v %s", err, page)
			}
		})
	}
}

func BenchmarkPage(b *testing.B) {
	for b.Loop() {
		if _, err := apidocs.Page(api.Spec); err != nil {
			b.Fatal(err)
		}
	}
}
