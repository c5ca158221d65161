package httpapi_test

import (
	"strings"
	"testing"
)

func TestDocs(t *testing.T) {
	c := newWorld().serve(t)
	a := c.send("GET", "/docs", "", "Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	t.Run("it is a page that may load its style sheet and nothing else", func(t *testing.T) {
		if a.status != 200 || !strings.HasPrefix(a.header.Get("Content-Type"), "text/html; charset=utf-8") || !strings.HasPrefix(a.body, "<!doctype html>") {
			t.Fatalf("%d %v", a.status, a.header)
		}
		policy := a.header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("the policy %q lacks %s", policy, want)
			}
		}
		if strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") || strings.Contains(policy, "*") {
			t.Errorf("the policy is %q", policy)
		}
	})
	t.Run("its style sheet is there", func(t *testing.T) {
		style := c.send("GET", "/docs/style.css", "", "Accept", "text/css,*/*;q=0.1")
		if style.status != 200 || !strings.HasPrefix(style.header.Get("Content-Type"), "text/css") || !strings.Contains(a.body, `href="/docs/style.css"`) {
			t.Errorf("%d %v", style.status, style.header)
		}
	})
	t.Run("who has it is told so", func(t *testing.T) {
		for _, path := range []string{"/docs", "/docs/style.css"} {
			first := c.send("GET", path, "")
			if again := c.send("GET", path, "", "If-None-Match", first.header.Get("ETag")); again.status != 304 || again.body != "" {
				t.Errorf("%s: %d", path, again.status)
			}
		}
	})
}
