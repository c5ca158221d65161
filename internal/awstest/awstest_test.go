package awstest

import (
	"testing"
)

func TestTheEmulatorStartsAndEnds(t *testing.T) {
	t.Run("while a test runs it answers", func(t *testing.T) {
		a, b := Start(t), Start(t)
		if a.URL == b.URL || !a.healthy() || !b.healthy() {
			t.Errorf("%s and %s", a.URL, b.URL)
		}
		t.Cleanup(func() {}) // the emulators end after this
	})
}
