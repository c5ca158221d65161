package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/awsstage"
	"github.com/utkarsh698/cloudflow/internal/awsstage/awsstagetest"
	"github.com/utkarsh698/cloudflow/internal/awstest"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/idempotency"
	"github.com/utkarsh698/cloudflow/internal/longtest"
	"github.com/utkarsh698/cloudflow/internal/migrate"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/sender"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// An instance is killed under load, with a tenth of its orders and more on their way; its directory moves to a stage, interrupted twice. There every
// order comes to its end, and each key that was acknowledged gives the same bytes.
func TestMigrateAShopThatWasKilledUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("half a minute: there are cards that take eight seconds")
	}
	t.Parallel()
	emulator := awstest.Start(t)
	awsstagetest.Make(t, emulator, "dev")
	data := t.TempDir()
	began, orders := time.Now(), longtest.Count(250, 250, 1000)
	acked := killedUnderLoad(t, data, orders)
	proxy := awstest.NewProxy(t, emulator.URL)
	signalled(t, proxy, migration(t, proxy.URL, "--data", data), os.Kill, "TransactWriteItems", 40)
	signalled(t, proxy, migration(t, proxy.URL, "--data", data), os.Interrupt, "StartExecution", 10).exits(1).hints("the same command goes on")
	last := time.Now()
	report := one[migrate.Report](ends(t, migration(t, proxy.URL, "--data", data, "--json")).exits(0))
	open := 0
	for _, n := range report.Open {
		open += n
	}
	t.Logf("%d orders, open %v; the last run took %s", report.Orders, report.Open, time.Since(last).Round(time.Millisecond))
	if report.Orders < len(acked) || open < orders/10 || report.Phase != migrate.Done || report.Started >= open || proxy.Asked("StartExecution") > open+20 {
		t.Errorf("%+v; %d calls of StartExecution", report, proxy.Asked("StartExecution"))
	}
	stage, err := awsstage.Open(t.Context(), emulator.Config(), "dev")
	if err != nil {
		t.Fatal(err)
	}
	endsThere(t, emulator, stage, open)
	for key, body := range acked {
		it, err := stage.Store.Get(t.Context(), idempotency.ClientKey(auth.Anonymous.Subject, "POST", "/orders", key).Item(), store.Strong)
		if err != nil || string(it.Bytes("body")) != body {
			t.Fatalf("%s was answered %s, and is %s, %v", key, body, it.Bytes("body"), err)
		}
	}
	longtest.Record(t, began, longtest.Result{What: "orders moved", Count: report.Orders, Seed: 1, Detail: fmt.Sprintf("%d of them open; interrupted twice", open)})
}

// killedUnderLoad is a directory of which the process was killed when so many orders were acknowledged: the bodies by key.
func killedUnderLoad(t *testing.T, data string, orders int) map[string]string {
	t.Helper()
	p := start(t, data, "--breaker-failures", "1000000")
	url := p.log.url(t)
	(&service{t: t, url: url, data: data}).cli("product", "put", "A", "--name", "A", "--price", "1000", "--stock", "100000").exits(0)
	methods := []string{"pm_card_visa", "pm_card_chargeDeclined", "pm_card_visa", "pm_sim_slow", "pm_card_visa", "pm_sim_timeout_charged"}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var mu sync.Mutex
	acked := map[string]string{}
	var clients sync.WaitGroup
	for c := range 16 {
		rnd := rand.New(rand.NewPCG(1, uint64(c)))
		clients.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				key := fmt.Sprintf("k-%d-%d", c, n)
				body, ok := postOrder(ctx, url, key, fmt.Sprintf("cust-%d", c), methods[rnd.IntN(len(methods))])
				mu.Lock()
				if ok {
					acked[key] = body
				}
				if len(acked) >= orders {
					stop()
				}
				mu.Unlock()
			}
		})
	}
	<-ctx.Done()
	p.kill()
	clients.Wait()
	return acked
}

// postOrder places one order; what is not answered with 202 is not acknowledged.
func postOrder(ctx context.Context, url, key, customer, method string) (body string, ok bool) {
	text := fmt.Sprintf(`{"customer_id":%q,"items":[{"product_id":"A","quantity":1}],"payment_method":%q,"contact":{"email":"%s@example.com"}}`, customer, method, customer)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/orders", strings.NewReader(text))
	if err != nil {
		return "", false
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", key)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", false
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return string(answer), err == nil && resp.StatusCode == http.StatusAccepted
}

// endsThere plays Step Functions for every open order of the stage, and requires that all orders come to their end and the stock with them.
func endsThere(t *testing.T, e *awstest.Emulator, stage *awsstage.Stage, open int) {
	t.Helper()
	log := sender.NewLog(slog.New(slog.DiscardHandler))
	f := app.NewFunctions(app.Config{
		Store: stage.Store, Provider: stage.Provider, SagaKeys: stage.Keys, ContactKeys: pii.NewStoreKeys(stage.Store), Sender: log, NoContact: log, BreakerFailures: 1 << 20,
	}, app.AWS{Saga: stage.Machine, StartNow: stage.Machine.Start, Send: func(context.Context, notification.Message) error { return nil }})
	inputs := map[string]string{}
	after := ""
	for {
		page, err := f.Orders.Unfinished(t.Context(), after, 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, o := range page {
			inputs[o.Execution] = began(t, e, o.Execution)
		}
		after = page[len(page)-1].OrderID
	}
	if len(inputs) != open {
		t.Errorf("%d orders are open there, %d here", len(inputs), open)
	}
	play(t, f, stage, inputs)
	sold := int64(0)
	err := order.Listed(t.Context(), stage.Store, func(id string) error {
		status, _, err := f.Orders.Outcome(t.Context(), id)
		switch {
		case err != nil:
			return err
		case status == order.Confirmed:
			sold++
		case status == order.Pending || status == order.Review:
			return fault.New(fault.Internal, "%s is %s", id, status)
		}
		return nil
	})
	p, getErr := f.Inventory.Get(t.Context(), "A")
	if err != nil || getErr != nil || p.Held != 0 || p.Sold != sold || p.Available != 100_000-sold {
		t.Errorf("%v; %+v, sold %d, %v", err, p, sold, getErr)
	}
}
