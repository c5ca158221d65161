// Package aslrun runs a state machine of the Amazon States Language on this machine, with mocks in place of its tasks and a virtual clock in place
// of time.
//
//	definition ──asl.Parse──> Machine ──┐
//	MockConfigFile.json ──ParseMocks────┼──Run.Do──> Result {status, output, error, cause, states, history}
//	input, --context ───────────────────┘
//
// # What it promises
//
// What asl decides is what AWS would do; here is only what a driver adds: who answers a task, and when. Tasks are answered by AWS's own
// mock file (https://docs.aws.amazon.com/step-functions/latest/dg/sfn-local-test-sm-exec.html), with one addition: DelaySeconds. The clock starts at
// the context object's Execution.StartTime, and only Wait, retry intervals, DelaySeconds and timeouts move it, at once. What is ready at the same
// virtual time goes on in the order of branches and iterations. So the same files give the same bytes, but for a generated name and start time.
//
// # What it refuses
//
// A task that is called and has no mock stops the run with an error and no Result: to make up an answer would hide the mistake. So does a mock file
// that says two things at once. It does not check what a mock returns against the service that it stands for.
//
// # Limits
//
// AWS's own: 262,144 bytes of a payload, 25,000 events of a history, which also end a machine that loops. There is no file, no network and no goroutine
// in here; a run ends early when its context does.
package aslrun
