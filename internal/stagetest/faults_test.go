package stagetest

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/awstest"
)

// faults are what calls of the functions to AWS meet on their way.
type faults struct {
	mu      sync.Mutex
	rules   []*rule
	refused []string // calls that IAM did not allow
}

// A rule makes trouble of the calls that it is for.
type rule struct {
	operation string   // such as TransactWriteItems
	about     []string // what the request holds: all of these, such as an order's id and a table
	times     int      // how often; below 0: until the rule is lifted
	trouble   awstest.Trouble
	// then is told of each request that met the rule, and says which rules there are from now on: what they are about may only be known by it. nil: none.
	then func(body string) []rule

	made int
}

// before puts the faults before the emulator, and returns where to ask instead.
func (f *faults) before(t *testing.T, e *awstest.Emulator) (url string) {
	t.Helper()
	p := e.Before(t)
	p.Disturb(f.meet)
	p.Watch(f.answered)
	return p.URL
}

func (f *faults) answered(operation string, status int, reply []byte) {
	if status >= http.StatusBadRequest && strings.Contains(string(reply), "AccessDenied") {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.refused = append(f.refused, operation+": "+string(reply))
	}
}

// denied are the calls that IAM did not allow.
func (f *faults) denied() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.refused)
}

func (f *faults) meet(operation string, body []byte) awstest.Trouble {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.rules {
		if r.times != r.made && r.isFor(operation, string(body)) {
			r.made++
			if r.then != nil {
				for _, next := range r.then(string(body)) {
					f.rules = append(f.rules, &next)
				}
			}
			return r.trouble
		}
	}
	return awstest.Trouble{}
}

func (r *rule) isFor(operation, body string) bool {
	if r.operation != operation {
		return false
	}
	for _, text := range r.about {
		if !strings.Contains(body, text) {
			return false
		}
	}
	return true
}

// make adds a rule until the test ends, or until it is lifted. A rule that nothing has met by then is a failure: the test has not tested.
func (f *faults) make(t *testing.T, r rule) *made {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = append(f.rules, &r)
	m := &made{f, &r}
	t.Cleanup(func() {
		m.lift()
		if !m.met() {
			t.Errorf("nothing met the trouble of %s about %v", r.operation, r.about)
		}
	})
	return m
}

// made is a rule that was made.
type made struct {
	f *faults
	r *rule
}

// lift ends the trouble.
func (m *made) lift() {
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	m.r.times = m.r.made
}

// met says whether anything has met it.
func (m *made) met() bool {
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	return m.r.made > 0
}
