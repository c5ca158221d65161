package sagagraph

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/saga"
)

func machine(t interface{ Fatal(...any) }, definition string) *asl.Machine {
	m, err := asl.Parse([]byte(definition))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func orderGraph(t *testing.T) Graph {
	return New(machine(t, string(saga.Definition(saga.LocalResources()))))
}

// states writes a definition whose start is the first state: "A Task B catch C" is a task that goes on with B, "A Choice B C" a choice
// with the default C, "A Succeed" an end.
func states(lines ...string) string {
	all, start := map[string]any{}, ""
	for _, line := range lines {
		f := strings.Fields(line)
		if start == "" {
			start = f[0]
		}
		next, catch := f[2:], []string(nil)
		if i := slices.Index(next, "catch"); i >= 0 {
			next, catch = next[:i], next[i+1:]
		}
		all[f[0]] = state(f[1], next, catch)
	}
	text, _ := json.Marshal(map[string]any{"StartAt": start, "States": all})
	return string(text)
}

func state(kind string, next, catch []string) map[string]any {
	s := map[string]any{"Type": kind}
	switch kind {
	case "Task":
		s["Resource"] = "arn:aws:lambda:local:0:function:f"
	case "Wait":
		s["Seconds"] = 1
	case "Choice":
		var rules []any
		for _, n := range next {
			rules = append(rules, map[string]any{"Variable": "$.x", "IsPresent": true, "Next": n})
		}
		s["Choices"], s["Default"] = rules, next[len(next)-1]
		return s
	case "Succeed", "Fail":
		return s
	}
	var catchers []any
	for i, n := range catch {
		on := "E" + string(rune('a'+i))
		if i == len(catch)-1 {
			on = "States.ALL"
		}
		catchers = append(catchers, map[string]any{"ErrorEquals": []string{on}, "Next": n})
	}
	if len(catchers) > 0 {
		s["Catch"] = catchers
	}
	if len(next) > 0 {
		s["Next"] = next[0]
	} else {
		s["End"] = true
	}
	return s
}

func compensation(g Graph) (names []string) {
	for _, n := range g.Nodes {
		if n.Compensation {
			names = append(names, n.Name)
		}
	}
	slices.Sort(names)
	return names
}

func TestCompensationIsWhatOnlyAFailureLeadsTo(t *testing.T) {
	for _, c := range []struct {
		rule  string
		graph Graph
		want  []string
	}{
		{"the order saga's: what resolves, refunds, releases and tells of the failure", orderGraph(t), []string{
			"CompensateOrder", "FailOrder", "PaymentResolved", "RecordPaymentFailure", "RefundPayment", "ReleaseStock", "ResolvePayment",
		}},
		{"a catcher's target, what follows it, and both ways of a choice that follows", New(machine(t, states(
			"A Task B catch U", "B Succeed", "U Pass C", "C Choice V W", "V Fail", "W Fail"))), []string{"C", "U", "V", "W"}},
		{"where both sides meet is none", New(machine(t, states(
			"A Task B catch U", "U Pass B", "B Succeed"))), []string{"U"}},
		{"a first choice that resumes in the middle is no way to it", New(machine(t, states(
			"R Choice A U", "A Task B catch U", "B Succeed", "U Fail"))), []string{"U"}},
		{"a later choice is a way to it", New(machine(t, states(
			"A Pass R", "R Choice B U", "B Task C catch U", "C Succeed", "U Fail"))), nil},
		{"two branches of a first choice that lead to each other are no jumps", New(machine(t, states(
			"R Choice A B", "A Task B catch Z", "B Task A catch Z", "Z Fail"))), []string{"Z"}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			if got := compensation(c.graph); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestTheOrderSagaIsReadable(t *testing.T) {
	g := orderGraph(t)
	t.Run("few lines cross", func(t *testing.T) {
		if g.Crossings > 6 {
			t.Errorf("%d crossings; an order with 6 is known", g.Crossings)
		}
	})
	t.Run("the way to success is one straight line", func(t *testing.T) {
		way := []string{"Enter", "ReserveStock", "RecordReservation", "ChargePayment", "ConfirmOrder", "CommitReservation", "NotifyCustomer", "Done"}
		for i := 1; i < len(way); i++ {
			for _, e := range g.Edges {
				if e.From == way[i-1] && e.To == way[i] && e.Kind == Next && (len(e.Points) != 2 || e.Points[0].X != e.Points[1].X || e.Points[0].X != middle(g.Nodes[0])) {
					t.Errorf("%s to %s goes by %v", e.From, e.To, e.Points)
				}
			}
		}
	})
	t.Run("it fits a screen's width", func(t *testing.T) {
		if g.Width > 1200 || g.Height > 1600 {
			t.Errorf("it is %d by %d", g.Width, g.Height)
		}
	})
	t.Run("eleven ways lead into its middle, and loops there are none", func(t *testing.T) {
		jumps := 0
		for _, e := range g.Edges {
			if e.Jump {
				jumps++
			}
			if e.Back {
				t.Errorf("%s to %s is a loop", e.From, e.To)
			}
		}
		if jumps != 11 { // of the first choice's thirteen ways those to ReserveStock and UnknownResume are the ordinary ones
			t.Errorf("%d jumps", jumps)
		}
	})
}

func middle(n Node) int { return n.X + n.Width/2 }

// aDefinition draws a machine that asl takes: chains, choices, catchers, loops, states that catch themselves, with the names given.
func aDefinition(t *rapid.T, names []string) string {
	n := len(names)
	next, catch := make([][]string, n), make([][]string, n)
	attach := func(from, to int, asCatch bool) {
		name := names[to]
		if slices.Contains(next[from], name) && !asCatch || slices.Contains(catch[from], name) {
			return
		}
		if (asCatch || len(catch[from]) > 0 && len(next[from]) > 0) && len(next[from]) <= 1 {
			catch[from] = append(catch[from], name)
		} else {
			next[from] = append(next[from], name)
		}
	}
	for i := 1; i < n; i++ {
		attach(rapid.IntRange(max(0, i-4), max(0, min(i-1, n-2))).Draw(t, "parent"), i, rapid.IntRange(0, 3).Draw(t, "catch") == 0)
	}
	for range rapid.IntRange(0, n).Draw(t, "more") {
		if n > 1 {
			attach(rapid.IntRange(0, n-2).Draw(t, "from"), rapid.IntRange(0, n-1).Draw(t, "to"), rapid.Bool().Draw(t, "catch"))
		}
	}
	all := map[string]any{}
	for i, name := range names {
		kinds := []string{"Task", "Pass", "Wait"}
		switch {
		case len(catch[i]) > 0:
			kinds = kinds[:1]
		case len(next[i]) > 1:
			kinds = []string{"Choice"}
		case len(next[i]) == 0:
			kinds = []string{"Succeed", "Fail", "Task", "Pass"}
		}
		all[name] = state(rapid.SampledFrom(kinds).Draw(t, "type"), next[i], catch[i])
	}
	text, err := json.Marshal(map[string]any{"StartAt": names[0], "States": all})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// someNames draws names, most of them short, some of them whatever Unicode has.
func someNames(t *rapid.T, most int) []string {
	plain := rapid.StringMatching(`[A-Z][a-z]{1,12}([A-Z][a-z]{1,9})?`)
	any80 := rapid.StringN(1, 80, -1)
	return rapid.SliceOfNDistinct(rapid.OneOf(plain, plain, any80), 1, most, rapid.ID[string]).Draw(t, "names")
}

func TestAnyMachineIsDrawnWell(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		definition := aDefinition(t, someNames(t, 24))
		m := machine(t, definition)
		g := New(m)
		if !reflect.DeepEqual(g, New(machine(t, definition))) {
			t.Fatal("the second drawing is another")
		}
		everyEdgeIsThere(t, m, g)
		noBoxesOverlap(t, g)
		for _, e := range g.Edges {
			theLineIsGood(t, g, e)
		}
	})
}

func everyEdgeIsThere(t *rapid.T, m *asl.Machine, g Graph) {
	var want, got []move
	for _, name := range m.States() {
		s, _ := m.State(name)
		for _, to := range s.Next {
			want = append(want, move{name, to, Next})
		}
		for _, to := range s.Catch {
			want = append(want, move{name, to, Catch})
		}
	}
	for _, e := range g.Edges {
		got = append(got, move{e.From, e.To, e.Kind})
		if (e.From == e.To) != (len(e.Points) == 0) {
			t.Fatalf("%s to %s has the points %v", e.From, e.To, e.Points)
		}
	}
	if !reflect.DeepEqual(got, want) || len(g.Nodes) != len(m.States()) {
		t.Fatalf("drawn is %v, defined %v", got, want)
	}
}

func noBoxesOverlap(t *rapid.T, g Graph) {
	for i, a := range g.Nodes {
		if a.X < 0 || a.Y < 0 || a.X+a.Width > g.Width || a.Y+a.Height > g.Height {
			t.Fatalf("%q is outside", a.Name)
		}
		for _, b := range g.Nodes[i+1:] {
			if a.X < b.X+b.Width && b.X < a.X+a.Width && a.Y < b.Y+b.Height && b.Y < a.Y+a.Height {
				t.Fatalf("%q and %q overlap", a.Name, b.Name)
			}
			if a.Compensation && !b.Compensation && a.X < b.X+b.Width || b.Compensation && !a.Compensation && b.X < a.X+a.Width {
				t.Fatalf("%q and %q are on the wrong sides", a.Name, b.Name)
			}
		}
	}
}

// theLineIsGood wants an edge to begin and end at its boxes, to lead down (a loop: up) and to run through no box: it bends only between
// layers, where no box is.
func theLineIsGood(t *rapid.T, g Graph, e Edge) {
	if e.From == e.To {
		return
	}
	from, _ := g.node(e.From)
	to, _ := g.node(e.To)
	points := slices.Clone(e.Points)
	if e.Back {
		slices.Reverse(points)
		from, to = to, from
	}
	first, last := points[0], points[len(points)-1]
	if first.Y != from.Y+from.Height || last.Y != to.Y || first.X <= from.X || first.X >= from.X+from.Width || last.X <= to.X || last.X >= to.X+to.Width {
		t.Fatalf("%q to %q: %v does not meet %+v and %+v", e.From, e.To, points, from, to)
	}
	for i := 1; i < len(points); i++ {
		a, b := points[i-1], points[i]
		if b.Y <= a.Y {
			t.Fatalf("%q to %q goes back: %v", e.From, e.To, points)
		}
		for _, n := range g.Nodes {
			beside := a.X == b.X && (a.X <= n.X || a.X >= n.X+n.Width)
			if a.Y < n.Y+n.Height && b.Y > n.Y && !beside {
				t.Fatalf("%q to %q runs through %q: %v, %+v", e.From, e.To, n.Name, points, n)
			}
		}
	}
}

func TestCrossingsAreCountedRight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := New(machine(t, aDefinition(t, someNames(t, 16))))
		l := newLayout(&g, topologyOf(g))
		for _, layer := range l.layers {
			l.sortLane(layer, func(v int) int { return v * 7919 % 31 })
		}
		count := 0
		for i, a := range l.segments {
			for _, b := range l.segments[i+1:] {
				at := func(v int) (layer, pos int) { return l.vertices[v].layer, l.vertices[v].pos }
				layer, top := at(a.top)
				other, top2 := at(b.top)
				_, bottom := at(a.bottom)
				_, bottom2 := at(b.bottom)
				if layer == other && a.weight > 0 && b.weight > 0 && (top-top2)*(bottom-bottom2) < 0 {
					count++
				}
			}
		}
		if got := l.count(func(segment) int { return 1 }); got != count {
			t.Fatalf("counted %d, there are %d", got, count)
		}
	})
}

