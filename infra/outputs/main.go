// Command outputs prints what a deployment says of itself, from the files that `cdk deploy --outputs-file` wrote, and how to send a first order.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

func main() {
	took := flag.Duration("took", 0, "how long the deployment took")
	keep := flag.String("keep", "", "a file to write all outputs to, for --get")
	get := flag.String("get", "", "print this output and nothing else")
	flag.Parse()
	if err := run(os.Stdout, *took, *keep, *get, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "cloudflow: outputs:", err)
		os.Exit(1)
	}
}

// outputs are each stack's, by its name: cloudflow-dev-database.
type outputs map[string]map[string]string

func run(w io.Writer, took time.Duration, keep, get string, files []string) error {
	all := outputs{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var some outputs
		if err := json.Unmarshal(raw, &some); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		maps.Copy(all, some)
	}
	if get != "" {
		value, err := all.named(get)
		if err == nil {
			_, err = fmt.Fprintln(w, value)
		}
		return err
	}
	if keep != "" {
		text, err := json.MarshalIndent(all, "", "  ")
		if err == nil {
			err = os.WriteFile(keep, text, 0o600) // the API key's id is among them
		}
		if err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, page(all, took))
	return err
}

// named is the output of that name, whichever stack has it.
func (all outputs) named(name string) (string, error) {
	for _, stack := range all {
		if value, ok := stack[name]; ok {
			return value, nil
		}
	}
	return "", fmt.Errorf("there is no output %s", name)
}

// stacks are what there is to show, in the order in which it is deployed: first what everybody asks for.
var stacks = []struct {
	name, id string
	first    []string
}{
	{"database", "CloudFlowDatabaseStack", []string{"OrdersTableArn", "InventoryTableArn"}},
	{"messaging", "CloudFlowMessagingStack", []string{"NotificationQueueUrl", "EventBusArn"}},
	{"saga", "CloudFlowSagaStack", []string{"SagaStateMachineArn", "SagaStateMachineUrl"}},
	{"api", "CloudFlowApiStack", []string{"ApiUrl", "OrderServiceFunctionArn"}},
	{"monitoring", "CloudFlowMonitoringStack", []string{"DashboardUrl"}},
}

var rule = strings.Repeat("─", 49) + "\n"

func page(all outputs, took time.Duration) string {
	var b strings.Builder
	deployed := 0
	for _, s := range stacks {
		for _, name := range slices.Sorted(maps.Keys(all)) {
			if !strings.HasSuffix(name, "-"+s.name) {
				continue
			}
			deployed++
			fmt.Fprintf(&b, "✅  %s (%s)\n\nOutputs:\n", s.id, name)
			for _, output := range shown(all[name], s.first) {
				fmt.Fprintf(&b, "%s.%s =\n  %s\n", s.id, output, all[name][output])
			}
			b.WriteString("\n")
		}
	}
	fmt.Fprintf(&b, "%s✅ Deployment complete. %d stacks, 0 errors.\n", rule, deployed)
	if took > 0 {
		fmt.Fprintf(&b, "   Total deploy time: %dm %ds\n", int(took.Minutes()), int(took.Seconds())%60)
	}
	b.WriteString(firstOrder(all))
	b.WriteString(rule)
	return b.String()
}

// shown are a stack's outputs, those that come first and then the rest. What the stacks tell each other is not for people.
func shown(all map[string]string, first []string) []string {
	rest := slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(name string) bool {
		return strings.HasPrefix(name, "ExportsOutput") || slices.Contains(first, name)
	})
	there := slices.DeleteFunc(slices.Clone(first), func(name string) bool { return all[name] == "" })
	return append(there, rest...)
}

// firstOrder says how to order something. A new stage has nothing to sell.
func firstOrder(all outputs) string {
	var api map[string]string
	for name, o := range all {
		if strings.HasSuffix(name, "-api") {
			api = o
		}
	}
	if api["ApiUrl"] == "" {
		return ""
	}
	var b strings.Builder
	proof := ""
	if api["ApiAuth"] != "none" {
		fmt.Fprintf(&b, "\nGet the client's key, and a token of your issuer with the scopes products:write and orders:write:\n"+
			"  KEY=$(aws apigateway get-api-key --api-key %s --include-value --query value --output text)\n  TOKEN=...\n", api["ApiKeyId"])
		proof = "    -H \"Authorization: Bearer $TOKEN\" -H \"X-Api-Key: $KEY\" \\\n"
	}
	fmt.Fprintf(&b, "\nHave something to sell:\n  curl -X PUT %s/products/p1 \\\n%s    -H \"Content-Type: application/json\" \\\n"+
		"    -d '{\"name\":\"A first product\",\"unit_price_cents\":999,\"stock\":100}'\n", api["ApiUrl"], proof)
	fmt.Fprintf(&b, "\nSend a test order:\n  curl -X POST %s/orders \\\n%s    -H \"Content-Type: application/json\" \\\n"+
		"    -d '{\"customer_id\":\"cust-1\",\"items\":[{\"product_id\":\"p1\",\"quantity\":1,\"unit_price_cents\":999}]}'\n", api["ApiUrl"], proof)
	b.WriteString("\nResponse: {\"order_id\":\"ord-...\",\"status\":\"PENDING\",\"total_cents\":999}\n")
	return b.String()
}
