// Package asl decides: it steps an execution of a state machine written in the Amazon States Language.
package asl
