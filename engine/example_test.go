package engine_test

import (
	"context"
	"fmt"
	"os"

	"github.com/utkarsh698/cloudflow/engine"
)

func Example() {
	dir, err := os.MkdirTemp("", "engine")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	s, err := engine.Open(dir)
	if err != nil {
		panic(err)
	}
	defer s.Close()
	ended := make(chan engine.Ended, 1)
	e, err := engine.New(engine.Options{
		Store: s,
		Definition: []byte(`{"QueryLanguage":"JSONata","StartAt":"Greet","States":{
			"Greet":{"Type":"Task","Resource":"greet","Arguments":"{% $states.input.name %}","Output":"{% $uppercase($states.result) %}","End":true}}}`),
		Tasks: map[string]engine.Task{
			"greet": func(_ context.Context, c engine.Call) (engine.Effect, error) {
				return engine.Effect{Result: fmt.Sprintf("good morning, %s", c.Input)}, nil
			},
		},
		OnEnded: func(x engine.Ended) { ended <- x },
	})
	if err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	drained := make(chan error, 1)
	go func() { drained <- e.Run(ctx) }()
	if _, err := e.Start(ctx, "first", map[string]any{"name": "Ada"}); err != nil {
		panic(err)
	}
	<-ended
	d, err := e.Describe(ctx, "first")
	fmt.Println(d.Status, d.Output, err)
	stop()
	fmt.Println(<-drained)
	// Output:
	// SUCCEEDED GOOD MORNING, ADA <nil>
	// <nil>
}
