package caller_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/auth/caller"
	"github.com/utkarsh698/cloudflow/internal/fault"
)

// A doorman knows one credential.
type doorman struct {
	knows string
	as    string
	asked []string
}

func (d *doorman) Verify(_ context.Context, credential string) (auth.Principal, error) {
	d.asked = append(d.asked, credential)
	if credential != d.knows {
		return auth.Principal{}, auth.Refused(errors.New("unknown"))
	}
	return auth.Principal{Subject: d.as}, nil
}

func request(method string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, "http://127.0.0.1:8080/orders", http.NoBody)
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
			continue
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func TestCredentials(t *testing.T) {
	const key, jwt = "cfk_a_b", "e30.e30.sig"
	for _, c := range []struct {
		rule    string
		headers []string
		subject string
		kind    fault.Kind
	}{
		{"a token as a bearer", []string{"Authorization", "Bearer " + jwt}, "token", ""},
		{"a key as a bearer", []string{"Authorization", "Bearer " + key}, "key", ""},
		{"a key in its own header", []string{"X-Api-Key", key}, "key", ""},
		{"the scheme in other letters", []string{"Authorization", "bearer  " + jwt}, "token", ""},
		{"nothing", nil, "", fault.Unauthorized},
		{"an empty header", []string{"Authorization", ""}, "", fault.Unauthorized},
		{"a scheme alone", []string{"Authorization", "Bearer"}, "", fault.Unauthorized},
		{"another scheme", []string{"Authorization", "Basic YTpi"}, "", fault.Unauthorized},
		{"a token without its scheme", []string{"Authorization", jwt}, "", fault.Unauthorized},
		{"a token in the header of keys", []string{"X-Api-Key", jwt}, "", fault.Unauthorized},
		{"an unknown key", []string{"X-Api-Key", "cfk_x_y"}, "", fault.Unauthorized},
		{"something after the token", []string{"Authorization", "Bearer " + jwt + " x"}, "", fault.Unauthorized},
		{"two headers", []string{"Authorization", "Bearer " + jwt, "X-Api-Key", key}, "", fault.BadRequest},
		{"one header twice", []string{"Authorization", "Bearer " + jwt, "Authorization", "Bearer " + jwt}, "", fault.BadRequest},
	} {
		t.Run(c.rule, func(t *testing.T) {
			who, err := caller.Credentials{Keys: &doorman{knows: key, as: "key"}, Tokens: &doorman{knows: jwt, as: "token"}}.
				Principal(request("GET", c.headers...))
			if who.Subject != c.subject || fault.KindOf(err) != c.kind {
				t.Errorf("%+v, %v", who, err)
			}
		})
	}
	t.Run("what nobody can check is refused, and shown to nobody", func(t *testing.T) {
		other := &doorman{}
		for _, c := range []struct {
			credentials caller.Credentials
			header      string
		}{
			{caller.Credentials{Tokens: other}, key}, {caller.Credentials{Keys: other}, jwt}, {caller.Credentials{}, jwt}, {caller.Credentials{}, key},
		} {
			if _, err := c.credentials.Principal(request("GET", "Authorization", "Bearer "+c.header)); !fault.Is(err, fault.Unauthorized) {
				t.Errorf("%v", err)
			}
		}
		if len(other.asked) != 0 {
			t.Errorf("it was shown %v", other.asked)
		}
	})
	t.Run("a credential in the address is none", func(t *testing.T) {
		r := request("GET")
		r.URL.RawQuery = "access_token=" + jwt
		if _, err := (caller.Credentials{Tokens: &doorman{knows: jwt}}).Principal(r); !errors.Is(err, auth.ErrMissing) {
			t.Errorf("%v", err)
		}
	})
}

func TestDevelopment(t *testing.T) {
	principal, err := caller.Development("http://localhost:3000")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		rule    string
		method  string
		headers []string
		let     bool
	}{
		{"a program on this machine", "POST", nil, true},
		{"by a name of this machine", "POST", []string{"Host", "localhost:8080"}, true},
		{"by its address of the sixth version", "POST", []string{"Host", "[::1]:8080"}, true},
		{"by the name of another, which was made to lead here", "GET", []string{"Host", "rebound.example:8080"}, false},
		{"by an address that others have, too", "GET", []string{"Host", "0.0.0.0:8080"}, false},
		{"by no name", "GET", []string{"Host", ""}, false},
		{"our own page writes", "POST", []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://127.0.0.1:8080"}, true},
		{"our own page in an old browser writes", "POST", []string{"Origin", "http://127.0.0.1:8080"}, true},
		{"a page elsewhere writes", "POST", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, false},
		{"a page on another port of this machine writes", "POST", []string{"Sec-Fetch-Site", "same-site", "Origin", "http://127.0.0.1:9999"}, false},
		{"a page elsewhere in an old browser writes", "PUT", []string{"Origin", "https://evil.example"}, false},
		{"a page without an origin writes", "DELETE", []string{"Origin", "null"}, false},
		{"a page elsewhere reads, of which it sees nothing", "GET", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, true},
		{"a page that the operator trusts writes", "POST", []string{"Sec-Fetch-Site", "cross-site", "Origin", "http://localhost:3000"}, true},
	} {
		t.Run(c.rule, func(t *testing.T) {
			who, err := principal(request(c.method, c.headers...))
			if c.let != (err == nil) || c.let != (who == auth.Anonymous) || !c.let && !fault.Is(err, fault.Forbidden) {
				t.Errorf("%+v, %v", who, err)
			}
		})
	}
	if _, err := caller.Development("not an origin"); err == nil {
		t.Error("an origin that is none is trusted")
	}
}
