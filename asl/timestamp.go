package asl

import "time"

// parseTimestamp reads an RFC 3339 timestamp as the States Language profiles it: with 'T', seconds and an offset, 'T'
// and 'Z' in upper case. time.Parse alone would also take one-digit hours and a comma before the fraction.
func parseTimestamp(s string) (time.Time, bool) {
	const shape = "dddd-dd-ddTdd:dd:dd"
	if len(s) <= len(shape) {
		return time.Time{}, false
	}
	for i := range len(shape) {
		if digit := '0' <= s[i] && s[i] <= '9'; digit != (shape[i] == 'd') || !digit && s[i] != shape[i] {
			return time.Time{}, false
		}
	}
	if s[len(shape)] == ',' {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	return t, err == nil
}

// formatTimestamp writes a time as the context object shows it: UTC, milliseconds.
func formatTimestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