func TestTakingTheJumpsAwayLeavesEveryStateReached(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := New(machine(t, aDefinition(t, someNames(t, 12))))
		reached := topologyOf(g).reach(0, func(e int) bool { return !g.Edges[e].Jump })
		if i := slices.Index(reached, false); i >= 0 {
			t.Fatalf("%q is not reached", g.Nodes[i].Name)
		}
	})
}

// Two hundred states in a chain, with lines that span up to all of it, are the worst that is drawn in practice.
func TestTwoHundredStatesTakeLessThanASecond(t *testing.T) {
	lines := make([]string, 0, 200)
	name := func(i int) string { return "State" + string(rune('A'+i/26)) + string(rune('a'+i%26)) }
	for i := range 199 {
		far := name(min(i+1+i*37%150, 199))
		if i%5 == 4 {
			lines = append(lines, name(i)+" Choice "+name(i+1)+" "+far+" "+name(i*13%200))
		} else {
			lines = append(lines, name(i)+" Task "+name(i+1)+" catch "+far+" "+name(i*29%200))
		}
	}
	m := machine(t, states(append(lines, name(199)+" Succeed")...))
	begin := time.Now()
	g := New(m)
	took := time.Since(begin)
	t.Logf("%d states, %d edges: %s, %d crossings", len(g.Nodes), len(g.Edges), took, g.Crossings)
	if took > slower*time.Second {
		t.Errorf("it took %s", took)
	}
}
