package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

func TestOrderCommands(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "--demo")
	var o apigen.Order
	t.Run("place waits for the outcome and shows it with its events", func(t *testing.T) {
		r := s.cli("order", "place", "--customer", "cust-1", "--item", "LAPTOP-01=1", "--item", "MOUSE-01=2@2999",
			"--email", "ada@example.test", "--phone", "+4915112345678", "--wait", "10s").exits(0)
		r.prints("CONFIRMED", "1,558.98", "2 x 29.99", "1  ORDER_CREATED", "4  ORDER_CONFIRMED")
	})
	t.Run("place without waiting shows the order as accepted", func(t *testing.T) {
		s.cli("order", "place", "--customer", "cust-1", "--item", "MOUSE-01=1").exits(0).prints("PENDING")
	})
	t.Run("the same command with the same idempotency key is the same order", func(t *testing.T) {
		args := []string{"order", "place", "--customer", "cust-1", "--item", "MOUSE-01=1", "--idempotency-key", "k1", "--json"}
		first, second := s.cli(args...).exits(0), s.cli(args...).exits(0)
		if first.out != second.out {
			t.Errorf("printed %s and then %s", first.out, second.out)
		}
		other := s.cli("order", "place", "--customer", "cust-1", "--item", "MOUSE-01=2", "--idempotency-key", "k1").exits(1)
		other.hints("IDEMPOTENCY_KEY_REUSED (422)")
	})
	t.Run("a declined card is an outcome, not a failure of the command", func(t *testing.T) {
		o = s.place("--item", "KEYBD-01=1", "--payment-method", "pm_card_chargeDeclined")
		if o.Status != "COMPENSATED" || o.FailureReason == nil || *o.FailureReason != "PAYMENT_DECLINED" {
			t.Errorf("the order is %+v", o)
		}
		s.cli("order", "get", o.OrderID).exits(0).prints("COMPENSATED  PAYMENT_DECLINED", "5  ORDER_COMPENSATED")
	})
	t.Run("get shows an order as it was", func(t *testing.T) {
		was := one[apigen.Order](s.cli("order", "get", o.OrderID, "--version", "2", "--json").exits(0))
		if was.Status != "PENDING" || was.Version != 2 || len(was.Events) != 2 {
			t.Errorf("version 2 is %+v", was)
		}
		at := o.Events[len(o.Events)-1].Timestamp.Format("2006-01-02T15:04:05.000Z07:00")
		then := one[apigen.Order](s.cli("order", "get", o.OrderID, "--as-of", at, "--json").exits(0))
		if then.Status != "COMPENSATED" {
			t.Errorf("as of its end it is %+v", then)
		}
	})
	t.Run("cancel after the end is refused", func(t *testing.T) {
		s.cli("order", "cancel", o.OrderID).exits(1).hints("ORDER_FINAL (409)")
	})
	t.Run("cancel before the end is taken down", func(t *testing.T) {
		accepted := one[apigen.OrderAccepted](s.cli("order", "place", "--customer", "cust-1", "--item", "MOUSE-01=1",
			"--payment-method", "pm_sim_slow", "--json").exits(0))
		s.cli("order", "cancel", accepted.OrderID).exits(0).prints(accepted.OrderID, "cancel requested")
	})
	t.Run("what the server refuses is one line with its code, and exit 1", func(t *testing.T) {
		for _, c := range []struct {
			args []string
			says string
		}{
			{[]string{"--item", "MOUSE-01=9999"}, "INSUFFICIENT_STOCK (409)"},
			{[]string{"--item", "NO-SUCH=1"}, "UNKNOWN_PRODUCT (422)"},
			{[]string{"--item", "MOUSE-01=1@1"}, "PRICE_CHANGED (409)"},
			{[]string{"--item", "MOUSE-01=0"}, "VALIDATION_FAILED (422): items[0].quantity"},
			{nil, "VALIDATION_FAILED (422): items"},
		} {
			args := append([]string{"order", "place", "--customer", "cust-1"}, c.args...)
			r := s.cli(args...).exits(1).hints(c.says)
			if strings.Count(r.err, "\n") != 1 || r.out != "" {
				t.Errorf("printed %q, said %q", r.out, r.err)
			}
			p := one[apigen.Problem](s.cli(append(args, "--json")...).exits(1))
			if !strings.HasPrefix(c.says, p.Error) {
				t.Errorf("with --json the problem is %+v", p)
			}
		}
		s.cli("order", "get", "ord-00000000000000000000000000").exits(1).hints("NOT_FOUND (404)")
		s.cli("order", "place", "--item", "MOUSE-01=1").exits(1).hints("customer_id")
	})
	t.Run("an order is found in the books", func(t *testing.T) {
		paid := s.place("--item", "MOUSE-01=1")
		s.cli("payment", "show", paid.OrderID).exits(0).prints("CAPTURED", "29.99", "capture", "provider")
		s.cli("payment", "show", "ord-00000000000000000000000000").exits(1).hints("NOT_FOUND (404)")
		eventually(t, "the saga ends", func() bool {
			return one[apigen.Saga](s.cli("saga", "show", paid.OrderID, "--json").exits(0)).Status == apigen.SagaStatusSUCCEEDED
		})
		s.cli("saga", "show", paid.OrderID).exits(0).prints(paid.OrderID, "SUCCEEDED", "ReserveStock", "TaskStateEntered")
		s.cli("saga", "redrive", paid.OrderID, "--reason", "why not").exits(1).hints("NOT_FAILED (409)")
		s.cli("saga", "redrive", paid.OrderID).exits(2).hints("--reason")
	})
}

