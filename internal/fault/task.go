package fault

import "errors"

// MaxTaskMessage bounds what a state machine is told of an error, in bytes: far below the 32 KiB of a cause on Step Functions, also when each
// byte of it is escaped.
const MaxTaskMessage = 4 << 10

// OfTask is what a state machine is told of a task's error, whichever engine runs it: errorType and errorMessage. The kind is what Retry and
// Catch compare; the message is the one for callers, "" where there is none: what is internal stays in the log. A store that is away is
// Transient, since the machine knows one name for "try again".
func OfTask(err error) (kind Kind, message string) {
	kind = KindOf(err)
	if kind == Unavailable {
		kind = Transient
	}
	var f *Error
	if errors.As(err, &f) {
		message = Clip(f.Message, MaxTaskMessage)
	}
	return kind, message
}

// Clip cuts a text to at most n bytes, at a whole character.
func Clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}
