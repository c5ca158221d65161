package observe

import (
	"fmt"
	"strings"
	"testing"
)

func TestTail(t *testing.T) {
	t.Run("has the lines with a text, the oldest first, without their ends", func(t *testing.T) {
		tail := NewTail()
		for i := range 5 {
			n, err := fmt.Fprintf(tail, "{\"order_id\":\"ord-%d\",\"n\":%d}\n", i%2, i)
			if n == 0 || err != nil {
				t.Fatal(n, err)
			}
		}
		if got := strings.Join(tail.Lines("ord-1"), " "); got != `{"order_id":"ord-1","n":1} {"order_id":"ord-1","n":3}` {
			t.Errorf("it has %s", got)
		}
		if got := tail.Lines("ord-2"); got != nil {
			t.Errorf("it has %s", got)
		}
	})
	t.Run("forgets the oldest line first when it has enough of them", func(t *testing.T) {
		tail := NewTail()
		for i := range tailLines + 3 {
			fmt.Fprintf(tail, "line %d.\n", i)
		}
		if all := tail.Lines("line"); len(all) != tailLines || all[0] != "line 3." {
			t.Errorf("it has %d, from %s", len(all), all[0])
		}
	})
	t.Run("has no more than its bytes, however long the lines", func(t *testing.T) {
		tail := NewTail()
		long := strings.Repeat("x", MaxLineBytes)
		for i := range 300 {
			fmt.Fprintf(tail, "%d %s\n", i, long)
		}
		all := tail.Lines("x")
		size := 0
		for _, l := range all {
			size += len(l)
		}
		if size > tailBytes || size < tailBytes-2*MaxLineBytes || !strings.HasPrefix(all[len(all)-1], "299 ") {
			t.Errorf("it has %d bytes in %d lines", size, len(all))
		}
	})
	t.Run("does not keep what its caller writes into again", func(t *testing.T) {
		tail, line := NewTail(), []byte("first\n")
		_, _ = tail.Write(line)
		copy(line, "other\n")
		if got := tail.Lines("first"); len(got) != 1 {
			t.Errorf("it has %v", got)
		}
	})
}