func TestProductAndBreakerCommands(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	s.cli("product", "put", "A", "--name", "Thing", "--price", "1250", "--stock", "3").exits(0).prints("A  Thing  12.50  available 3, held 0, sold 0")
	s.cli("product", "put", "A", "--name", "Thing", "--price", "1300").exits(0).prints("13.00")
	s.cli("product", "put", "A", "--name", "Thing", "--price", "1300", "--stock", "9").exits(1).hints("PRODUCT_EXISTS (409)")
	s.cli("product", "put", "B", "--price", "1").exits(1).hints("VALIDATION_FAILED (422): name")
	s.cli("product", "restock", "A", "--quantity", "4", "--idempotency-key", "d1").exits(0).prints("available 7")
	s.cli("product", "restock", "A", "--quantity", "4", "--idempotency-key", "d1").exits(0).prints("available 7")
	s.cli("product", "restock", "A", "--quantity", "1").exits(0).prints("available 8")
	s.cli("product", "restock", "NO-SUCH", "--quantity", "1").exits(1).hints("NOT_FOUND (404)")
	s.cli("product", "list").exits(0).prints("product", "available", "A ", "13.00")

	s.cli("breaker", "list").exits(0).prints("payment-charge", "payment-refund", "CLOSED")
	s.cli("breaker", "trip", "payment-charge").exits(0).prints("payment-charge  OPEN")
	s.cli("order", "place", "--customer", "c", "--item", "A=1").exits(1).hints("PAYMENT_PROVIDER_UNAVAILABLE (503)", "try again in")
	s.cli("breaker", "list").exits(0).prints("OPEN")
	s.cli("breaker", "reset", "payment-charge").exits(0).prints("payment-charge  CLOSED")
	s.cli("breaker", "trip", "no-such").exits(1).hints("NOT_FOUND (404)")
}

// More products than one page holds: the list shows all, as a table and as JSON.
func TestProductListShowsAllPages(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	const n = 60
	for i := range n {
		id := "P-" + string(rune('A'+i/26)) + string(rune('A'+i%26))
		s.cli("product", "put", id, "--name", id, "--price", "100").exits(0)
	}
	if lines := strings.Count(s.cli("product", "list").exits(0).out, "\n"); lines != n+1 {
		t.Errorf("%d lines, want a heading and %d", lines, n)
	}
	list := one[apigen.ProductList](s.cli("product", "list", "--json").exits(0))
	if len(list.Products) != n || list.NextCursor != nil {
		t.Errorf("%d products, next cursor %v", len(list.Products), list.NextCursor)
	}
}

