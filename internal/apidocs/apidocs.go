// Package apidocs makes the reference page of the HTTP interface out of its OpenAPI document, for people who read it in a browser.
//
// It promises: every call, parameter, answer and schema of the document is on the page, in the document's order; the page is whole without
// a script, and asks no other host for anything. It renders what openapi.yaml uses of OpenAPI 3.0 and no more: a document that cannot be
// read is an error and not half a page.
//
// The document is read as a tree of nodes and not into types: the order of calls and members is a part of what it says.
package apidocs

import (
	"bytes"
	_ "embed" // page.html and style.css
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Style is the page's style sheet, which it asks for at StylePath.
//
//go:embed style.css
var Style []byte

// StylePath is where the page expects Style.
const StylePath = "/docs/style.css"

// Policy is the Content-Security-Policy of the page: it needs its style sheet and nothing else. The empty icon is a data: URL, so that the
// browser does not ask for one.
const Policy = "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

//go:embed page.html
var layout string

var tmpl = template.Must(template.New("page").Funcs(template.FuncMap{
	"prose": prose, "line": line, "lower": strings.ToLower,
}).Parse(layout))

// Page is the page as HTML.
func Page(spec []byte) ([]byte, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(spec, &root); err != nil {
		return nil, fmt.Errorf("apidocs: %w", err)
	}
	if len(root.Content) != 1 {
		return nil, fmt.Errorf("apidocs: the document is empty")
	}
	p, err := newDocument(root.Content[0]).page()
	if err != nil {
		return nil, fmt.Errorf("apidocs: %w", err)
	}
	var out bytes.Buffer
	if err := tmpl.Execute(&out, p); err != nil {
		return nil, fmt.Errorf("apidocs: %w", err)
	}
	return out.Bytes(), nil
}

// A page is what the template shows.
type page struct {
	Title, Version, Text string
	Style                string
	Groups               []group
	Schemas              []schema
}

// A group is the calls of one tag.
type group struct {
	Name, Text string
	Calls      []call
}

// A call is one operation.
type call struct {
	ID, Method, Path, Summary, Text string
	Credentials                     []string // what it wants, such as "bearer: orders:read"
	Parameters                      []parameter
	Body                            *body
	Answers                         []answer
	Curl                            string
}

type parameter struct {
	Name, In, Text, Example string
	Required                bool
	Type                    kind
}

type body struct {
	MediaType string
	Type      kind
	Members   []member // of the schema, so that a reader needs not go there
	Examples  []example
}

// An example is named if there are several.
type example struct{ Name, Text string }

type answer struct {
	Status, Phrase, Text string
	Good                 bool
	Headers              []parameter
	Bodies               []*body // one for each media type
}

// A schema is a named one.
type schema struct {
	Name, Text string
	Type       kind
	Members    []member
}

type member struct {
	Name, Text string
	Required   bool
	Type       kind
	Members    []member // of an object that has no name of its own
}

// A kind is a type as it is written: text, with a link if it has a name.
type kind struct {
	Before, Link, After string // array of, Order, ""
	Bounds              []string
	Values              []string // of an enumeration
}

func (d *document) page() (page, error) {
	info := d.root.get("info")
	p := page{Title: info.text("title"), Version: info.text("version"), Text: info.text("description"), Style: StylePath}
	at := map[string]int{}
	for _, tag := range d.root.get("tags").items() {
		at[tag.text("name")] = len(p.Groups)
		p.Groups = append(p.Groups, group{Name: tag.text("name"), Text: tag.text("description")})
	}
	for path, item := range d.root.get("paths").members() {
		for method, op := range item.members() {
			if !isMethod(method) {
				continue
			}
			c, err := d.call(path, item, method, op)
			if err != nil {
				return page{}, fmt.Errorf("%s %s: %w", method, path, err)
			}
			tag := ""
			if tags := op.get("tags").items(); len(tags) > 0 {
				tag = tags[0].Value
			}
			i, ok := at[tag]
			if !ok {
				return page{}, fmt.Errorf("%s %s: the tag %q is not declared", method, path, tag)
			}
			p.Groups[i].Calls = append(p.Groups[i].Calls, c)
		}
	}
	for name, s := range d.root.get("components", "schemas").members() {
		p.Schemas = append(p.Schemas, schema{Name: name, Text: s.text("description"), Type: d.kind(s), Members: d.schemaMembers(d.resolve(s))})
	}
	return p, d.err
}

func isMethod(name string) bool {
	switch name {
	case "get", "put", "post", "delete", "patch", "head", "options":
		return true
	}
	return false
}

func (d *document) call(path string, item node, method string, op node) (call, error) {
	c := call{
		ID: op.text("operationId"), Method: strings.ToUpper(method), Path: path, Summary: op.text("summary"), Text: op.text("description"),
		Credentials: d.credentials(op),
	}
	for _, from := range []node{item, op} {
		for _, p := range from.get("parameters").items() {
			p = d.resolve(p)
			c.Parameters = append(c.Parameters, parameter{
				Name: p.text("name"), In: p.text("in"), Text: p.text("description"), Example: p.text("example"),
				Required: p.text("required") == "true", Type: d.kind(p.get("schema")),
			})
		}
	}
	c.Body = d.body(d.resolve(op.get("requestBody")))
	for status, a := range op.get("responses").members() {
		answer, err := d.answer(status, d.resolve(a))
		if err != nil {
			return call{}, err
		}
		c.Answers = append(c.Answers, answer)
	}
	c.Curl = d.curl(c, op)
	return c, nil
}

func (d *document) answer(status string, a node) (answer, error) {
	code, err := strconv.Atoi(status)
	if err != nil {
		return answer{}, fmt.Errorf("the status %q is no number", status)
	}
	out := answer{Status: status, Phrase: http.StatusText(code), Text: a.text("description"), Good: code < 400, Bodies: d.bodies(a)}
	for name, h := range a.get("headers").members() {
		h = d.resolve(h)
		out.Headers = append(out.Headers, parameter{
			Name: name, Text: h.text("description"), Required: h.text("required") == "true", Type: d.kind(h.get("schema")),
		})
	}
	return out, nil
}

// body is the first media type of what has a content; nil if there is none.
func (d *document) body(n node) *body {
	for _, b := range d.bodies(n) {
		return b
	}
	return nil
}

// bodies are the media types of what has a content.
func (d *document) bodies(n node) []*body {
	var all []*body
	for mediaType, content := range n.get("content").members() {
		b := &body{MediaType: mediaType, Type: d.kind(content.get("schema")), Members: d.schemaMembers(d.resolve(content.get("schema")))}
		if e := content.get("example"); e.there() {
			b.Examples = append(b.Examples, example{Text: exampleText(e)})
		}
		for name, e := range content.get("examples").members() {
			b.Examples = append(b.Examples, example{Name: name, Text: exampleText(d.resolve(e).get("value"))})
		}
		all = append(all, b)
	}
	return all
}
