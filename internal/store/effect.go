package store

import "context"

// An Effect is the last commit of a task, returned as a value. In the single binary flow makes it together with its
// own journal entry: one sync, exactly once. On AWS the Lambda adapter makes it alone, and what it stages answers the repeat.
type Effect struct {
	// Stage stages the task's writes and returns its result (a JSON value: what json.Marshal takes). It may run again
	// and touches nothing but tx; an error stages nothing. A nil Stage writes nothing, and the result is Result.
	Stage func(tx *Tx) (result any, err error)
	// Result is the task's result where Stage is nil: a repeated call that found its work done.
	Result any
	// Refused turns a refusal of the commit into the business error, such as InsufficientStock. nil, or a nil
	// error, leaves the refusal as it is: an internal error.
	Refused func(r *Refusal) error
	// Committed is called once the commit is durable, at most once and not at all after a crash: for logs, metrics
	// and waking those who wait, never for work that must be done.
	Committed func()
	// After is an at-least-once send that follows the commit (AWS); nil locally, where queue sends are staged.
	After func(ctx context.Context) error
}

// Commit makes the effect on its own: all that the Lambda adapter adds to a handler.
func Commit(ctx context.Context, s Store, e Effect) (any, error) {
	result := e.Result
	if e.Stage != nil {
		err := s.Update(ctx, func(tx *Tx) error {
			var err error
			result, err = e.Stage(tx)
			return err
		})
		if err != nil {
			return nil, e.Refusal(err)
		}
	}
	if e.Committed != nil {
		e.Committed()
	}
	if e.After != nil {
		if err := e.After(ctx); err != nil {
			return nil, err
		}
	}
	return result, nil
}

// Refusal is err as the effect's caller should see it: a refusal becomes the effect's business error, any other error stays.
func (e Effect) Refusal(err error) error {
	if r := RefusalOf(err); r != nil && e.Refused != nil {
		if business := e.Refused(r); business != nil {
			return business
		}
	}
	return err
}
