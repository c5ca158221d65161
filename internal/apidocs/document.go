package apidocs

import (
	"fmt"
	"iter"
	"net/http"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A node is a place in the document; the zero value is where nothing stands, and all that is read from it is empty.
type node struct{ *yaml.Node }

func (n node) there() bool { return n.Node != nil }

// members are the members of an object, in order.
func (n node) members() iter.Seq2[string, node] {
	return func(yield func(string, node) bool) {
		if !n.there() || n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i].Value, node{n.Content[i+1]}) {
				return
			}
		}
	}
}

// get goes down by names.
func (n node) get(names ...string) node {
	for _, name := range names {
		var found node
		for member, value := range n.members() {
			if member == name {
				found = value
			}
		}
		n = found
	}
	return n
}

func (n node) items() []node {
	if !n.there() || n.Kind != yaml.SequenceNode {
		return nil
	}
	items := make([]node, len(n.Content))
	for i := range n.Content {
		items[i] = node{n.Content[i]}
	}
	return items
}

// text is the text of a member that is no object and no list.
func (n node) text(name string) string {
	if m := n.get(name); m.there() && m.Kind == yaml.ScalarNode {
		return m.Value
	}
	return ""
}

// A document is the whole, in which references are followed.
type document struct {
	root node
	err  error // the first reference that leads nowhere
}

func newDocument(root *yaml.Node) *document { return &document{root: node{root}} }

// resolve follows a reference to another place of the document.
func (d *document) resolve(n node) node {
	for range 8 { // a document that refers in a circle is a mistake
		ref := n.text("$ref")
		if ref == "" {
			return n
		}
		path, ok := strings.CutPrefix(ref, "#/")
		found := d.root.get(strings.Split(path, "/")...)
		if !ok || !found.there() {
			if d.err == nil {
				d.err = fmt.Errorf("the reference %s leads nowhere", ref)
			}
			return node{}
		}
		n = found
	}
	return n
}

// kind is the type of a schema.
func (d *document) kind(s node) kind {
	if ref := s.text("$ref"); ref != "" {
		d.resolve(s)
		return kind{Link: ref[strings.LastIndexByte(ref, '/')+1:]}
	}
	if items := s.get("items"); items.there() {
		inner := d.kind(items)
		inner.Before = strings.TrimSpace("array of " + inner.Before)
		inner.Bounds = append(inner.Bounds, bounds(s)...)
		return inner
	}
	k := kind{After: s.text("type"), Bounds: bounds(s)}
	if k.After == "" {
		k.After = "any JSON"
	}
	if format := s.text("format"); format != "" && format != "int64" {
		k.After += ", " + format
	}
	for _, value := range s.get("enum").items() {
		k.Values = append(k.Values, value.Value)
	}
	return k
}

// bounds are a schema's bounds in words.
func bounds(s node) []string {
	var out []string
	for _, b := range []struct{ least, most, unit string }{
		{"minimum", "maximum", ""}, {"minLength", "maxLength", " characters"}, {"minItems", "maxItems", " items"},
	} {
		least, most := s.text(b.least), s.text(b.most)
		switch {
		case least != "" && most != "":
			out = append(out, least+" to "+most+b.unit)
		case least != "":
			out = append(out, "at least "+least+b.unit)
		case most != "":
			out = append(out, "at most "+most+b.unit)
		}
	}
	if pattern := s.text("pattern"); pattern != "" {
		out = append(out, "matches "+pattern)
	}
	if value := s.text("default"); value != "" {
		out = append(out, "default "+value)
	}
	return out
}

// schemaMembers are an object's members, or those of an array's items if these have no name of their own.
func (d *document) schemaMembers(s node) []member {
	if items := s.get("items"); items.there() && items.text("$ref") == "" {
		s = items
	}
	required := map[string]bool{}
	for _, name := range s.get("required").items() {
		required[name.Value] = true
	}
	var out []member
	for name, m := range s.get("properties").members() {
		next := member{Name: name, Text: m.text("description"), Required: required[name], Type: d.kind(m)}
		if m.text("$ref") == "" {
			next.Members = d.schemaMembers(m)
		}
		out = append(out, next)
	}
	return out
}

// credentials are what a call wants of its caller, in words: its own requirements, or the document's.
func (d *document) credentials(op node) []string {
	var out []string
	for scheme, scopes := range d.requirements(op) {
		text := scheme
		if len(scopes.items()) > 0 {
			var names []string
			for _, scope := range scopes.items() {
				names = append(names, scope.Value)
			}
			text += ": " + strings.Join(names, ", ")
		}
		out = append(out, text)
	}
	return out
}

// requirements are the security schemes that a call names, each of which is enough.
func (d *document) requirements(op node) iter.Seq2[string, node] {
	list := op.get("security")
	if !list.there() {
		list = d.root.get("security")
	}
	return func(yield func(string, node) bool) {
		for _, r := range list.items() {
			for scheme, scopes := range r.members() {
				if !yield(scheme, scopes) {
					return
				}
			}
		}
	}
}

// curl is the call as a command, with the document's own examples.
func (d *document) curl(c call, op node) string {
	parts := []string{"curl -s"}
	if c.Method != http.MethodGet {
		parts[0] += " -X " + c.Method
	}
	path := c.Path
	var headers []string
	for scheme := range d.requirements(op) {
		s := d.root.get("components", "securitySchemes", scheme)
		if s.text("type") == "apiKey" {
			headers = append(headers, `-H "`+s.text("name")+`: $KEY"`)
		} else {
			headers = append(headers, `-H "Authorization: Bearer $TOKEN"`)
		}
		break
	}
	for _, p := range c.Parameters {
		switch {
		case p.In == "path":
			path = strings.ReplaceAll(path, "{"+p.Name+"}", p.Example)
		case p.In == "header" && (p.Required || p.Name == "Idempotency-Key"):
			headers = append(headers, "-H '"+p.Name+": "+p.Example+"'")
		}
	}
	parts[0] += " http://127.0.0.1:8080" + path
	if c.Body != nil {
		headers = append(headers, "-H 'Content-Type: "+c.Body.MediaType+"'")
	}
	parts = append(parts, headers...)
	if c.Body != nil && len(c.Body.Examples) > 0 {
		parts = append(parts, "-d '"+strings.ReplaceAll(d.firstExample(op), "'", `'\''`)+"'")
	}
	return strings.Join(parts, " \\\n  ")
}

// firstExample is the first example of the request's body, on one line.
func (d *document) firstExample(op node) string {
	for _, content := range d.resolve(op.get("requestBody")).get("content").members() {
		if e := content.get("example"); e.there() {
			return compact(e)
		}
		for _, e := range content.get("examples").members() {
			return compact(d.resolve(e).get("value"))
		}
	}
	return ""
}
