package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sagaFile is the machine as the repository has it.
var sagaFile string

func TestTwoStagesLiveInOneAccount(t *testing.T) {
	synthesized(t)
	physical := func(d template) map[string]string {
		out := map[string]string{}
		for _, r := range d.deployed().resources() {
			if r.kind == policyType || r.kind == permissionType || r.kind == mappingType || r.kind == triesType || r.kind == stageType {
				continue // named within something else, or a name of something else
			}
			for _, n := range names {
				if name, ok := r.props[n].(string); ok {
					out[r.kind+" "+n+" "+name] = r.id
				}
			}
		}
		return out
	}
	one, other := physical(prod), physical(dev)
	if len(one) < 60 || len(other) < 60 {
		t.Fatalf("only %d and %d names", len(one), len(other))
	}
	for name := range one {
		if other[name] != "" {
			t.Errorf("both stages have %s", name)
		}
	}
	for name := range other {
		if !strings.Contains(name, "cloudflow-dev") && !strings.Contains(name, "CloudFlow-dev") {
			t.Errorf("the stage dev has %s", name)
		}
	}
	want := []string{"cloudflow-dev-api", "cloudflow-dev-database", "cloudflow-dev-messaging", "cloudflow-dev-monitoring", "cloudflow-dev-saga"}
	if err := is(slices.Sorted(maps.Keys(dev)), want); err != nil {
		t.Error(err)
	}
}

