// Command embed runs a state machine with two Go functions as its tasks, durably, in one process and one directory:
//
//	go run ./examples/embed --data /tmp/embed order-1
//
// Kill it while the order is being packed (kill -9, a power cut) and start it again with the same words: it goes on where it stood. The card is
// charged once.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/utkarsh698/cloudflow/engine"
)

//go:embed order.asl.json
var machine []byte

func main() {
	data := flag.String("data", "./embed-data", "the data directory")
	pack := flag.Int("pack", 30, "how many seconds packing takes")
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("usage: embed [--data DIR] [--pack SECONDS] ORDER")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *data, flag.Arg(0), *pack); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, data, order string, pack int) (err error) {
	s, err := engine.Open(data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()

	e, err := engine.New(engine.Options{
		Store: s, Definition: machine, Name: "order",
		Tasks: map[string]engine.Task{"charge": charge, "ship": ship},
	})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	drained := make(chan error, 1)
	go func() { drained <- e.Run(ctx) }()
	defer func() { stop(); err = errors.Join(err, <-drained) }()

	// The same name with the same input is the same execution, so that this line may run as often as it likes.
	if _, err := e.Start(ctx, order, map[string]any{"order": order, "cents": 1999, "pack_seconds": pack}); err != nil {
		return err
	}
	return wait(ctx, e, order)
}

// wait prints each state that the execution enters, and its end.
func wait(ctx context.Context, e *engine.Engine, order string) error {
	for seen := int64(0); ; {
		d, err := e.Describe(ctx, order)
		if err != nil {
			return err
		}
		for _, h := range d.History {
			if h.ID > seen && h.Type == "TaskStateEntered" || h.ID > seen && h.Type == "WaitStateEntered" {
				fmt.Printf("%s  %s\n", h.Time.Format(time.TimeOnly), h.State)
			}
			seen = max(seen, h.ID)
		}
		if !d.Ended.IsZero() {
			output, err := json.Marshal(d.Output)
			fmt.Printf("%s  %s %s%s\n", d.Ended.Format(time.TimeOnly), d.Status, output, d.Error)
			return err
		}
		select {
		case <-ctx.Done():
			fmt.Println("stopped; start it again, and it goes on")
			return nil
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// charge writes to the store: what it stages and the journal's entry are one commit, so that a charge is booked once however often
// the process dies.
func charge(_ context.Context, c engine.Call) (engine.Effect, error) {
	in, _ := c.Input.(map[string]any)
	number, _ := in["cents"].(json.Number)
	cents, err := number.Int64()
	if err != nil {
		return engine.Effect{}, &engine.Failure{Name: "BadAmount", Cause: err.Error()}
	}
	return engine.Effect{Stage: func(tx *engine.Tx) (any, error) {
		tx.Put(engine.Key{Table: "charges", PK: c.Execution}, engine.Item{engine.Int("cents", cents), engine.String("attempt", c.Attempt)}, engine.Absent())
		tx.Add(engine.Key{Table: "books", PK: "till"}, []engine.Delta{engine.Inc("cents", cents)})
		return map[string]any{"charged_cents": cents}, nil
	}}, nil
}

// ship calls the outside. It may be called again after a crash, as the same attempt: its name is the key by which the outside knows that.
func ship(_ context.Context, c engine.Call) (engine.Effect, error) {
	fmt.Printf("          calling the carrier for %s, idempotency key %s\n", c.Execution, c.Attempt)
	return engine.Effect{Result: map[string]any{"tracking": "CF-" + c.Execution}}, nil
}
