package app

import (
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

// chance makes ids and seeds from one source, under a lock.
type chance struct {
	mu  sync.Mutex
	rnd *rand.Rand
}

func newChance(r *rand.Rand) *chance {
	if r == nil {
		r = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	return &chance{rnd: r}
}

func (c *chance) seed() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rnd.Uint64()
}

// fork is a source of its own, for who locks for himself.
func (c *chance) fork() *rand.Rand { return rand.New(rand.NewPCG(c.seed(), c.seed())) }

// newID makes ids such as ord-01JD...: a prefix and a ULID, so that they sort by the time of their making.
func (c *chance) newID(now func() time.Time) func(prefix string) string {
	entropy := ulid.Monotonic(reader{c}, 0)
	return func(prefix string) string {
		c.mu.Lock()
		defer c.mu.Unlock()
		id, err := ulid.New(ulid.Timestamp(now()), entropy)
		if err != nil { // 2^80 ids in a millisecond
			id, _ = ulid.New(ulid.Timestamp(now()), reader{c})
		}
		return prefix + id.String()
	}
}

// reader reads chance; its caller holds the lock.
type reader struct{ c *chance }

var _ io.Reader = reader{}

func (r reader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r.c.rnd.Uint32())
	}
	return len(p), nil
}