func TestTheStageDevWithoutAuthentication(t *testing.T) {
	synthesized(t)
	d := dev.deployed()
	t.Run("the specification's curl works: an order is placed without a token and without a key", func(t *testing.T) {
		o := at(d.the(apiType, "cloudflow-dev-api").props, "Body", "paths", "/orders", "post")
		schemes := at(d.the(apiType, "cloudflow-dev-api").props, "Body", "components", "securitySchemes").(map[string]any)
		if err := errors.Join(is(at(o, "security"), []any{}), is(slices.Sorted(maps.Keys(schemes)), []string{"signed"})); err != nil {
			t.Error(err)
		}
		if r, ok := d.find(functionType, "cloudflow-dev-authorizer"); ok {
			t.Errorf("there is %s", r)
		}
	})
	t.Run("operators sign all the same", func(t *testing.T) {
		o := at(d.the(apiType, "cloudflow-dev-api").props, "Body", "paths", "/admin/breakers", "get")
		if err := is(at(o, "security"), securities["operator"]); err != nil {
			t.Error(err)
		}
	})
	t.Run("the functions know that nobody is asked who they are", func(t *testing.T) {
		for _, name := range []string{"order-handler", "inventory-handler", "payment-handler"} {
			if err := is(at(d.the(functionType, "cloudflow-dev-"+name).props, "Environment", "Variables", "CLOUDFLOW_AUTH"), "none"); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("no page may call where no origin is allowed", func(t *testing.T) {
		paths := at(d.the(apiType, "cloudflow-dev-api").props, "Body", "paths").(map[string]any)
		for path, item := range paths {
			if at(item, "options") != nil {
				t.Errorf("%s answers pages", path)
			}
		}
	})
	t.Run("the stage prod refuses to go without", func(t *testing.T) {
		if _, err := configOf(func(key string) string { return map[string]string{"auth": "none"}[key] }); err == nil {
			t.Error("it does not")
		}
	})
}

func TestTheSimulatorsLedgerIsThereWithTheSimulatorOnly(t *testing.T) {
	synthesized(t)
	d := dev.deployed()
	table, ok := d.find(tableType, "cloudflow-dev-provider")
	if !ok {
		t.Fatal("the stage dev simulates payments, and has no ledger of the provider's")
	}
	if err := is(table.props["DeletionProtectionEnabled"], true); err != nil {
		t.Error(err)
	}
	for _, fn := range d.resources(functionType) {
		told := at(fn.props, "Environment", "Variables", "CLOUDFLOW_TABLE_PROVIDER")
		if mine := fn.name() == "cloudflow-dev-payment-handler"; mine != (told == "cloudflow-dev-provider") {
			t.Errorf("%s knows of %v", fn, told)
		}
	}
	for _, p := range d.resources(policyType) {
		for _, s := range many(at(p.props, "PolicyDocument", "Statement")) {
			touches := slices.ContainsFunc(texts(at(s, "Resource")), func(r string) bool { return strings.HasSuffix(r, "table/cloudflow-dev-provider") })
			if touches && !strings.HasPrefix(p.id, "PaymentHandler") {
				t.Errorf("%s may touch the provider's ledger", p.id)
			}
		}
	}
	if _, ok := prod.find(tableType, "cloudflow-provider"); ok {
		t.Error("the stage prod has one without being asked")
	}
}

func TestAnEmulatorGetsAllButWhatItRefuses(t *testing.T) {
	synthesized(t)
	count := func(d template) map[string]int {
		out := map[string]int{}
		for _, r := range d.resources() {
			out[r.kind]++
		}
		return out
	}
	want, got := count(dev), count(local)
	for kind, reason := range refused {
		if want[kind] == 0 {
			t.Errorf("%s is left out (%s), and is not there anyway", kind, reason)
		}
		delete(want, kind)
	}
	if err := is(got, want); err != nil {
		t.Error(err)
	}
	_ = local.deployed() // panics where something refers to what was left out
}

func TestTheContextIsChecked(t *testing.T) {
	for _, bad := range []string{
		"stage=Prod", "stage=x", "stage=my-stage", "auth=basic", "cors=*", "cors=https://shop.example/", `cors=https://a"b`,
		"simulator=yes", "architecture=riscv", "currency=usd", "clients=Web",
	} {
		key, value, _ := strings.Cut(bad, "=")
		if _, err := configOf(func(k string) string {
			if k == key {
				return value
			}
			return ""
		}); err == nil || !strings.Contains(err.Error(), "-c "+bad) {
			t.Errorf("-c %s: %v", bad, err)
		}
	}
}

func TestATokenIsVerifiedInEveryRespectOrNotAtAll(t *testing.T) {
	good := map[string]string{"jwt_issuer": "https://id.example", "jwt_audience": "cloudflow", "jwt_keys": "https://id.example/keys"}
	of := func(m map[string]string) error {
		_, err := configOf(func(key string) string { return m[key] })
		return err
	}
	if err := of(good); err != nil {
		t.Error(err)
	}
	for key := range good {
		m := maps.Clone(good)
		delete(m, key)
		if err := of(m); err == nil {
			t.Errorf("without %s: no error", key)
		}
	}
	plain := maps.Clone(good)
	plain["jwt_keys"] = "http://id.example/keys"
	if err := of(plain); err == nil {
		t.Error("keys over a wire in the clear: no error")
	}
	unused := maps.Clone(good)
	unused["stage"], unused["auth"] = "dev", "none"
	if err := of(unused); err == nil {
		t.Error("an issuer that nobody asks: no error")
	}
}

func TestAStageThatWouldNotWorkIsWarnedOf(t *testing.T) {
	ids := func(c Config) string {
		var out []string
		for _, w := range c.warnings() {
			out = append(out, w.id)
		}
		return strings.Join(out, " ")
	}
	for want, c := range map[string]Config{
		"no-issuer no-provider": {Auth: "jwt"},
		"no-authentication":     {Auth: "none", Simulator: true},
		"":                      {Auth: "jwt", JWTIssuer: "https://id.example", Simulator: true},
	} {
		if got := ids(c); got != want {
			t.Errorf("%+v: %q, want %q", c, got, want)
		}
	}
}

func TestAPathOfTheContractIsOnAWSOrSomebodySaidWhyNot(t *testing.T) {
	contract := read(t, "api", "openapi.yaml")
	g := gateway{name: "x", invoke: func(f string) string { return f }}
	if _, err := importable([]byte(contract), g); err != nil {
		t.Fatal(err)
	}
	_, err := importable([]byte(strings.Replace(contract, "\n  /health:\n", "\n  /novel:\n    get: {operationId: novel, responses: {}}\n  /health:\n", 1)), g)
	if err == nil || !strings.Contains(err.Error(), "/novel") {
		t.Errorf("a path that nobody decided on: %v", err)
	}
	if _, err := importable([]byte(strings.Replace(contract, "\n  /health:\n", "\n  /well:\n", 1)), g); err == nil {
		t.Error("a path that is gone: no error")
	}
}

func TestADeploymentIsOfItsDocument(t *testing.T) {
	synthesized(t)
	deployment := func(d template) string {
		return fmt.Sprint(d.resources("AWS::ApiGateway::Deployment")[0].id)
	}
	if deployment(prod) == deployment(dev) {
		t.Error("two documents have one deployment: a change would not be deployed")
	}
	if deployment(dev) != deployment(local) {
		t.Error("one document has two deployments: each synthesis would deploy anew")
	}
}

// The assertions are over a synthesis in this process. This is the one that `make deploy` makes.
func TestTheCommandLineSynthesizes(t *testing.T) {
	synthesized(t)
	if _, err := exec.LookPath("npm"); err != nil || testing.Short() {
		t.Skip("it takes npm, and ten seconds")
	}
	asset, out := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(asset, "bootstrap"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	said, err := exec.CommandContext(t.Context(), "./cdk", "synth", "--quiet", "--output", out, "-c", "stage=dev", "-c", "auth=none", "-c", "asset="+asset).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if _, err := os.Stat(filepath.Join(out, "CloudFlowSagaStack.template.json")); err != nil {
		t.Error(err)
	}
	if !strings.Contains(string(said), "asks nobody who they are") {
		t.Errorf("no warning of a stage that asks nobody who they are:\n%s", said)
	}
}
