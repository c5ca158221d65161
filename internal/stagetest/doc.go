// Package stagetest deploys the five stacks to an emulator of AWS, as tools/local-aws does it for a person, and drives them from outside: through
// API Gateway, as customers and operators do, with their payments, cancellations, poisoned messages and lost starts. What came of it is read from the
// tables, the queues and the executions' histories, and held against the invariants by `cloudflow verify --aws`.
//
// Between the functions and the emulator stands a proxy (awstest.Proxy), so that a call of theirs can fail, be lost, or be answered with a lie. A second
// stage runs with IAM enforced, over TLS, and asks callers who they are: what a role does not allow fails there.
//
// The saga's scenarios (parities) are run on flow too, in this process, and the two ways and ends are compared: docs/aws-emulator.md says what is, and
// what the emulator does otherwise than AWS.
//
// Two runs share nothing: each has an emulator, a port and a directory of its own. `make test-aws` runs it; anything else skips, for it takes minutes.
package stagetest
