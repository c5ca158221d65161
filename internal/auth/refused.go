package auth

import "github.com/utkarsh698/cloudflow/internal/fault"

// Refused is fault.Unauthorized for credentials that were given and are not good. The caller hears the same whatever is wrong: what would
// help an honest one to mend it would help the other to guess. The reason is for the log; it holds no part of a secret.
func Refused(reason error) error {
	return fault.Wrap(fault.Unauthorized, reason, "The credentials are not valid.")
}

// ErrMissing is fault.Unauthorized for a call that brought no credentials.
var ErrMissing = fault.New(fault.Unauthorized, "This call needs credentials: Authorization: Bearer, and a token or an API key.")
