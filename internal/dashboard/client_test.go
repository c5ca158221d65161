package dashboard

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

func TestCallsAreTheVisitors(t *testing.T) {
	var got *http.Request
	answerWith := func(status int, body string) *server {
		return &server{c: Config{API: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got = r
			w.WriteHeader(status)
			w.WriteHeader(http.StatusTeapot) // a second one changes nothing
			_, _ = w.Write([]byte(body))
		})}}
	}
	visit := func(d *server, host string, edit func(*http.Request)) error {
		r := httptest.NewRequest(http.MethodGet, "/dashboard/orders/o%2F1", nil)
		r.Host, r.RemoteAddr = host, "192.0.2.7:1234"
		if edit != nil {
			edit(r)
		}
		var order apigen.Order
		v := d.visit(r)
		return v.call(&order, func(api *apigen.Client) (*http.Response, error) { return api.GetOrder(r.Context(), "o/../1", nil) })
	}
	t.Run("with its address, the host that it named, and the password of Basic as the credential", func(t *testing.T) {
		if err := visit(answerWith(200, `{"order_id":"o"}`), "shop.example:8443", func(r *http.Request) { r.SetBasicAuth("any", "cfk_1") }); err != nil {
			t.Fatal(err)
		}
		if got.Host != "shop.example:8443" || got.RemoteAddr != "192.0.2.7:1234" || got.Header.Get("Authorization") != "Bearer cfk_1" || got.RequestURI != "/orders/o%2F..%2F1" {
			t.Errorf("called as %s from %s with %q: %s", got.Host, got.RemoteAddr, got.Header, got.RequestURI)
		}
	})
	t.Run("no other credential is passed on", func(t *testing.T) {
		for _, header := range []string{"", "Bearer cfk_1", "Basic !", "Basic YW55Og=="} {
			if err := visit(answerWith(200, `{}`), "localhost", func(r *http.Request) { r.Header.Set("Authorization", header) }); err != nil {
				t.Fatal(err)
			}
			if a := got.Header.Get("Authorization"); a != "" {
				t.Errorf("%q became %q", header, a)
			}
		}
	})
	t.Run("a host that is none does not break it: the interface refuses it", func(t *testing.T) {
		for _, host := range []string{"", "%zz", "a b", "x/../y", "[::1", "\x00"} {
			var no *refusal
			if err := visit(answerWith(403, `{"error":"FORBIDDEN","message":"no"}`), host, nil); !errors.As(err, &no) || no.Status != 403 {
				t.Errorf("the host %q: %v", host, err)
			}
		}
	})
	t.Run("a no is its status, code, message and when to try again", func(t *testing.T) {
		var no *refusal
		err := visit(answerWith(503, `{"error":"UNAVAILABLE","message":"later","retry_after_seconds":7}`), "localhost", nil)
		if !errors.As(err, &no) || *no != (refusal{503, "UNAVAILABLE", "later", 7}) || err.Error() != "UNAVAILABLE: later" {
			t.Errorf("%+v", err)
		}
	})
	t.Run("a no that is not of the interface is one, too", func(t *testing.T) {
		for _, body := range []string{"", "<b>", "{}", "null", "[1]"} {
			var no *refusal
			if err := visit(answerWith(502, body), "localhost", nil); !errors.As(err, &no) || *no != (refusal{502, "UNKNOWN", "Bad Gateway", 0}) {
				t.Errorf("%q: %+v", body, err)
			}
		}
	})
	t.Run("numbers keep their text, whatever they are", func(t *testing.T) {
		const input = `{"big":12345678901234567890,"cents":1.0,"huge":1e400}`
		r := httptest.NewRequest(http.MethodGet, "/dashboard/sagas/o", nil)
		var saga apigen.Saga
		err := answerWith(200, `{"input":`+input+`}`).visit(r).call(&saga, func(api *apigen.Client) (*http.Response, error) {
			return api.GetSaga(r.Context(), "o", nil)
		})
		if text, _ := json.Marshal(saga.Input); err != nil || string(text) != input {
			t.Errorf("%s %v", text, err)
		}
	})
	t.Run("a good answer that cannot be read is an error, and no refusal", func(t *testing.T) {
		var no *refusal
		if err := visit(answerWith(200, `{"torn`), "localhost", nil); err == nil || errors.As(err, &no) {
			t.Error(err)
		}
	})
	t.Run("an answer that is not good in its length is not kept", func(t *testing.T) {
		a := &answer{header: http.Header{}}
		part := bytes.Repeat([]byte("x"), maxAnswer/2)
		for i, want := range []bool{true, true, false} {
			if _, err := a.Write(part); (err == nil) != want {
				t.Errorf("part %d: %v", i, err)
			}
		}
		if a.body.Len() != maxAnswer {
			t.Errorf("%d bytes are kept", a.body.Len())
		}
	})
}
