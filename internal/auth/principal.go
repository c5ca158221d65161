// Package auth says who calls, and what that caller may do.
//
// A Principal is the answer, however the caller proved it. Who may do what is decided in two places and no third: a route
// wants a scope (httpapi's table of policies), and an order belongs to the customer whose id is the principal's subject (Owns).
package auth

import (
	"fmt"
	"strings"
)

// A Scope is one thing that a caller may do.
type Scope string

// The scopes. ScopeAdmin holds all the others, and every customer's orders.
const (
	ScopeOrdersRead    Scope = "orders:read"
	ScopeOrdersWrite   Scope = "orders:write"
	ScopeProductsWrite Scope = "products:write"
	ScopeAdmin         Scope = "admin"
)

// AllScopes is every scope there is, in the order in which they are shown.
var AllScopes = []Scope{ScopeOrdersRead, ScopeOrdersWrite, ScopeProductsWrite, ScopeAdmin}

// Scopes is a set of scopes; the zero value is the empty one.
type Scopes uint8

// ScopesOf is the set of these scopes. A name that is no scope is not in it.
func ScopesOf(scopes ...Scope) Scopes {
	var set Scopes
	for _, s := range scopes {
		for i, known := range AllScopes {
			if s == known {
				set |= 1 << i
			}
		}
	}
	return set
}

// ParseScopes reads names that are separated by spaces or commas, each of which must be a scope.
func ParseScopes(text string) (Scopes, error) {
	var set Scopes
	for _, name := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' }) {
		one := ScopesOf(Scope(name))
		if one == 0 {
			return 0, fmt.Errorf("%q is not a scope; there are %v", name, AllScopes)
		}
		set |= one
	}
	return set, nil
}

// Has reports whether the scope is in the set, or admin is.
func (s Scopes) Has(scope Scope) bool {
	return s&(ScopesOf(scope)|ScopesOf(ScopeAdmin)) != 0
}

// List is the set's scopes in the order of AllScopes.
func (s Scopes) List() []Scope {
	list := make([]Scope, 0, len(AllScopes))
	for i, scope := range AllScopes {
		if s&(1<<i) != 0 {
			list = append(list, scope)
		}
	}
	return list
}

// A Principal is who calls.
type Principal struct {
	// Subject names the caller: the customer whose orders are the caller's own, the scope of its idempotency keys, and the actor in the
	// log of what it does.
	Subject string
	Scopes  Scopes
}

// Owns reports whether that customer's orders are the principal's to see and to change.
func (p Principal) Owns(customerID string) bool {
	return p.Scopes.Has(ScopeAdmin) || p.Subject != "" && p.Subject == customerID
}

// nobody is the customer whom nobody is: '#' is not in the alphabet of ids.
const nobody = "#"

// Owner is what a service is asked with on the principal's behalf: the customer whose orders alone it is to show and to change, "" for
// an admin, who has everybody's. Who has no name has nobody's.
func (p Principal) Owner() string {
	switch {
	case p.Scopes.Has(ScopeAdmin):
		return ""
	case p.Subject == "":
		return nobody
	}
	return p.Subject
}

// ValidSubject reports whether a subject can be a customer's id: up to 64 of A-Z, a-z, 0-9, ".", "_" and "-".
func ValidSubject(subject string) bool {
	if len(subject) < 1 || len(subject) > 64 {
		return false
	}
	for i := range len(subject) {
		switch c := subject[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// Anonymous is everybody in development mode, where nobody proves anything and everything is allowed.
var Anonymous = Principal{Subject: "anonymous", Scopes: ScopesOf(ScopeAdmin)}