// With --json every command prints one JSON value and nothing else, also when it fails. A new command needs a row here.
func TestJSONIsOneValue(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "--demo")
	o := s.place("--item", "MOUSE-01=1")
	left := map[string]bool{}
	root := (&cli{}).root()
	_ = eachCommand(root, func(cmd *cobra.Command) error {
		left[cmd.CommandPath()] = !cmd.HasSubCommands()
		return nil
	})
	delete(left, "cloudflow serve")         // its log is JSON lines, on stderr
	delete(left, "cloudflow demo")          // TestDemoCommand
	delete(left, "cloudflow export orders") // rows, one JSON value a line: TestExportCommands
	delete(left, "cloudflow export events")
	delete(left, "cloudflow migrate")     // wants a stage on AWS: TestMigrateToAWS
	delete(left, "cloudflow order watch") // a feed has no end: one value a line, TestOrderWatch
	had := func(args []string) {
		cmd, _, err := root.Find(args)
		if err != nil {
			t.Fatal(err)
		}
		delete(left, cmd.CommandPath())
	}
	backup, restored, machine := filepath.Join(t.TempDir(), "b"), filepath.Join(t.TempDir(), "r"), filesOf(t)
	for _, args := range [][]string{
		{"order", "place", "--customer", "c", "--item", "MOUSE-01=1"},
		{"order", "place", "--customer", "c", "--item", "MOUSE-01=1", "--wait", "10s"},
		{"order", "get", o.OrderID},
		{"order", "list"},
		{"events", o.OrderID},
		{"payment", "show", o.OrderID},
		{"product", "list"},
		{"product", "put", "NEW-01", "--name", "New", "--price", "1"},
		{"product", "restock", "NEW-01", "--quantity", "1"},
		{"breaker", "list"},
		{"breaker", "trip", "payment-refund"},
		{"breaker", "reset", "payment-refund"},
		{"saga", "list"},
		{"saga", "show", o.OrderID},
		{"saga", "history", o.OrderID},
		{"saga", "graph"},
		{"saga", "tasks"},
		{"saga", "graph", "--order", o.OrderID, "--format", "mermaid"},
		{"dlq", "list"},
		{"dlq", "redrive", "--all"},
		{"fault", "set", "--latency", "1ms"},
		{"fault", "show"},
		{"fault", "clear"},
		{"key", "create", "--subject", "c", "--scopes", "orders:read"},
		{"key", "list"},
		{"seed"},
		{"loadtest", "--orders", "5", "--warmup", "0"},
		{"completion", "bash"},
		{"completion", "zsh"},
		{"completion", "fish"},
		{"completion", "powershell"},
		{"man", t.TempDir()},
		{"environment"},
		{"erase", "c"},
		{"retention"},
		{"backup", backup},
		{"restore", backup, "--data", restored},
		{"doctor", restored},
		{"saga", "check", sagaFile(t), "--data", restored},
		{"logs", "--order-id", confirmedID, recordedLog},
		{"trace", o.OrderID},
		{"verify"},
		{"asl", "run", machine.machine, "--input", machine.input, "--mocks", machine.mocks, "--test-case", "Paid", "--history"},
		{"asl", "validate", machine.machine},
		{"asl", "graph", machine.machine},
		{"version"},
	} {
		had(args)
		one[map[string]any](s.cli(append(args, "--json")...).exits(0))
	}
	for _, args := range [][]string{
		{"order", "get", "ord-00000000000000000000000000"},
		{"order", "cancel", o.OrderID},
		{"payment", "show", "ord-00000000000000000000000000"},
		{"saga", "redrive", o.OrderID, "--reason", "r"},
		{"saga", "task-success", noTask},
		{"saga", "task-failure", noTask},
		{"saga", "task-heartbeat", noTask},
		{"trace", "ord-00000000000000000000000000"},
		{"saga", "graph", "--order", "ord-00000000000000000000000000"},
		{"breaker", "trip", "no-such"},
		{"dlq", "redrive", strings.Repeat("x", 129)},
		{"key", "revoke", "no-such"},
		{"fault", "set", "--rate", "2"},
	} {
		had(args)
		if p := one[apigen.Problem](s.cli(append(args, "--json")...).exits(1)); p.Error == "" || p.Status < 400 {
			t.Errorf("%v printed the problem %+v", args, p)
		}
	}
	for path, prints := range left {
		if prints {
			t.Errorf("nobody has asked `%s` for JSON: add a row", path)
		}
	}
}

