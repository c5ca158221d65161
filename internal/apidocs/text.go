package apidocs

import (
	"encoding/json"
	"html/template"
	"strings"

	"go.yaml.in/yaml/v3"
)

// exampleText is an example as it goes over the wire: JSON, or a text as it is.
func exampleText(n node) string {
	if n.there() && n.Kind == yaml.ScalarNode {
		return strings.TrimRight(n.Value, "\n")
	}
	return encode(n, "\n", "  ")
}

// compact is JSON on one line.
func compact(n node) string { return encode(n, " ", "") }

// encode writes a node as JSON, its members in the document's order. An object or a list that is short stays on one line.
func encode(n node, newline, indent string) string {
	if !n.there() {
		return "null"
	}
	const short = 84
	switch n.Kind {
	case yaml.MappingNode:
		var parts []string
		for name, value := range n.members() {
			parts = append(parts, quoted(name)+": "+encode(value, newline+indent, indent))
		}
		return join("{", parts, "}", newline, indent, short)
	case yaml.SequenceNode:
		var parts []string
		for _, item := range n.items() {
			parts = append(parts, encode(item, newline+indent, indent))
		}
		return join("[", parts, "]", newline, indent, short)
	default: // a scalar; the document has no aliases
		switch n.Tag {
		case "!!int", "!!float", "!!bool", "!!null":
			return n.Value
		}
		return quoted(n.Value)
	}
}

func join(open string, parts []string, end, newline, indent string, short int) string {
	one := open + strings.Join(parts, ", ") + end
	if indent == "" || len(one) <= short && !strings.Contains(one, "\n") {
		return one
	}
	return open + newline + indent + strings.Join(parts, ","+newline+indent) + newline + end
}

func quoted(s string) string {
	text, err := json.Marshal(s)
	if err != nil { // a string always is JSON
		return `""`
	}
	return string(text)
}

// prose is a description as HTML: paragraphs, `code` and **strong**, which is what openapi.yaml uses of Markdown. Everything is escaped
// before it is marked up.
func prose(text string) template.HTML {
	var b strings.Builder
	for paragraph := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		if paragraph = strings.TrimSpace(paragraph); paragraph != "" {
			b.WriteString("<p>" + string(line(paragraph)) + "</p>\n")
		}
	}
	return template.HTML(b.String())
}

// line is one paragraph without its element.
func line(text string) template.HTML {
	var b strings.Builder
	for i, part := range strings.Split(template.HTMLEscapeString(text), "`") {
		if i%2 == 1 {
			b.WriteString("<code>" + part + "</code>")
			continue
		}
		for j, words := range strings.Split(part, "**") {
			if j%2 == 1 {
				b.WriteString("<strong>" + words + "</strong>")
			} else {
				b.WriteString(words)
			}
		}
	}
	return template.HTML(b.String())
}
