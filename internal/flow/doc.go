// Package flow is the durable driver of asl: asl decides, flow acts. It runs executions of one machine over the store
// port, keeps their journal and their timers, calls their tasks, and goes on after a crash where it stood.
//
//	Stage (in the caller's commit)          ┌────────── Engine ──────────┐
//	head + index ──────────────► Begin ───► │ ready ──► worker (512)     │      ┌───────┐
//	                                        │   ▲         │  replay?     │ ───► │ task  │ a function
//	index of open executions ─► recovery ─► │   │         │  RunTask     │ ◄─── │       │ its last commit
//	                                        │ asleep ◄────┤  StartTimer  │      └───────┘ is a value
//	                                        │ (one heap)  │              │
//	                                        └─────────────┼──────────────┘
//	                                                      ▼
//	                      one commit: the task's writes + the journal entry (+ the end, + OnFailed)
//
// # What it promises
//
//   - An execution whose start was committed comes to its end, whatever crashes in between, as long as the process is
//     started again.
//   - A task is called at least once for each attempt; its Effect takes place exactly once for each attempt that the journal
//     calls succeeded: the two are one commit. A task that only stages (Options.StagedOnly) rides in the commit of the
//     one before it, each with its own entry, unless others run beside it; any other has one synced commit of its own. The start rides in the caller's
//     commit, the end in that of the last task.
//   - Persist before act: what follows from an answer (the next task, a timer) begins when the answer is durable. So an attempt's
//     name, "<execution>/<command>.<n>", is the same when it runs again after a crash.
//   - An execution goes on with the definition that it started with. Definitions are kept under their hash.
//   - OnFailed's writes are committed together with the end that is not SUCCEEDED.
//
// It refuses: a second execution of one name while the first is kept (a refusal of the caller's commit); inputs and results over 256 KiB; a task whose
// effect has an After (a send is staged here).
//
// # The life of an execution
//
// Start begins one in a commit of its own; with the same name and input again it is the same execution, with another input it is refused. A
// name is taken as long as the head is kept, and with it the input or, when the journal was deleted, the input's hash. Stop ends one as
// ABORTED, from beside: its entry takes the next number in the journal, so that either it or the execution's own answer is refused; one that
// was too late reads what is new and tries again. Then the contexts of its tasks end, and it is woken if it sleeps. Head, Summary and Describe
// show one, List and Running many. Check replays all of them on a changed machine and says which would diverge, and where.
//
// Redrive lets one that ended without success go on as itself where it did not succeed, if RedriveWithin says so; asl's doc.go has what
// becomes of each state. One commit has the journal entry, the head, which is RUNNING again, and the place in the index, and stands on the
// head that was replayed: of two redrives one is made, and none of an execution whose journal is being deleted. Who had no answer repeats with
// the same token. What a task of the earlier life still returns is dropped, and a Stop reaches the life that it ended. What was handed out was
// closed by the end: it is handed out again, under another token, and children are started anew. A child may be redriven by itself, but its
// parent hears of its first end alone, unless it had not yet looked. OnFailed is asked at each end. The orders' engine redrives nothing: their
// saga resumes in an execution of its own, with members that are signed anew.
//
// What has ended is deleted in two steps, the journal with the input, then the head, after which the name is free. Either the owner says when
// (ForgetJournal, StageForget: orders are kept for seven years), or the engine does by itself: Keep after the end the journal goes, and 90
// days after the end, or with the journal if that is later, the name is free, as on Step Functions, which counts from the end as well. Run
// walks over the heads once an hour, two thousand entries a second where nothing is due, and deletes at most a hundred rows in a commit; no
// lock is held and no index kept. Each deletion looks again whether it is due, so that it takes nothing from an execution that was redriven or
// has a freed name.
//
// # Side by side
//
// The branches of a Parallel and the iterations of a Map run beside one another: while an execution waits for more than one command its tasks
// are errands, which any worker carries out, and its timers fire when they are due, whatever runs. Each task has its own attempts, timeout,
// Retry and Catch. What comes back is committed by one worker, one answer after the other: the journal is one sequence, and it alone says
// who was first. While an execution waits for a single task its own worker runs it, as that of an order does at all times.
//
//   - A task whose command is cancelled (a branch beside it failed, the execution ended) has its context ended. What it returns later is
//     dropped with all that it staged, as is what an attempt returns after its timeout. It may have called the outside: so may any attempt.
//   - Fairness: however many tasks an execution has, they have one place in the queue. A worker takes one of them, and the execution goes to the
//     end for its next. So for its next turn nobody waits for more than one task of each other execution, and a worker that is free. To read its
//     journal is a turn, too.
//   - A timeout counts from when the function is called, not from when the task was asked for: what waits for a worker does not time out.
//   - RunOne carries out the tasks one after the other, in the order in which the machine asked for them: a simulation is the same each time.
//
// # Tasks that others do
//
// A task whose resource ends in .waitForTaskToken is handed out: its function gives the token of its call to whoever does the work, and
// returns. The effect of that and the entry TaskSubmitted are one commit; from then on the execution waits, for a year if it must, with no worker and no
// more memory than one that sleeps. SendTaskSuccess and SendTaskFailure answer it and return when the answer is durable: it is committed
// by the execution's own worker, as that of a function is. Who repeats an answer is told that the task is closed (fault.TaskTimedOut).
//
//   - Timeouts count from when the task was handed out, and go on counting while no process runs. A heartbeat is a write to the task's row
//     beside the journal. The commit that would tell of a silence reads that row, so that either it or the heartbeat is refused.
//   - A token is signed with a key of its execution. Another attempt has another token, and the old one is closed.
//   - A resource without a function is one that nobody is told of: who asks HandedOut finds its tasks, as a worker of Step Functions' activities
//     polls for them.
//   - HandedOut lists what waits for an answer, with tokens and inputs: whoever may see it may answer.
//   - A function that answers the task of another execution holds its worker while it waits for one that commits the answer. Where all workers may be
//     at such functions they need timeouts.
//
// # Executions that start others
//
// A task of arn:aws:states:::states:startExecution needs no function: the engine starts an execution of one of Options.Children, in the commit
// that says so in the parent's journal. With .sync (and .sync:2) the parent waits for the child's end as for a callback, and its result is
// what Step Functions gives. The child is an execution as any other, which Describe, List and Stop know; only OnFailed is not told of its
// failure, which the parent hears. When the parent's task is closed by something else the child is stopped, at the next start if the process
// dies in between. Executions start one another 32 deep at most.
//
// # What it keeps
//
// Table "flow". An execution's partition is its name: "head" (status, input, the definition's hash, start, seed), then one entry for each
// answer, "j#0000000001" and on: its kind, the command's ID, the time, the seed of the step, and the task's result or its error. Of a machine
// that hands tasks out the head has the key of the tokens, and each task that is handed out has a row in one of 16 other partitions, "task#00"
// and on. Inputs of tasks are not kept, nor is the history: asl is a pure function of the head and the entries, so both are rendered by
// replaying. The index has an item for each open execution in one of 16 partitions, "open#00" and on, written with the start, deleted with the
// end.
//
// What a task returns is turned into JSON and read back before the machine sees it, so that the process which ran
// the task and one which only reads the journal can not differ. For the same reason times are cut to milliseconds.
//
// # Why there is no epoch
//
// Each entry is a Put at the next number with the condition that nothing stands there. Whoever answers a command that was answered
// already, by another engine on the same store or by itself before a lost reply, is refused, drops what it holds, and reads the journal.
// An epoch on the head would cost an operation in each commit and would protect nothing more: it would stop the stale engine a
// step earlier, but not from calling the task twice, which tasks have to bear anyway.
//
// # What happens on failure
//
//   - The process dies: at the next start the index is read, a page at a time, and the journals as workers come to them. A task that was
//     in flight runs again as the same attempt, and so does each of several. A timer that is overdue fires.
//   - A task fails, or its Stage does: its writes are dropped and the failure alone is committed: the error is the fault's
//     kind, the cause {"errorType", "errorMessage"} as Lambda has it. The text of an internal error stays in the log. Unavailable is
//     Transient: a machine knows one name for "try again". A Failure has the words of whom the task speaks for, and is told as it is.
//   - A condition or floor of the task's writes does not hold: the same, with the error that Effect.Refused makes of it.
//   - A task panics: Transient, and the stack is in the log. (In a simulation, a panic with a value that has
//     a method SimulatedCrash() is the death of the process and passes through RunOne.)
//   - A task takes longer than its timeout: it runs in a goroutine of its own, its context ends, its execution goes on with
//     States.Timeout, and what it returns later is dropped. A function sends no heartbeats, so HeartbeatSeconds is a second timeout of it. The
//     machine's own TimeoutSeconds end a running task in the same way, and each of several that run side by side.
//   - The store does not answer, or answers that it does not know (fault.Transient, fault.Unavailable): the answer is kept in memory, the
//     execution sleeps, from 20 ms doubling to 10 s, half of it by chance, for as long as it takes, and holds no worker. Then the
//     journal is read: either the answer is in it, or the same effect is staged again. The task is not called again.
//   - OnFailed fails, a journal cannot be read, a step panics, a task of an older definition is missing in this build: the execution
//     sleeps in the same way, with an error in the log at each try. It is never given up: all four are mended by another build.
//   - The clock is set back: the journal's times stand still until it has caught up, and a heartbeat of the time before counts until then.
//   - ctx of Run ends: no task is started; those in flight have Grace to finish and commit, then their context is
//     cancelled and they run again at the next start. Who ignores even that for 5 s is left behind, and its commit is not made.
//
// # Limits
//
//   - 512 executions are advanced, and tasks run, at once (Workers), of one execution a quarter as many (PerExecution): four that have thousands
//     of slow tasks each are needed to hold all workers, and then the next one that is free is anybody's. A worker is held while a task runs,
//     and the slowest waits 12 s for a payment provider: at 40 orders a second all of them waiting, 512 is enough; at the target rate tasks take
//     a millisecond and four would do. It also bounds the commits that wait for one sync. Of those that have nothing to do, 128 wait for more
//     and the others end.
//   - As many tasks as there are workers may outlive their timeout; then no further task that has a timeout starts until one returns. Each is a
//     goroutine that nobody can end, so without a limit a provider that hangs would eat the memory.
//   - Open executions are limited by memory (BenchmarkOpenExecutions): one that is running has about 2.9 KB, one that sleeps for more than a
//     minute, or waits for an answer, has dropped all but its name and its time, about 270 bytes, and reads its journal when it wakes. One that
//     waits for more than 16 answers stays, with about 830 bytes for each, since to read its journal for each would take the square of their
//     number. There is no limit at which a Begin would be refused, since the start that it tells of is committed already; whoever accepts orders
//     limits them, and asks Load: how many are open, how many of them wait for a worker, and for how long the first of these has.
//   - 256 KiB for an input or a result, 80 bytes for a name: Step Functions' limits, so that what runs here runs there.
//     25,000 history events for an execution: asl's, for the same reason.
//   - A commit costs the same however many tasks are open beside its own: it steps a clone, which shares what it does not change. A Map
//     of 10,000 items has all of them open at once, as AWS grants it, and takes some ten times as long as one of 1,000.
//   - A task without a timeout that ignores that it was cancelled holds its worker until it returns.
//   - Any other Task with .sync is called as one without: its function does the whole job, and its result is the answer.
//   - Ended executions stay in the store, as the orders' record of what was done, until somebody calls ForgetJournal or Keep is over.
//     Definitions stay: each is kept once, under its hash.
//   - A history that is full is not redriven, nor is an execution a year after its start, or RedriveWithin after its end: Step Functions' limits.
package flow
