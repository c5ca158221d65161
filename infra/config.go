package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

// A Config is what one stage of CloudFlow is deployed with. It comes from the context: -c stage=dev, and so on.
type Config struct {
	Stage           string   // prod is the one whose names have no stage in them
	Account, Region string   // empty: decided when it is deployed
	Auth            string   // jwt or none
	JWTIssuer       string   // the `iss` that tokens must have, exactly
	JWTAudience     string   // what their `aud` must be or hold
	JWTKeys         string   // the https address of the issuer's public keys. The three are given together, or none: then no token is good
	Origins         []string // the origins whose pages may call the interface; empty: no page may
	Clients         []string // who gets an API key: a name for each
	Simulator       bool     // payments are simulated, with a ledger of the simulator's own
	AlarmEmail      string   // who is told of alarms; empty: nobody yet
	Currency        string
	Architecture    string // of the functions: arm64 or x86_64
	Asset           string // the directory of the functions' binary, `bootstrap`
	Root            string // of the repository
	Local           bool   // for an emulator: without what it refuses
}

var (
	stagePattern  = regexp.MustCompile(`^[a-z][a-z0-9]{1,15}$`)
	clientPattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)
	// An origin ends up in a template that API Gateway evaluates, so it holds nothing that could end a string there.
	originPattern = regexp.MustCompile(`^https?://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?$`)
	urlPattern    = regexp.MustCompile(`^https://[A-Za-z0-9./_:~-]+$`)
	moneyPattern  = regexp.MustCompile(`^[A-Z]{3}$`)
)

const production = "prod"

// configOf reads a Config from the context, where an absent key is "".
func configOf(context func(key string) string) (Config, error) {
	get := func(key, otherwise string) string {
		if v := context(key); v != "" {
			return v
		}
		return otherwise
	}
	c := Config{
		Stage:        get("stage", production),
		Account:      os.Getenv("CDK_DEFAULT_ACCOUNT"),
		Region:       os.Getenv("CDK_DEFAULT_REGION"),
		Auth:         get("auth", "jwt"),
		JWTIssuer:    get("jwt_issuer", ""),
		JWTAudience:  get("jwt_audience", ""),
		JWTKeys:      get("jwt_keys", ""),
		Origins:      list(get("cors", "")),
		Clients:      list(get("clients", "default")),
		AlarmEmail:   get("alarm_email", ""),
		Currency:     get("currency", "USD"),
		Root:         get("root", ".."),
		Local:        get("local", "") == "1",
		Architecture: get("architecture", ""),
	}
	c.Asset = get("asset", filepath.Join(c.Root, "dist", "lambda"))
	simulated := get("simulator", "")
	c.Simulator = simulated == "1" || simulated == "" && c.Stage != production
	if c.Architecture == "" {
		c.Architecture = "arm64"
		if c.Local && runtime.GOARCH == "amd64" { // an emulator runs the functions as processes of its host
			c.Architecture = "x86_64"
		}
	}
	return c, c.check(simulated)
}

func (c Config) check(simulated string) error {
	refuse := func(key, value, wants string) error {
		return fmt.Errorf("-c %s=%s: it must be %s", key, value, wants)
	}
	switch {
	case !stagePattern.MatchString(c.Stage):
		return refuse("stage", c.Stage, "a lower-case letter, then 1 to 15 of a-z and 0-9")
	case c.Auth != "jwt" && c.Auth != "none":
		return refuse("auth", c.Auth, "jwt or none")
	case c.Auth == "none" && c.Stage == production:
		return refuse("auth", c.Auth, "jwt in the stage prod: without it everybody on the internet is an operator")
	case (c.JWTIssuer == "") != (c.JWTKeys == "") || (c.JWTIssuer == "") != (c.JWTAudience == ""):
		return errors.New("-c jwt_issuer, -c jwt_audience and -c jwt_keys are given together: without one of them anybody's token would do")
	case c.JWTIssuer != "" && c.Auth == "none":
		return refuse("jwt_issuer", c.JWTIssuer, "left out with -c auth=none")
	case c.JWTKeys != "" && !urlPattern.MatchString(c.JWTKeys):
		return refuse("jwt_keys", c.JWTKeys, "an https address")
	case simulated != "" && simulated != "0" && simulated != "1":
		return refuse("simulator", simulated, "0 or 1")
	case c.Architecture != "arm64" && c.Architecture != "x86_64":
		return refuse("architecture", c.Architecture, "arm64 or x86_64")
	case !moneyPattern.MatchString(c.Currency):
		return refuse("currency", c.Currency, "three capital letters, as in ISO 4217")
	case len(c.Clients) == 0:
		return refuse("clients", "", "one name at least")
	}
	for _, o := range c.Origins {
		if !originPattern.MatchString(o) {
			return refuse("cors", o, "origins with commas between them, such as https://shop.example")
		}
	}
	for _, name := range c.Clients {
		if !clientPattern.MatchString(name) {
			return refuse("clients", name, "names of a-z, 0-9 and - with commas between them")
		}
	}
	return nil
}

// A warning is told at every synthesis, and names itself so that it can be acknowledged.
type warning struct{ id, text string }

func (c Config) warnings() []warning {
	var out []warning
	if c.Auth == "jwt" && c.JWTIssuer == "" {
		out = append(out, warning{"no-issuer",
			"No JWT issuer is set, so every call but /health is refused. Give -c jwt_issuer=..., -c jwt_audience=... and -c jwt_keys=https://..., or -c auth=none in a stage for trying out."})
	}
	if c.Auth == "none" {
		out = append(out, warning{"no-authentication",
			"This stage asks nobody who they are: whoever knows its address can place orders and change products."})
	}
	if !c.Simulator {
		out = append(out, warning{"no-provider",
			"There is no payment provider in this stage, so no order is confirmed. Give -c simulator=1 to have payments simulated."})
	}
	return out
}

// name is a physical name: cloudflow-orders in the stage prod, cloudflow-dev-orders in the stage dev. One account holds both.
func (c Config) name(of string) string {
	if c.Stage == production {
		return "cloudflow-" + of
	}
	return "cloudflow-" + c.Stage + "-" + of
}

// title is name for what people read: CloudFlow, CloudFlow-dev.
func (c Config) title() string {
	if c.Stage == production {
		return "CloudFlow"
	}
	return "CloudFlow-" + c.Stage
}

// sources are the two files of the program that are deployed.
type sources struct {
	machine  string // internal/saga/order.asl.json
	contract []byte // api/openapi.yaml
}

func readFiles(c Config) (sources, error) {
	if _, err := os.Stat(filepath.Join(c.Asset, "bootstrap")); err != nil {
		return sources{}, fmt.Errorf("the functions' binary is not there, build it with `make lambda`: %w", err)
	}
	machine, err := os.ReadFile(filepath.Join(c.Root, "internal", "saga", "order.asl.json"))
	if err != nil {
		return sources{}, err
	}
	contract, err := os.ReadFile(filepath.Join(c.Root, "api", "openapi.yaml"))
	return sources{machine: string(machine), contract: contract}, err
}

func list(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}