func TestVerifyCommand(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "--demo")
	s.place("--item", "MOUSE-01=1")
	s.place("--item", "MOUSE-01=1", "--payment-method", "pm_card_chargeDeclined")
	s.cli("verify", "--data", s.data).exits(1).hints("in use", "stop the cloudflow that runs there")
	if r := s.cli("verify").exits(0).hints("2 orders", "0 violations"); r.out != "" {
		t.Errorf("printed %q", r.out)
	}
	if code := s.end(); code != 0 {
		t.Fatalf("serve: exit %d", code)
	}
	r := s.cli("verify", "--data", s.data).exits(0).hints("2 orders, 0 skipped", "0 violations", "heads ")
	if r.out != "" {
		t.Errorf("printed %q", r.out)
	}
	report := one[struct {
		apigen.VerifyReport
		Heads string
	}](s.cli("verify", "--data", s.data, "--json").exits(0))
	if !report.Ok || report.Orders != 2 || len(report.Heads) != 64 || report.Violations == nil {
		t.Errorf("the report is %+v", report)
	}
	again := one[struct{ Heads string }](s.cli("verify", "--data", s.data, "--json").exits(0))
	if again.Heads != report.Heads {
		t.Errorf("the heads of the same data are %s and %s", report.Heads, again.Heads)
	}
	s.cli("verify", "--data", "").exits(1).hints("no data directory")
	empty := t.TempDir()
	s.cli("verify", "--data", empty).exits(1).hints("no data directory")
	if entries, err := os.ReadDir(empty); err != nil || len(entries) > 0 {
		t.Errorf("verify made %v, %v in a directory that it only reads", entries, err)
	}
	s.cli("verify").exits(1).hints("nothing listens", "cloudflow serve --demo")
}

