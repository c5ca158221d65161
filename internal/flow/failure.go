package flow

import (
	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/fault"
)

// A Failure is an error of which the machine is told the name and the cause as they are: of a task that speaks for somebody else, whose words the
// machine's Retry and Catch know. Of any other error it is told the fault's kind, and a cause as Lambda has it.
type Failure struct {
	Name, Cause     string // cut to 256 and 32,768 bytes, Step Functions' limits
	NoName, NoCause bool   // there is none: null in a Catch's error output, where an empty one is ""
}

func (f *Failure) Error() string { return f.Name + ": " + f.Cause }

// answer is that to the command which the failed attempt was to answer.
func (f *Failure) answer(of answer) *answer {
	return &answer{
		kind: asl.TaskFailed, id: of.id, state: of.state, attempt: of.attempt,
		name: fault.Clip(f.Name, MaxErrorBytes), cause: fault.Clip(f.Cause, MaxCauseBytes), noName: f.NoName, noCause: f.NoCause,
	}
}
