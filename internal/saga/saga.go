// Package saga holds the order saga: the state machine (order.asl.json), the signature on its input, and the table from
// a task's name to the service that does it.
//
// The same file is what flow runs in the single binary and what CDK deploys to Step Functions; only the three
// Resources differ, and they are substituted. What the machine promises stands in its states: reserve, charge and confirm,
// or put everything back; a state that has no way left is not caught, so that the execution fails there, an operator
// is called, and the order can be resumed at that very state.
package saga

import (
	_ "embed"
	"encoding/json"
	"strings"
	"sync"
)

//go:embed order.asl.json
var definition string

// Resources are what the tasks of the machine call: function ARNs on AWS, names that flow dispatches on locally.
type Resources struct {
	Inventory, Order, Payment string
}

// LocalResources are the Resources of the single binary.
func LocalResources() Resources {
	const prefix = "arn:aws:lambda:local:000000000000:function:cloudflow-"
	return Resources{
		Inventory: prefix + "inventory-handler",
		Order:     prefix + "order-handler",
		Payment:   prefix + "payment-handler",
	}
}

// Definition is the machine with its Resources in place.
func Definition(r Resources) []byte { return Substitute([]byte(definition), r) }

// Substitute puts the Resources in place in a machine of somebody's own, the substitution that CloudFormation's DefinitionSubstitutions
// make on AWS. A machine that names none of them stays as it is.
func Substitute(definition []byte, r Resources) []byte {
	return []byte(strings.NewReplacer(
		"${InventoryHandlerArn}", r.Inventory,
		"${OrderHandlerArn}", r.Order,
		"${PaymentHandlerArn}", r.Payment,
	).Replace(string(definition)))
}

// Resumable reports whether an execution can go on at a state: whether the machine's first choice leads there.
func Resumable(state string) bool { return resumable()[state] }

var resumable = sync.OnceValue(func() map[string]bool {
	var machine struct {
		States map[string]struct {
			Choices []struct{ StringEquals string }
		}
	}
	if err := json.Unmarshal([]byte(definition), &machine); err != nil {
		panic(err) // the file is a part of the program, and every test runs it
	}
	states := map[string]bool{}
	for _, c := range machine.States[entry].Choices {
		if c.StringEquals != "" {
			states[c.StringEquals] = true
		}
	}
	return states
})
