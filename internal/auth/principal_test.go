package auth

import "testing"

func TestScopes(t *testing.T) {
	t.Run("admin holds every scope, and no other holds another", func(t *testing.T) {
		for _, held := range AllScopes {
			for _, wanted := range AllScopes {
				want := held == wanted || held == ScopeAdmin
				if got := ScopesOf(held).Has(wanted); got != want {
					t.Errorf("%s has %s: %v", held, wanted, got)
				}
			}
		}
	})
	t.Run("the empty set and an unknown name hold nothing", func(t *testing.T) {
		for _, wanted := range AllScopes {
			if Scopes(0).Has(wanted) || ScopesOf("orders", "*", "").Has(wanted) {
				t.Errorf("holds %s", wanted)
			}
		}
		if ScopesOf(AllScopes...).Has("orders:delete") != true {
			t.Error("admin is not asked what the scope is called")
		}
	})
	t.Run("names are read with spaces or commas between them, and an unknown one is refused", func(t *testing.T) {
		set, err := ParseScopes("orders:read, orders:write products:write")
		if err != nil || set != ScopesOf(ScopeOrdersRead, ScopeOrdersWrite, ScopeProductsWrite) || len(set.List()) != 3 {
			t.Errorf("read as %v, %v", set.List(), err)
		}
		if set, err := ParseScopes(""); set != 0 || err != nil {
			t.Errorf("nothing is read as %v, %v", set.List(), err)
		}
		for _, text := range []string{"orders", "Admin", "orders:read;admin", "*"} {
			if set, err := ParseScopes(text); err == nil {
				t.Errorf("%q is read as %v", text, set.List())
			}
		}
	})
}

func TestOwns(t *testing.T) {
	for _, c := range []struct {
		rule     string
		who      Principal
		customer string
		want     bool
	}{
		{"a customer owns what is its own", Principal{Subject: "ada", Scopes: ScopesOf(ScopeOrdersRead)}, "ada", true},
		{"and nobody else's", Principal{Subject: "ada", Scopes: ScopesOf(ScopeOrdersRead, ScopeOrdersWrite, ScopeProductsWrite)}, "bob", false},
		{"an admin owns everybody's", Principal{Subject: "ops", Scopes: ScopesOf(ScopeAdmin)}, "bob", true},
		{"who has no name owns nothing, not even what has no owner", Principal{Scopes: ScopesOf(ScopeOrdersRead)}, "", false},
	} {
		if got := c.who.Owns(c.customer); got != c.want {
			t.Errorf("%s: %v", c.rule, got)
		}
		// What a service is told says the same.
		if owner := c.who.Owner(); (owner == "" || owner == c.customer) != c.want {
			t.Errorf("%s: the owner is %q", c.rule, owner)
		}
	}
}
