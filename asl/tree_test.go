package asl

import (
	"maps"
	"runtime"
	"slices"
	"testing"
	"time"
	"weak"

	"pgregory.net/rapid"
)

// TestATreeIsAMapWhoseEditionsStayAsTheyWere holds trees against maps: the one that is changed, and all that were cloned from it before.
func TestATreeIsAMapWhoseEditionsStayAsTheyWere(t *testing.T) {
	type both struct {
		tree tree[number, int]
		want map[number]int
	}
	same := func(t *rapid.T, b both) {
		keys := slices.Sorted(maps.Keys(b.want))
		if b.tree.size != len(keys) {
			t.Fatalf("it has %d keys, want %d", b.tree.size, len(keys))
		}
		want := make([]int, len(keys))
		for i, k := range keys {
			want[i] = b.want[k]
			if v, ok := b.tree.get(k); !ok || v != want[i] {
				t.Fatalf("%d is %d %t, want %d", k, v, ok, want[i])
			}
		}
		if got := slices.Collect(b.tree.all()); !slices.Equal(got, want) {
			t.Fatalf("it holds %v, want %v", got, want)
		}
		k := number(rapid.IntRange(-1, 40).Draw(t, "after"))
		behind, _ := slices.BinarySearch(keys, k+1)
		if got := slices.Collect(b.tree.after(k)); !slices.Equal(got, want[behind:]) {
			t.Fatalf("after %d are %v, want %v", k, got, want[behind:])
		}
		if v, ok := b.tree.first(); ok != (len(keys) > 0) || ok && v != want[0] {
			t.Fatalf("the first is %d %t of %v", v, ok, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		e, now, clones := edition{step: 1}, both{want: map[number]int{}}, []both(nil)
		for step := range rapid.IntRange(1, 200).Draw(t, "steps") {
			k := number(rapid.IntRange(0, 39).Draw(t, "key"))
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0, 1:
				now.tree, now.want[k] = now.tree.with(e, k, step), step
			case 2, 3:
				now.tree = now.tree.without(e, k)
				delete(now.want, k)
			default:
				clones = append(clones, both{now.tree, maps.Clone(now.want)})
				e = edition{step: e.step + 1, shared: e.step}
			}
		}
		same(t, now)
		for _, c := range clones {
			same(t, c)
		}
	})
}

func TestATreeOfAHundredThousandIsFlat(t *testing.T) {
	var open tree[number, int]
	for i := range 100_000 {
		open = open.with(edition{step: 1}, number(i), i)
	}
	var depth func(n *node[number, int]) int
	depth = func(n *node[number, int]) int {
		if n == nil {
			return 0
		}
		return 1 + max(depth(n.left), depth(n.right))
	}
	if d := depth(open.root); d > 60 { // 40 is what is to be expected
		t.Errorf("the longest way is %d nodes long", d)
	}
}

// mapOfTasks begins a Map of n tasks, at most most of them at a time.
func mapOfTasks(t *testing.T, n int, most string) (*Execution, []Command) {
	m := mustParse(t, `{"StartAt":"M","States":{"M":{"Type":"Map","End":true,"MaxConcurrency":`+most+`,"ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED"},
		"StartAt":"T","States":{"T":{"Type":"Task","Resource":"r","End":true}}}}}}`)
	items := make([]any, n)
	for i := range items {
		items[i] = mustNumber(i)
	}
	return m.Start(Start{Input: items, Time: time.Unix(0, 0)})
}

// TestAStepOfAMapCostsWhatItDoes: a driver clones and steps, and what both allocate hardly depends on how many iterations are open.
func TestAStepOfAMapCostsWhatItDoes(t *testing.T) {
	cost := func(n int) float64 {
		x, open := mapOfTasks(t, n, "0")
		i := 0
		return testing.AllocsPerRun(50, func() {
			x = x.Clone()
			if _, err := x.Step(Event{Kind: TaskSucceeded, ID: open[i].ID}); err != nil {
				t.Fatal(err)
			}
			i++
		})
	}
	few, many := cost(100), cost(10_000)
	t.Logf("a clone and its step: %.0f allocations with 100 open, %.0f with 10,000", few, many)
	if many > 3*few {
		t.Errorf("a clone and its step make %.0f allocations with 10,000 open, %.0f with 100", many, few)
	}
}

// TestAnIterationThatEndedIsForgotten: none holds those that ran beside it when it began, which would hold those before them, and so on.
func TestAnIterationThatEndedIsForgotten(t *testing.T) {
	x, open := mapOfTasks(t, 200, "2")
	var ended []weak.Pointer[scope]
	for range 198 { // the older of the two ends
		sc, _ := x.root.fork.running.first()
		ended = append(ended, weak.Make(sc))
		x = x.Clone()
		commands, err := x.Step(Event{Kind: TaskSucceeded, ID: open[0].ID})
		if err != nil {
			t.Fatal(err)
		}
		open = append(open[1:], commands...)
	}
	runtime.GC()
	held := 0
	for _, p := range ended {
		if p.Value() != nil {
			held++
		}
	}
	if held > 2 { // such as what the stack still names
		t.Errorf("%d of %d iterations that have ended are held", held, len(ended))
	}
	runtime.KeepAlive(x)
}
