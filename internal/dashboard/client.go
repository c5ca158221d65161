package dashboard

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

// maxAnswer bounds an answer that a page is made from: a page of a hundred orders has 30 KB, an order's saga at its worst some MB.
const maxAnswer = 16 << 20

// A refusal is what the API said no with.
type refusal struct {
	Status  int
	Code    string
	Message string
	RetryIn int64 // seconds; 0: it does not say
}

func (r *refusal) Error() string { return fmt.Sprintf("%s: %s", r.Code, r.Message) }

// A local is the API in the same process, as a client reaches it.
type local struct{ api http.Handler }

// Do implements apigen.HttpRequestDoer.
func (l local) Do(r *http.Request) (*http.Response, error) {
	a := &answer{header: http.Header{}, status: http.StatusOK}
	l.api.ServeHTTP(a, r)
	return &http.Response{
		StatusCode: a.status, Header: a.header, Body: io.NopCloser(&a.body), ContentLength: int64(a.body.Len()), Request: r,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}, nil
}

// An answer is an http.ResponseWriter that keeps what is written.
type answer struct {
	header http.Header
	status int
	wrote  bool
	body   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if !a.wrote {
		a.status, a.wrote = status, true
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.wrote = true
	if a.body.Len()+len(p) > maxAnswer {
		return 0, fmt.Errorf("the answer has over %d bytes", maxAnswer)
	}
	return a.body.Write(p)
}

// A visit is one request of a page, and the API as that visitor is let to it.
type visit struct {
	d   *server
	r   *http.Request
	api *apigen.Client
}

func (d *server) visit(r *http.Request) *visit {
	v := &visit{d: d, r: r}
	// The address is never dialled. The host that the visitor named is put on each call as it is: in an address it would have to be parsed,
	// and not all that a server takes for a Host is one.
	v.api = &apigen.Client{Server: "http://cloudflow/", Client: local{d.c.API}, RequestEditors: []apigen.RequestEditorFn{v.edit}}
	return v
}

// bearer is the credential of a visitor: browsers ask for it and send it as the password of Basic, RFC 7617. "" is none.
func bearer(r *http.Request) string {
	_, password, ok := r.BasicAuth()
	if !ok || password == "" {
		return ""
	}
	return "Bearer " + password
}

// call makes one call and decodes a good answer into into (nil: not wanted). The error of the API's no is a *refusal.
func (v *visit) call(into any, do func(*apigen.Client) (*http.Response, error)) error {
	resp, err := do(v.api)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		var p apigen.Problem
		if err := json.Unmarshal(body, &p); err != nil || p.Error == "" {
			return &refusal{Status: resp.StatusCode, Code: "UNKNOWN", Message: http.StatusText(resp.StatusCode)}
		}
		no := &refusal{Status: resp.StatusCode, Code: p.Error, Message: p.Message}
		if p.RetryAfterSeconds != nil {
			no.RetryIn = *p.RetryAfterSeconds
		}
		return no
	}
	if into == nil {
		return nil
	}
	return apigen.Decode(body, into)
}

func ptr[T any](v T) *T { return &v }

// edit makes a call the visitor's: its credential, its address for the rates, the host that it named.
func (v *visit) edit(_ context.Context, call *http.Request) error {
	if b := bearer(v.r); b != "" {
		call.Header.Set("Authorization", b)
	}
	call.Host, call.RemoteAddr, call.RequestURI = v.r.Host, v.r.RemoteAddr, call.URL.RequestURI()
	return nil
}
