package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func deployment(auth string) outputs {
	return outputs{
		"cloudflow-dev-database": {
			"InventoryTableArn":               "arn:aws:dynamodb:us-east-1:123456789012:table/cloudflow-dev-inventory",
			"OrdersTableArn":                  "arn:aws:dynamodb:us-east-1:123456789012:table/cloudflow-dev-orders",
			"ExportsOutputFnGetAttDataKeyArn": "arn:aws:kms:us-east-1:123456789012:key/x",
		},
		"cloudflow-dev-api": {"ApiUrl": "https://abc123.execute-api.us-east-1.amazonaws.com/dev", "ApiAuth": auth, "ApiKeyId": "k1"},
	}
}

func TestThePageIsTheSpecifications(t *testing.T) {
	got := page(deployment("none"), 222*time.Second)
	want := `✅  CloudFlowDatabaseStack (cloudflow-dev-database)

Outputs:
CloudFlowDatabaseStack.OrdersTableArn =
  arn:aws:dynamodb:us-east-1:123456789012:table/cloudflow-dev-orders
CloudFlowDatabaseStack.InventoryTableArn =
  arn:aws:dynamodb:us-east-1:123456789012:table/cloudflow-dev-inventory

✅  CloudFlowApiStack (cloudflow-dev-api)

Outputs:
CloudFlowApiStack.ApiUrl =
  https://abc123.execute-api.us-east-1.amazonaws.com/dev
CloudFlowApiStack.ApiAuth =
  none
CloudFlowApiStack.ApiKeyId =
  k1

─────────────────────────────────────────────────
✅ Deployment complete. 2 stacks, 0 errors.
   Total deploy time: 3m 42s

Have something to sell:
  curl -X PUT https://abc123.execute-api.us-east-1.amazonaws.com/dev/products/p1 \
    -H "Content-Type: application/json" \
    -d '{"name":"A first product","unit_price_cents":999,"stock":100}'

Send a test order:
  curl -X POST https://abc123.execute-api.us-east-1.amazonaws.com/dev/orders \
    -H "Content-Type: application/json" \
    -d '{"customer_id":"cust-1","items":[{"product_id":"p1","quantity":1,"unit_price_cents":999}]}'

Response: {"order_id":"ord-...","status":"PENDING","total_cents":999}
─────────────────────────────────────────────────
`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestWhereCallersProveThemselvesTheCallSaysHow(t *testing.T) {
	got := page(deployment("jwt"), 0)
	for _, want := range []string{
		"get-api-key --api-key k1 --include-value", `-H "Authorization: Bearer $TOKEN" -H "X-Api-Key: $KEY" \` + "\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
}

func TestTheFilesAreOnePage(t *testing.T) {
	dir := t.TempDir()
	var files []string
	for name, text := range map[string]string{
		"0.json": `{"cloudflow-database":{"OrdersTableArn":"a"}}`, "1.json": `{"cloudflow-monitoring":{"DashboardUrl":"d"}}`,
	} {
		files = append(files, filepath.Join(dir, name))
		if err := os.WriteFile(files[len(files)-1], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var b strings.Builder
	if err := run(&b, 0, "", "", files); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); !strings.Contains(got, "CloudFlowDatabaseStack (cloudflow-database)") || !strings.Contains(got, "2 stacks, 0 errors") {
		t.Error(got)
	}
	if err := run(&b, 0, "", "", []string{filepath.Join(dir, "absent")}); err == nil {
		t.Error("a file that is not there: no error")
	}
}

func TestOutputsAreKeptAndAskedFor(t *testing.T) {
	dir := t.TempDir()
	first, second, kept := filepath.Join(dir, "0.json"), filepath.Join(dir, "1.json"), filepath.Join(dir, "kept.json")
	for path, text := range map[string]string{first: `{"cloudflow-database":{"OrdersTableArn":"arn:orders"}}`, second: `{"cloudflow-api":{"ApiUrl":"https://x.example/prod"}}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := run(io.Discard, 0, kept, "", []string{first, second}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"ApiUrl": "https://x.example/prod\n", "OrdersTableArn": "arn:orders\n"} {
		var b strings.Builder
		if err := run(&b, 0, "", name, []string{kept}); err != nil || b.String() != want {
			t.Errorf("%s: %q, %v", name, b.String(), err)
		}
	}
	if err := run(io.Discard, 0, "", "Nothing", []string{kept}); err == nil || !strings.Contains(err.Error(), "Nothing") {
		t.Errorf("an output that there is not: %v", err)
	}
}
