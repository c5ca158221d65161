package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"sync"

	"github.com/utkarsh698/cloudflow/api"
	"github.com/utkarsh698/cloudflow/internal/apidocs"
)

// The media types of the reference page. What is served is UTF-8.
const (
	htmlType = "text/html"
	cssType  = "text/css"
)

// docsPage is the reference page, made when it is first asked for.
var docsPage = sync.OnceValues(func() ([]byte, error) { return apidocs.Page(api.Spec) })

// getDocs serves the reference page.
func (s *server) getDocs(w http.ResponseWriter, r *http.Request) {
	x := of(w)
	page, err := docsPage()
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	h := x.Header()
	h.Set("Content-Security-Policy", apidocs.Policy)
	h.Set("Referrer-Policy", "no-referrer")
	s.serveDocument(x, r, htmlType+"; charset=utf-8", page)
}

// getDocsStyle serves the page's style sheet.
func (s *server) getDocsStyle(w http.ResponseWriter, r *http.Request) {
	s.serveDocument(of(w), r, cssType+"; charset=utf-8", apidocs.Style)
}

// serveDocument answers with what is the same for everybody until the program changes.
func (s *server) serveDocument(x *exchange, r *http.Request, mediaType string, content []byte) {
	tag := tagOf(content)
	h := x.Header()
	h.Set("ETag", tag)
	h.Set("Cache-Control", "no-cache")
	if noneMatch(r.Header.Get("If-None-Match")).matches(tag) {
		x.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", mediaType)
	_, _ = x.Write(content) // a caller that has gone cannot be told
}

// tagOf is the ETag of a document.
func tagOf(content []byte) string {
	hash := sha256.Sum256(content)
	return `"` + hex.EncodeToString(hash[:8]) + `"`
}
