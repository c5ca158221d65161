// Package awslambda is the shape on AWS: the services of package app behind the events that Lambda gives a function. One binary is every
// function; CLOUDFLOW_HANDLER says which (environment.go has all variables).
//
//	API Gateway ----------> order-, inventory-, payment-handler --> httpapi, of its own paths alone
//	Step Functions -------> the same functions                  --> saga.Table, store.Commit, the effect's After
//	SQS ------------------> notification-handler                --> notification.Handle
//	stream of the orders -> stream                              --> the execution's start, then EventBridge
//	the clock ------------> sweeper, expirer, dlq
//	status changes -------> review                              --> ORDER_REVIEW
//	API Gateway ----------> authorizer                          --> auth/token
//
// It promises: an adapter adds no rule to what it calls; every event may come twice; an error of a task reaches Step Functions under the name of its
// fault.Kind, and with a text that was written for callers or none; a panic is Transient; what a function has counted and traced is
// written out before its invocation ends, since the process may be frozen after it.
//
// It keeps nothing. A function that is killed in the middle has done whole commits, and whoever called it calls again.
package awslambda
