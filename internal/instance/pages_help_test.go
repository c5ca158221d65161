package instance_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/dashboard"
)

// post sends a form as a browser does that is on a page of ours, and follows where it is sent.
func (w *world) post(path string, form url.Values, headers ...string) answer {
	w.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, w.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	headers = append(append(slices.Clone(w.who), "Sec-Fetch-Site", "same-origin", "Origin", w.url), headers...)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	resp, err := w.http.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	a := answer{w.t, resp.StatusCode, resp.Header, text}
	a.header.Set("X-Test-At", resp.Request.URL.RequestURI()) // where it ended
	return a
}

// shows requires texts in a page.
func shows(t testing.TB, a answer, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(string(a.body), text) {
			t.Errorf("the page does not show %q: %s", text, a.body)
		}
	}
}

// wellFormed requires what every page has: the policy, balanced elements, landmarks, and nothing that the policy would not let work.
func wellFormed(t testing.TB, a answer) {
	t.Helper()
	for name, value := range map[string]string{
		"Content-Security-Policy": dashboard.Policy, "Content-Type": "text/html; charset=utf-8", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
	} {
		if got := a.header.Get(name); got != value {
			t.Errorf("the page's %s is %q, want %q", name, got, value)
		}
	}
	if err := checkHTML(string(a.body)); err != nil {
		t.Errorf("%v in %s", err, a.body)
	}
}

var (
	aTag       = regexp.MustCompile(`^<(/?)([a-zA-Z][a-zA-Z0-9]*)((?:\s+[a-zA-Z][a-zA-Z0-9:-]*(?:="[^"<]*")?)*)\s*(/?)>`)
	anAttr     = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9:-]*)(?:="([^"]*)")?`)
	aReference = regexp.MustCompile(`&(?:[a-zA-Z]+|#[0-9]+|#x[0-9a-fA-F]+);`)
	voids      = []string{"meta", "link", "img", "input", "br", "hr"}
)

// checkHTML is stricter than HTML is: every element is closed, every attribute is quoted, and < and & are written as references.
func checkHTML(text string) error {
	text, ok := strings.CutPrefix(text, "<!doctype html>")
	if !ok {
		return fmt.Errorf("it has no doctype")
	}
	var open []string
	ids, seen := map[string]bool{}, map[string]int{}
	for text != "" {
		next := strings.IndexByte(text, '<')
		if next < 0 {
			next = len(text)
		}
		if loose := aReference.ReplaceAllString(text[:next], ""); strings.Contains(loose, "&") {
			return fmt.Errorf("a loose & in %q", loose)
		}
		if text = text[next:]; text == "" {
			break
		}
		tag := aTag.FindStringSubmatch(text)
		if tag == nil {
			return fmt.Errorf("no tag: %.80q", text)
		}
		text = text[len(tag[0]):]
		name := tag[2]
		if tag[1] != "" {
			if len(open) == 0 || open[len(open)-1] != name {
				return fmt.Errorf("</%s> closes %v", name, open)
			}
			open = open[:len(open)-1]
			continue
		}
		seen[name]++
		if err := checkAttributes(name, tag[3], ids); err != nil {
			return err
		}
		if tag[4] == "" && !slices.Contains(voids, name) {
			open = append(open, name)
		}
	}
	if len(open) > 0 {
		return fmt.Errorf("%v are not closed", open)
	}
	for _, once := range []string{"main", "h1", "html", "head", "body", "nav"} {
		if seen[once] != 1 {
			return fmt.Errorf("there are %d <%s>", seen[once], once)
		}
	}
	return nil
}

func checkAttributes(element, text string, ids map[string]bool) error {
	attributes := map[string]string{}
	for _, a := range anAttr.FindAllStringSubmatch(removeValues(text), -1) {
		if _, twice := attributes[a[1]]; twice {
			return fmt.Errorf("<%s%s> has %s twice", element, text, a[1])
		}
		attributes[a[1]] = ""
	}
	for _, a := range regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9:-]*)="([^"]*)"`).FindAllStringSubmatch(text, -1) {
		attributes[a[1]] = a[2]
		if loose := aReference.ReplaceAllString(a[2], ""); strings.Contains(loose, "&") {
			return fmt.Errorf("a loose & in %q", a[2])
		}
	}
	for name, value := range attributes {
		switch {
		case name == "style" || strings.HasPrefix(strings.ToLower(name), "on"):
			return fmt.Errorf("<%s> has the attribute %s, which the policy forbids", element, name)
		case name == "id" && ids[value]:
			return fmt.Errorf("the id %q stands twice", value)
		case name == "id":
			ids[value] = true
		case slices.Contains([]string{"href", "src", "action"}, name) && !strings.HasPrefix(value, "/") && !strings.HasPrefix(value, "#"):
			return fmt.Errorf("<%s> names %q, which is not of this server", element, value)
		}
	}
	if _, file := attributes["src"]; element == "style" || element == "script" && !file {
		return fmt.Errorf("an inline <%s>", element)
	}
	return nil
}

// removeValues leaves the names of attributes.
func removeValues(text string) string {
	return regexp.MustCompile(`="[^"]*"`).ReplaceAllString(text, "")
}

func TestPagesAreCheckedWell(t *testing.T) {
	page := func(body string) string {
		return "<!doctype html>\n<html lang=\"en\"><head><title>x</title></head><body><nav></nav><main><h1>x</h1>" + body + "</main></body></html>"
	}
	for _, good := range []string{"", `<p id="a">1 &lt; 2 &amp; 3</p><input name="x" required>`, `<svg><path d="M0 0"></path></svg>`, `<script src="/a.js"></script>`, "<br>"} {
		if err := checkHTML(page(good)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"<p>", "</p>", "<p></div>", "a & b", "a < b", `<p title="a & b"></p>`, `<p style="color: red"></p>`, `<p onclick="x()"></p>`, `<p ONCLICK="x()"></p>`, "<script>x()</script>",
		"<style>p {}</style>", `<p id="a"></p><p id="a"></p>`, `<a href="https://evil.example/">x</a>`, `<a href="javascript:x()">x</a>`, "<p title=a></p>", "<h1></h1>", "<!-- -->",
		`<p title="a" title="b"></p>`, `<img src=x onerror="x()">`,
	} {
		if err := checkHTML(page(bad)); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}