func TestDemoCommand(t *testing.T) {
	t.Parallel()
	invoke(t, nil, "demo").exits(0).prints("Happy path", "CONFIRMED", "COMPENSATED (PAYMENT_DECLINED)",
		"PAYMENT_PROVIDER_UNAVAILABLE", "INSUFFICIENT_STOCK", "ReserveStock", "stock of LAPTOP-01 10 -> 9", "stock of MOUSE-01 25 -> 25")
	report := one[struct{ Scenarios []scene }](invoke(t, nil, "demo", "--json").exits(0))
	if len(report.Scenarios) != 4 {
		t.Fatalf("%d scenarios", len(report.Scenarios))
	}
	for _, s := range report.Scenarios {
		if !s.AsExpected {
			t.Errorf("not as expected: %+v", s)
		}
	}
	if steps := report.Scenarios[0].Steps; len(steps) != 6 {
		t.Errorf("the happy path has the steps %+v", steps)
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	t.Run("a wrong command line is exit 2, with a hint", func(t *testing.T) {
		for _, c := range []struct {
			args []string
			hint string
		}{
			{[]string{"frobnicate"}, "`cloudflow --help`"},
			{[]string{"order", "frobnicate"}, "`cloudflow order --help`"},
			{[]string{"order", "get"}, "an order id"},
			{[]string{"order", "get", "a", "b"}, "`cloudflow order get --help`"},
			{[]string{"order", "get", "a", "--frobnicate"}, "`cloudflow order get --help`"},
			{[]string{"order", "get", "a", "--as-of", "yesterday"}, "2026-01-02T15:04:05Z"},
			{[]string{"order", "get", "a", "--version", "two"}, "--version"},
			{[]string{"order", "place", "--item", "LAPTOP-01"}, "PRODUCT=QUANTITY"},
			{[]string{"order", "place", "--item", "=1"}, "PRODUCT=QUANTITY"},
			{[]string{"order", "place", "--item", "LAPTOP-01=one"}, "LAPTOP-01=1"},
			{[]string{"order", "place", "--item", "LAPTOP-01=1@cheap"}, "cents"},
			{[]string{"order", "get", "a", "--version", "0"}, "first is 1"},
			{[]string{"order", "get", "a", "--version", "-1"}, "first is 1"},
			{[]string{"order", "place", "--wait", "soon"}, "--wait"},
			{[]string{"order", "place", "--wait", "-5s"}, "--wait"},
			{[]string{"product", "restock"}, "a product id"},
			{[]string{"breaker", "trip"}, "payment-charge"},
			{[]string{"serve", "--addr", "8080"}, "127.0.0.1:8080"},
			{[]string{"serve", "--log-level", "loud"}, "debug, info, warn or error"},
			{[]string{"serve", "--sender", "pigeon"}, "log or smtp"},
			{[]string{"serve", "--data", ""}, "--data"},
			{[]string{"serve", "--currency", "usd"}, "such as USD"},
			{[]string{"serve", "--currency", ""}, "such as USD"},
			{[]string{"serve", "--breaker-failures", "0"}, "1 is the least"},
			{[]string{"serve", "--log-sample", "0"}, "more than 0, and at most 1"},
			{[]string{"serve", "--log-sample", "-0.5"}, "more than 0, and at most 1"},
			{[]string{"serve", "--log-sample", "1.01"}, "more than 0, and at most 1"},
			{[]string{"serve", "--log-sample", "NaN"}, "more than 0, and at most 1"},
			{[]string{"serve", "--log-sample", "1%"}, "--log-sample"},
			{[]string{"serve", "--rate-per-key", "-1"}, "--rate-per-key -1"},
			{[]string{"serve", "--rate-per-address", "1000001"}, "--rate-per-address"},
			{[]string{"serve", "--max-open-orders", "-5"}, "0 (no limit)"},
			{[]string{"serve", "--max-open-executions", "-1"}, "0 (no limit)"},
			{[]string{"serve", "--max-ready-executions", "1000001"}, "0 (no limit)"},
			{[]string{"serve", "--keep-executions", "1m"}, "1h is the least"},
			{[]string{"serve", "--keep-feed", "1s"}, "1m is the least"},
			{[]string{"serve", "--max-connections", "-5"}, "0 (no limit)"},
			{[]string{"verify", "--data", "d", "--url", "http://127.0.0.1:1"}, "exclude each other"},
			{[]string{"logs"}, "--order-id ord-"},
			{[]string{"trace"}, "an order id"},
			{[]string{"doctor"}, "a data directory, such as ./data"},
			{[]string{"doctor", "a", "b"}, "`cloudflow doctor --help`"},
			{[]string{"version", "now"}, "no argument"},
			{[]string{"loadtest", "--concurrency", "5", "--rate", "10"}, "exclude each other"},
			{[]string{"loadtest", "--concurrency", "five"}, "--concurrency"},
			{[]string{"loadtest", "--concurrency", "0"}, "from 1 to 1000"},
			{[]string{"loadtest", "--concurrency", "5,-1"}, "--concurrency -1"},
			{[]string{"loadtest", "--concurrency", "5,1001"}, "from 1 to 1000"},
			{[]string{"loadtest", "--concurrency", "5,10,5"}, "5 twice"},
			{[]string{"loadtest", "--concurrency", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21"}, "1 to 20"},
			{[]string{"loadtest", "--rate", "0"}, "not above 0"},
			{[]string{"loadtest", "--rate", "-5"}, "not above 0"},
			{[]string{"loadtest", "--rate", "NaN"}, "not above 0"},
			{[]string{"loadtest", "--rate", "10001"}, "up to 10000"},
			{[]string{"loadtest", "--rate", "1", "--orders", "601"}, "--orders: 601 orders"},
			{[]string{"loadtest", "--orders", "0"}, "would not end"},
			{[]string{"loadtest", "--orders", "-1"}, "--orders: -1 orders"},
			{[]string{"loadtest", "--orders", "1000001"}, "0 to 1000000"},
			{[]string{"loadtest", "--duration", "11m"}, "--duration: A run of 11m0s"},
			{[]string{"loadtest", "--duration", "-1s"}, "--duration"},
			{[]string{"loadtest", "--warmup", "-1"}, "--warmup"},
			{[]string{"loadtest", "--warmup", "10001"}, "0 to 10000"},
			{[]string{"loadtest", "--products", "0"}, "1 to 10000"},
			{[]string{"loadtest", "--products", "10001"}, "1 to 10000"},
			{[]string{"loadtest", "--products", "5", "--hot"}, "exclude each other"},
			{[]string{"loadtest", "--seed", "-1"}, "--seed"},
			{[]string{"loadtest", "--mix", "happy=90"}, "90 percent and not to 100"},
			{[]string{"loadtest", "--mix", "happy=0"}, "0 percent"},
			{[]string{"loadtest", "--mix", "happy=110,declined=-10"}, "0 to 100"},
			{[]string{"loadtest", "--mix", "happy=90,lucky=10"}, `"lucky" is not one of happy, declined, short and cancel`},
			{[]string{"loadtest", "--mix", "happy=50,happy=50"}, "each once"},
			{[]string{"loadtest", "--mix", "happy"}, "whole number of percent"},
			{[]string{"loadtest", "--mix", ""}, "happy=95,declined=5"},
			{[]string{"loadtest", "--url", "127.0.0.1:8080"}, "such as http://127.0.0.1:8080"},
			{[]string{"loadtest", "fast"}, "no argument"},
		} {
			r := invoke(t, []string{"CLOUDFLOW_DATA=" + t.TempDir()}, c.args...).exits(2).hints(c.hint)
			if r.out != "" {
				t.Errorf("%v printed %q", c.args, r.out)
			}
		}
	})
	t.Run("without a command the help is printed", func(t *testing.T) {
		invoke(t, nil).exits(0).prints("Usage:", "serve")
		invoke(t, nil, "order").exits(0).prints("place", "cancel")
	})
	t.Run("flags go before the environment, and that before the defaults", func(t *testing.T) {
		invoke(t, nil, "version").exits(0).prints("cloudflow dev")
		one[map[string]string](invoke(t, []string{"CLOUDFLOW_JSON=true"}, "version").exits(0))
		invoke(t, []string{"CLOUDFLOW_JSON=true"}, "version", "--json=false").exits(0).prints("cloudflow dev")
		closed := "http://" + freeAddr(t)
		invoke(t, []string{"CLOUDFLOW_URL=" + closed}, "verify").exits(1).hints(closed)
		invoke(t, []string{"CLOUDFLOW_URL=http://127.0.0.1:1"}, "verify", "--url", closed).exits(1).hints(closed)
		invoke(t, nil, "serve", "--help").exits(0).prints("127.0.0.1:8080", "./data")
		invoke(t, []string{"CLOUDFLOW_DATA=/elsewhere"}, "serve", "--help").exits(0).prints("/elsewhere")
	})
	t.Run("an environment that cannot be read is exit 2 and names the variable", func(t *testing.T) {
		invoke(t, []string{"CLOUDFLOW_BREAKER_FAILURES=many"}, "version").exits(2).hints("CLOUDFLOW_BREAKER_FAILURES", `"many"`)
		invoke(t, []string{"CLOUDFLOW_JSON=perhaps"}, "version").exits(2).hints("CLOUDFLOW_JSON", `"perhaps"`)
	})
	t.Run("an instance is named with its scheme", func(t *testing.T) {
		for _, url := range []string{"http://[::1", "127.0.0.1:8080", "localhost:8080", "http://", "ftp://127.0.0.1", ""} {
			invoke(t, nil, "verify", "--url", url).exits(2).hints("--url", "such as http://127.0.0.1:8080")
		}
	})
}

func TestServeRefuses(t *testing.T) {
	t.Parallel()
	t.Run("an address that others can reach, where there is no authentication", func(t *testing.T) {
		for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:8080", "example.com:80"} {
			dir := filepath.Join(t.TempDir(), "data")
			invoke(t, nil, "serve", "--addr", addr, "--data", dir).exits(1).hints("no authentication", "127.0.0.1")
			if _, err := os.Stat(dir); !os.IsNotExist(err) {
				t.Errorf("%s: the data directory was touched: %v", addr, err)
			}
		}
	})
	t.Run("a data directory that another process holds", func(t *testing.T) {
		s := serve(t, t.TempDir())
		invoke(t, nil, "serve", "--addr", "127.0.0.1:0", "--data", s.data).exits(1).
			hints("in use", "stop the cloudflow that runs there, or choose another directory")
		s.cli("product", "list").exits(0) // and the one that holds it serves on
	})
	t.Run("an address that is taken, and lets the directory go", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		dir := t.TempDir()
		invoke(t, nil, "serve", "--addr", l.Addr().String(), "--data", dir).exits(1).hints("cannot listen", "--addr")
		serve(t, dir)
	})
	t.Run("a relay without an address to send from", func(t *testing.T) {
		env := []string{"CLOUDFLOW_SENDER=smtp", "CLOUDFLOW_SMTP_FROM=nobody", "CLOUDFLOW_DATA=" + t.TempDir()}
		invoke(t, env, "serve", "--addr", "127.0.0.1:0").exits(1).hints("address to send from")
	})
}

func TestServeOnLoopbackNames(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"localhost:0", "127.0.0.1:0", "[::1]:0"} {
		if err := (&accessSettings{}).reachable("--addr", addr); err != nil {
			t.Errorf("%s: %v", addr, err)
		}
	}
}
