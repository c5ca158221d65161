package main

import (
	"testing"

	"github.com/caarlos0/env/v11"

	"github.com/utkarsh698/cloudflow/internal/httpapi"
)

// The numbers stand in httpapi's limits.go with their reasons; here they stand once more, as a flag's default has to.
func TestTheDefaultLimitsAreTheOnesWithReasons(t *testing.T) {
	var c cli
	if err := env.ParseWithOptions(&c.settings, env.Options{Prefix: envPrefix, Environment: map[string]string{}}); err != nil {
		t.Fatal(err)
	}
	if got := *c.limits(); got != httpapi.DefaultLimits {
		t.Errorf("serve has %+v, limits.go %+v", got, httpapi.DefaultLimits)
	}
}
