package httpapi

import (
	"net/http"
	"strconv"
	"time"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/auth/apikey"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

var keyShape = &shape{members: map[string]*shape{"subject": scalar, "scopes": {items: scalar}, "label": scalar, "expires_at": scalar}}

// keyView is Key in openapi.yaml, and with the key itself KeyCreated.
type keyView struct {
	Key       string       `json:"key,omitempty"`
	ID        string       `json:"key_id"`
	Subject   string       `json:"subject"`
	Scopes    []auth.Scope `json:"scopes"`
	Label     string       `json:"label,omitempty"`
	CreatedAt time.Time    `json:"created_at"`
	ExpiresAt *time.Time   `json:"expires_at,omitempty"`
	RevokedAt *time.Time   `json:"revoked_at,omitempty"`
}

type keyList struct {
	Keys       []keyView `json:"keys"`
	NextCursor string    `json:"next_cursor,omitempty"`
}

func viewOfKey(k apikey.Key) keyView {
	v := keyView{ID: k.ID, Subject: k.Subject, Scopes: k.Scopes.List(), Label: k.Label, CreatedAt: k.CreatedAt.UTC()}
	if !k.ExpiresAt.IsZero() {
		end := k.ExpiresAt.UTC()
		v.ExpiresAt = &end
	}
	if !k.RevokedAt.IsZero() {
		end := k.RevokedAt.UTC()
		v.RevokedAt = &end
	}
	return v
}

const keysQuery = "GET /admin/keys"

// ListKeys shows a page of the API keys.
func (s *server) ListKeys(w http.ResponseWriter, r *http.Request, params apigen.ListKeysParams) {
	x := of(w)
	limit, after, err := s.page(x, keysQuery, params.Limit, params.Cursor)
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	keys, err := s.keys.List(r.Context(), after, limit+1) // one more says whether there is a next page
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	list := keyList{Keys: make([]keyView, 0, len(keys))}
	if len(keys) > limit {
		keys = keys[:limit]
		list.NextCursor = s.next(x, keysQuery, keys[limit-1].ID)
	}
	for _, k := range keys {
		list.Keys = append(list.Keys, viewOfKey(k))
	}
	x.Header().Set("Cache-Control", noStore)
	s.replyJSON(x, r, http.StatusOK, list)
}

// CreateKey makes a key and shows it, this once.
func (s *server) CreateKey(w http.ResponseWriter, r *http.Request) {
	x := of(w)
	request, err := keyRequest(x.body)
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	key, text, err := s.keys.Create(r.Context(), request)
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	s.log.InfoContext(r.Context(), "API key created", "key_id", key.ID, "subject", key.Subject, "scopes", key.Scopes.List(),
		"actor", x.principal.Subject, "correlation_id", x.correlationID)
	view := viewOfKey(key)
	view.Key = text
	x.Header().Set("Cache-Control", noStore)
	s.replyJSON(x, r, http.StatusCreated, view)
}

func keyRequest(body value) (apikey.Request, error) {
	if err := keyShape.check(body, ""); err != nil {
		return apikey.Request{}, err
	}
	var f form
	r := apikey.Request{
		Subject: f.text(body, "subject"), Scopes: scopesOf(&f, body.get("scopes")), Label: f.optionalText(body, "label"),
	}
	if end := f.optionalText(body, "expires_at"); end != "" {
		at, err := time.Parse(time.RFC3339, end)
		if err != nil {
			f.invalid("expires_at", "must be a time as in RFC 3339, such as 2027-01-15T10:30:00Z")
		}
		r.ExpiresAt = at
	}
	return r, f.fault()
}

// scopesOf reads a list of scopes. Each must be one: a key that can do less than its maker believes is found out too late.
func scopesOf(f *form, list value) auth.Scopes {
	if list.kind != array || len(list.items) == 0 || len(list.items) > len(auth.AllScopes) {
		f.invalid("scopes", "must be a list of 1 to "+strconv.Itoa(len(auth.AllScopes))+" scopes")
		return 0
	}
	var set auth.Scopes
	for i, item := range list.items {
		one := auth.ScopesOf(auth.Scope(item.text))
		if item.kind != text || one == 0 {
			f.invalid("scopes["+strconv.Itoa(i)+"]", "must be orders:read, orders:write, products:write or admin")
			return 0
		}
		set |= one
	}
	return set
}

// RevokeKey ends a key.
func (s *server) RevokeKey(w http.ResponseWriter, r *http.Request, keyID apigen.KeyID) {
	x := of(w)
	key, err := s.keys.Revoke(r.Context(), keyID)
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	s.log.InfoContext(r.Context(), "API key revoked", "key_id", key.ID, "subject", key.Subject,
		"actor", x.principal.Subject, "correlation_id", x.correlationID)
	x.Header().Set("Cache-Control", noStore)
	s.replyJSON(x, r, http.StatusOK, viewOfKey(key))
}
