// Package asl decides what an execution of an Amazon States Language machine does next. It acts on nothing: no clock,
// no goroutine, no I/O, no chance of its own, and it imports the standard library alone.
//
//	definition ──Parse──> Machine ──Start──> Execution ──Commands──> driver (runs tasks, sets timers)
//	                                             ^                      │
//	                                             └──────── Events ──────┘ (journals each event, then steps)
//
// # Decide and act
//
// An Execution is a pure function of the definition, its Start and the Events so far: the same Start and Events give the
// same Commands with the same IDs, the same history and the same output. So a driver need store nothing but events. It
// commits an event before it carries out the commands that follow from it; after a crash it replays the journal and asks
// again for what is still open. An event for a command that is not open is ErrStale and changes nothing, so a late or a
// repeated answer does no harm. Time comes with each event (a year of Wait takes a microsecond in a test), and so does the
// seed of all chance, such as a retry's jitter. Clone lets a driver see what an event leads to before it has committed it; it and the step after it cost
// what the step does, however many branches and iterations there are, since clones share what they do not change.
//
// # Values
//
// JSON values are nil, bool, json.Number, string, []any and map[string]any, as DecodeJSON makes them. They are shared
// between states, commands, history and executions, and nobody changes one in place: ResultPath copies the objects on its
// way and shares the rest. Numbers keep their text. AWS's limit of 262,144 bytes on a payload is held with a bound that
// each step carries along, and the value is walked only when that bound passes the limit.
//
// # Scopes
//
// An execution is a tree of scopes: the machine's own, below it one for each branch of a Parallel state and each
// iteration of a Map state that is in progress, as deep as the definition goes. Each has its own state, attempts,
// open command and variables. Scopes take turns, a state each, in the order in which they became ready: branches and
// iterations start in index order, at most MaxConcurrency iterations at a time (40 of an inline Map and 10,000 of a
// distributed one at most, as on AWS), and advance side by side. A failure that no state of a scope takes fails the
// Parallel or Map state around it, whose Retry and Catch see it; what still runs below that is aborted, with a Cancel
// for each command that the driver knows of. A retry runs all of it again.
//
// An iteration of a distributed Map is an execution of its own on AWS. Here it runs over the items in the state's
// input, with a history of its own that nobody sees: what ends an execution ends the iteration, which then counts as
// failed and stands among the results as {"Status":"FAILED","Error":...,"Cause":...} if that is tolerated. What AWS
// leaves on S3 is refused where the state runs: an ItemReader fails with States.ItemReaderFailed, a ResultWriter that
// has a Resource with States.ResultWriterFailed, which Retry and Catch see.
//
// # Failures
//
// Task failures pass Retry, then Catch; what neither takes fails the scope, and in the end the execution. What the
// engine itself finds wrong (States.Runtime, a payload that the state made too large) passes neither, not even around
// the state, as on AWS; a result path that does not fit its input (States.ResultPathMatchFailure) passes both. Causes
// have AWS's words where they are known, with the number that the state's entry has in AWS's history: Start.Observe
// is shown that history.
//
// # Redrive
//
// An execution that ended without success is not over: Redriven lets it go on, as RedriveExecution does, in every state that was entered and not left.
// A task is scheduled again, a Wait and a Choice begin again, a Fail state fails again. Of a Parallel or a Map state only those branches and
// iterations go on that did not succeed, each where it stood; of a distributed Map also those whose failure would have been tolerated, but
// for one whose own history is full. What succeeded keeps its output, scopes keep their variables. All attempts are counted anew and
// TimeoutSeconds begin again. The history goes on with ExecutionRedriven and its numbers, MapRunRedriven and, for an iteration whose end was told, another
// MapIterationStarted; a state that goes on is not entered again, but for Fail. Commands go on counting, so that a late answer to what was asked
// before is stale. A Parallel or a Map whose output as a whole was too large runs again as a whole. So does one that was ended while it
// waited for its next attempt, as that attempt would have.
//
// # Limits
//
// A payload has at most 262,144 bytes of JSON: the execution's input, a task's result, what Parameters, ItemSelector
// and ResultSelector make, a Parallel's or Map's result, a state's output. A history has at most 25,000 events; it is
// looked at where a state is entered or retried, so tasks and aborted branches may pass it by a few. It also ends a
// machine that loops without waiting. Ours are: 500,000 events in the histories of all iterations of distributed
// Maps, 100,000 branches and iterations at a time, Parallel and Map states 25 deep within one another, 512 levels of
// a JSON value, 1 MiB of a definition. Nothing here panics over a definition, an input or an event, and no step is
// without end.
//
// # Query languages and variables
//
// A machine speaks JSONPath or JSONata (QueryLanguage), and a state of a JSONPath machine may speak JSONata; the states
// inside of a Parallel or a Map speak the machine's language, not that of the state around them. Each field of the other
// language is refused. JSONata comes from outside, as an Evaluator (asl/jsonata has one), for this package imports
// the standard library alone: Parse(definition, WithEvaluator(e)). Expressions are compiled by Parse, and evaluated with the step's time and a seed
// drawn from the event's, so that $now, $random and $uuid are the same on a replay.
//
// A state's fields see the variables as they were when it was entered: what its Assign sets, or that of a Choice rule or a
// Catcher, is set at once when it is left. A branch or an iteration has a scope of its own, reads the scopes around it
// (but for a distributed Map's), and may not assign what one of them assigns, which Parse refuses. $ is in Assign the
// result as it came, before ResultSelector, the error output in a Catcher and the effective input in Choice and Wait.
// An Assign that sets more than 256 KiB, or more than 10 MiB with all that is set, is States.DataLimitExceeded.
//
// An expression that fails, has no value or one of another type is States.QueryEvaluationError. Other than what goes wrong
// with a path it passes Retry and Catch, as on AWS, and has an EvaluationFailed event.
//
// # What is supported
//
// The whole of the States Language. Task: plain resources, activities, request-response integrations, .sync, .sync:2 and
// .waitForTaskToken (the command carries the $$.Task.Token, and the answer is the job's or the callback's), Credentials
// with a RoleArn, timeouts and heartbeats. Choice with all operators, Pass, Wait, Succeed and Fail. Parallel. Map:
// ItemProcessor and Iterator, INLINE and DISTRIBUTED, ItemsPath and Items, ItemSelector and Parameters, ItemBatcher,
// MaxConcurrency, ToleratedFailureCount and ToleratedFailurePercentage, each with its Path, Label; of a ResultWriter
// without a Resource the Transformation. Retry and Catch of all three; the machine's TimeoutSeconds; InputPath,
// Parameters, ResultSelector, ResultPath, OutputPath, the context object; JSONPath and the intrinsic functions; JSONata
// with Arguments, Output and Condition; variables. What reads from S3 or writes to it fails where it is entered.
//
// # Paths and intrinsic functions
//
// AWS evaluates a JSONPath with an early release (2.0) of Jayway's JsonPath, and so does this package, quirks included. A
// path of members and indexes names one node, and what is missing is a failure with AWS's words. A path with *, .., a
// slice, a union of indexes or a filter is always an array, the empty one where nothing matches, even where a member
// before the * is missing. A union of names gives one object and ends the path. Functions such as length() are names of
// members, which nothing has. A filter matches objects and arrays, no scalars, and has Jayway's operators, with Go's
// regular expressions: linear in time, without lookaround. Of an object, * and .. take the members by name: values keep no
// order of their own, where AWS keeps that of the text. Where AWS wants a Reference Path (ResultPath, Choice's Variable
// and ...Path, every other ...Path of a number or a time) only one of one node is accepted.
//
// Intrinsic functions stand where AWS has them: in payload templates, ErrorPath and CausePath, ten in a field. They fail as
// on AWS: with States.Runtime, which no Catch sees, not with the specification's States.IntrinsicFailure. Chance
// (States.UUID, States.MathRandom) is drawn from the event's seed.
//
// Both are bounded: an evaluation of a template or of a Choice state may take about four million steps and make 16 MiB of
// text on the way, and fails with States.Runtime beyond.
//
// Two choices where AWS's documents leave one: strings are ordered by code point, and numbers with a fraction or an
// exponent are compared as float64 while integers are compared exactly.
package asl
