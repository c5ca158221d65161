package engine_test

import (
	"context"
	"fmt"
	"os"

	"github.com/utkarsh698/cloudflow/engine"
)

// run opens a directory, runs an engine over it as the options say, and calls fn with it.
func run(o engine.Options, fn func(ctx context.Context, e *engine.Engine) error) (err error) {
	dir, err := os.MkdirTemp("", "engine")
	if err != nil {
		return err
	}
	defer func() { err = firstOf(err, os.RemoveAll(dir)) }()
	s, err := engine.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = firstOf(err, s.Close()) }()
	o.Store = s
	e, err := engine.New(o)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	drained := make(chan error, 1)
	go func() { drained <- e.Run(ctx) }()
	defer func() { stop(); err = firstOf(err, <-drained) }()
	return fn(ctx, e)
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func Example() {
	ended := make(chan engine.Ended, 1)
	err := run(engine.Options{
		Definition: []byte(`{"QueryLanguage":"JSONata","StartAt":"Greet","States":{
			"Greet":{"Type":"Task","Resource":"greet","Arguments":"{% $states.input.name %}","Output":"{% $uppercase($states.result) %}","End":true}}}`),
		Tasks: map[string]engine.Task{
			"greet": func(_ context.Context, c engine.Call) (engine.Effect, error) {
				return engine.Effect{Result: fmt.Sprintf("good morning, %s", c.Input)}, nil
			},
		},
		OnEnded: func(x engine.Ended) { ended <- x },
	}, func(ctx context.Context, e *engine.Engine) error {
		if _, err := e.Start(ctx, "first", map[string]any{"name": "Ada"}); err != nil {
			return err
		}
		<-ended
		d, err := e.Describe(ctx, "first")
		fmt.Println(d.Status, d.Output)
		return err
	})
	fmt.Println(err)
	// Output:
	// SUCCEEDED GOOD MORNING, ADA
	// <nil>
}

// A task whose Resource ends in .waitForTaskToken waits for whoever has its token: here for a person, whom a function asks.
func Example_callback() {
	asked, ended := make(chan string, 1), make(chan engine.Ended, 1)
	err := run(engine.Options{
		Definition: []byte(`{"StartAt":"Ask","States":{"Ask":{"Type":"Task","Resource":"ask.waitForTaskToken","TimeoutSeconds":604800,"End":true}}}`),
		Tasks: map[string]engine.Task{
			"ask.waitForTaskToken": func(_ context.Context, c engine.Call) (engine.Effect, error) {
				asked <- c.Token // a mail with a link, in earnest
				return engine.Effect{}, nil
			},
		},
		OnEnded: func(x engine.Ended) { ended <- x },
	}, func(ctx context.Context, e *engine.Engine) error {
		if _, err := e.Start(ctx, "holiday-7", map[string]any{"days": 5}); err != nil {
			return err
		}
		if err := e.SendTaskSuccess(ctx, <-asked, map[string]any{"granted": true}); err != nil {
			return err
		}
		<-ended
		d, err := e.Describe(ctx, "holiday-7")
		fmt.Println(d.Status, d.Output)
		return err
	})
	fmt.Println(err)
	// Output:
	// SUCCEEDED map[granted:true]
	// <nil>
}

// A task of startExecution.sync:2 runs another machine, and its result has the output of that.
func Example_child() {
	ended := make(chan engine.Ended, 2)
	err := run(engine.Options{
		Definition: []byte(`{"StartAt":"Check","States":{"Check":{"Type":"Task","Resource":"arn:aws:states:::states:startExecution.sync:2",
			"Parameters":{"StateMachineArn":"credit","Input":{"of.$":"$.customer"}},"OutputPath":"$.Output","End":true}}}`),
		Children: map[string][]byte{
			"credit": []byte(`{"StartAt":"Look","States":{"Look":{"Type":"Task","Resource":"look","End":true}}}`),
		},
		Tasks: map[string]engine.Task{
			"look": func(context.Context, engine.Call) (engine.Effect, error) {
				return engine.Effect{Result: map[string]any{"limit": 5000}}, nil
			},
		},
		OnEnded: func(x engine.Ended) { ended <- x },
	}, func(ctx context.Context, e *engine.Engine) error {
		if _, err := e.Start(ctx, "order-1", map[string]any{"customer": "cust-001"}); err != nil {
			return err
		}
		first, second := <-ended, <-ended
		d, err := e.Describe(ctx, "order-1")
		fmt.Println(first.Machine, second.Machine, d.Status, d.Output)
		return err
	})
	fmt.Println(err)
	// Output:
	// credit cloudflow SUCCEEDED map[limit:5000]
	// <nil>
}

// An execution that failed goes on where it failed, when what was wrong is mended. What had succeeded is not done again.
func Example_redrive() {
	charged, mended := 0, false
	ended := make(chan engine.Ended, 2)
	err := run(engine.Options{
		Definition: []byte(`{"StartAt":"Charge","States":{"Charge":{"Type":"Task","Resource":"charge","Next":"Ship"},"Ship":{"Type":"Task","Resource":"ship","End":true}}}`),
		Tasks: map[string]engine.Task{
			"charge": func(context.Context, engine.Call) (engine.Effect, error) {
				charged++
				return engine.Effect{Result: "paid"}, nil
			},
			"ship": func(context.Context, engine.Call) (engine.Effect, error) {
				if !mended {
					return engine.Effect{}, &engine.Failure{Name: "NoCarrier", Cause: "the contract has run out"}
				}
				return engine.Effect{Result: "shipped"}, nil
			},
		},
		RedriveWithin: engine.RedrivePeriod,
		OnEnded:       func(x engine.Ended) { ended <- x },
	}, func(ctx context.Context, e *engine.Engine) error {
		if _, err := e.Start(ctx, "order-1", nil); err != nil {
			return err
		}
		x := <-ended
		fmt.Println(x.Status, x.State, x.Error)
		mended = true
		if _, err := e.Redrive(ctx, "order-1", ""); err != nil {
			return err
		}
		fmt.Println((<-ended).Status, "charged", charged)
		return nil
	})
	fmt.Println(err)
	// Output:
	// FAILED Ship NoCarrier
	// SUCCEEDED charged 1
	// <nil>
}
