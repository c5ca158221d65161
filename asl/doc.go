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
// seed of all chance, such as a retry's jitter. Clone lets a driver see what an event leads to before it has committed it.
//
// # Values
//
// JSON values are nil, bool, json.Number, string, []any and map[string]any, as DecodeJSON makes them. They are shared
// between states, commands, history and executions, and nobody changes one in place: ResultPath copies the objects on its
// way and shares the rest. Numbers keep their text. AWS's limit of 262,144 bytes on a payload is held with a bound that
// each step carries along, and the value is walked only when that bound passes the limit.
//
// # Failures
//
// Task failures pass Retry, then Catch; what neither takes ends the execution as FAILED. What the engine itself finds
// wrong (States.Runtime, a payload that the state made too large) passes neither, as on AWS; a result path that does not
// fit its input (States.ResultPathMatchFailure) passes both. Causes have AWS's words where they are known, with the
// number that the state's entry has in AWS's history: Start.Observe is shown that history. An execution ends FAILED at
// AWS's limit of 25,000 events (looked at where a state is entered or retried, so a task may pass it by a few), which also
// ends a machine that loops without waiting. Nothing here panics over a
// definition, an input or an event.
//
// # What is supported
//
// Task (plain resources and request-response integrations), Choice with all operators, Pass, Wait, Succeed and Fail;
// Retry, Catch, timeouts and heartbeats, the machine's TimeoutSeconds; InputPath, Parameters, ResultSelector, ResultPath,
// OutputPath, the context object; JSONPath and the intrinsic functions.
//
// Parse refuses by name, "... not supported yet": Parallel and Map, JSONata, variables (Assign), .sync and
// .waitForTaskToken, Credentials. The shape
// is made for them: the frame of the running state stands in a scope, of which an Execution has one today and later a tree;
// open commands point to their scope; a definition's values are compiled expressions, of which a payload template is one.
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
