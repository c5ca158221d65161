package sagagraph

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The variable that makes the test write the drawings instead of comparing them.
const updateGolden = "CLOUDFLOW_UPDATE_GOLDEN"

// declined is the history of an order whose card was declined after an answer that was lost at first; the stock is being released.
var declined = PathOf([]Step{
	{"ExecutionStarted", ""},
	{"ChoiceStateEntered", "Enter"}, {"ChoiceStateExited", "Enter"},
	{"TaskStateEntered", "ReserveStock"}, {"LambdaFunctionScheduled", "ReserveStock"}, {"LambdaFunctionTimedOut", "ReserveStock"},
	{"LambdaFunctionScheduled", "ReserveStock"}, {"LambdaFunctionSucceeded", "ReserveStock"}, {"TaskStateExited", "ReserveStock"},
	{"TaskStateEntered", "RecordReservation"}, {"LambdaFunctionSucceeded", "RecordReservation"}, {"TaskStateExited", "RecordReservation"},
	{"TaskStateEntered", "ChargePayment"}, {"LambdaFunctionScheduled", "ChargePayment"}, {"LambdaFunctionFailed", "ChargePayment"},
	{"TaskStateExited", "ChargePayment"},
	{"TaskStateEntered", "RecordPaymentFailure"}, {"LambdaFunctionSucceeded", "RecordPaymentFailure"}, {"TaskStateExited", "RecordPaymentFailure"},
	{"TaskStateEntered", "ReleaseStock"}, {"LambdaFunctionScheduled", "ReleaseStock"},
})

func drawn(t interface{ Fatal(...any) }, draw func(io.Writer, Path) error, p Path) string {
	var b bytes.Buffer
	if err := draw(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The drawings of the order saga are kept in testdata, to be looked at in a review.
func TestTheOrderSagaIsDrawnAsKept(t *testing.T) {
	g := orderGraph(t)
	for file, text := range map[string]string{
		"order.svg":                drawn(t, g.StandaloneSVG, Path{}),
		"order-declined.svg":       drawn(t, g.StandaloneSVG, declined),
		"order-declined.page.svg":  drawn(t, g.SVG, declined),
		"order.mermaid":            drawn(t, g.Mermaid, Path{}),
		"order-declined.mermaid":   drawn(t, g.Mermaid, declined),
		"loops-and-types.svg":      drawn(t, loops(t).StandaloneSVG, Path{}),
		"loops-and-types.page.svg": drawn(t, loops(t).SVG, Path{}),
	} {
		path := filepath.Join("testdata", file)
		if os.Getenv(updateGolden) != "" {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if want, err := os.ReadFile(path); err != nil || text != string(want) {
			t.Errorf("%s is another drawing (%v); look at it, and if the change is meant: %s=1 go test ./internal/sagagraph", path, err, updateGolden)
		}
	}
}

// loops has all types, a loop, a state that catches itself, and an edge of either kind between the same two.
func loops(t *testing.T) Graph {
	return New(machine(t, states(
		"Prepare Pass Poll", "Poll Task Ready catch Poll Undo", "Ready Choice Finish Pause", "Pause Wait Poll",
		"Finish Task Done catch Undo Done", "Undo Task Failed catch Failed", "Done Succeed", "Failed Fail")))
}

func TestAPathIsReadFromTheHistory(t *testing.T) {
	visits := func(names ...string) (out []Visit) {
		for _, n := range names {
			name, failed := strings.CutSuffix(n, "!")
			out = append(out, Visit{name, failed})
		}
		return out
	}
	for _, c := range []struct {
		rule    string
		history []Step
		want    Path
	}{
		{"nothing has happened", nil, Path{}},
		{"it has only started", []Step{{"ExecutionStarted", ""}}, Path{}},
		{"a try that fails and one that succeeds are no failure; a failure that is caught is one", nil, Path{
			Visits: visits("Enter", "ReserveStock", "RecordReservation", "ChargePayment!", "RecordPaymentFailure", "ReleaseStock"), Current: "ReleaseStock",
		}},
		{"between two tries it is failing", []Step{{"TaskStateEntered", "A"}, {"TaskFailed", "A"}}, Path{Visits: visits("A!"), Current: "A"}},
		{"a success stands nowhere", []Step{{"SucceedStateEntered", "A"}, {"SucceedStateExited", "A"}, {"ExecutionSucceeded", ""}}, Path{Visits: visits("A")}},
		{"an execution fails where it stood", []Step{{"PassStateEntered", "A"}, {"FailStateEntered", "B"}, {"ExecutionFailed", ""}}, Path{Visits: visits("A", "B!")}},
		{"a state may be visited twice", []Step{{"WaitStateEntered", "A"}, {"PassStateEntered", "B"}, {"WaitStateEntered", "A"}}, Path{Visits: visits("A", "B", "A"), Current: "A"}},
		{"what is not known changes nothing", []Step{{"MapRunStarted", "A"}, {"Whatever", ""}, {"TaskFailed", "A"}}, Path{}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			got := PathOf(c.history)
			if c.history == nil && c.want.Current != "" {
				got = declined
			}
			if !slices.Equal(got.Visits, c.want.Visits) || got.Current != c.want.Current {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// An element is a start tag of a drawing.
type element struct {
	name  string
	attrs map[string]string
}

func parsed(t interface {
	Fatalf(string, ...any)
}, text string) (elements []element, texts []string) {
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return elements, texts
		}
		if err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		switch one := token.(type) {
		case xml.StartElement:
			e := element{one.Name.Local, map[string]string{}}
			for _, a := range one.Attr {
				e.attrs[a.Name.Local] = a.Value
			}
			elements = append(elements, e)
		case xml.CharData:
			texts = append(texts, string(one))
		}
	}
}

func TestThePathIsMarked(t *testing.T) {
	elements, _ := parsed(t, drawn(t, orderGraph(t).SVG, declined))
	find := func(attribute, value string) (classes []string) {
		for _, e := range elements {
			if e.attrs[attribute] == value {
				classes = append(classes, e.attrs["class"])
			}
		}
		return classes
	}
	for state, class := range map[string]string{
		"Enter": "state choice visited", "ReserveStock": "state task visited", "ChargePayment": "state task visited failed",
		"RecordPaymentFailure": "state task compensation visited", "ReleaseStock": "state task compensation visited current",
		"RefundPayment": "state task compensation", "Done": "state succeed", "UnknownResume": "state fail",
	} {
		if got := find("id", "state-"+state); !slices.Equal(got, []string{class}) || !slices.Equal(find("data-state", state), got) {
			t.Errorf("%s has the classes %v, want %q", state, got, class)
		}
	}
	var taken []string
	for _, e := range elements {
		if strings.Contains(e.attrs["class"], "taken") && e.attrs["data-from"] != "" {
			taken = append(taken, e.attrs["class"]+" "+e.attrs["data-from"]+" "+e.attrs["data-to"])
		}
	}
	slices.Sort(taken)
	if want := []string{
		"edge catch taken undo ChargePayment RecordPaymentFailure", "edge next taken Enter ReserveStock", "edge next taken RecordReservation ChargePayment",
		"edge next taken ReserveStock RecordReservation", "edge next taken undo RecordPaymentFailure ReleaseStock",
	}; !slices.Equal(taken, want) {
		t.Errorf("taken are %q", taken)
	}
}

func TestAPageWithAStrictPolicyTakesTheDrawing(t *testing.T) {
	elements, _ := parsed(t, drawn(t, orderGraph(t).SVG, declined))
	known := []string{"svg", "title", "desc", "defs", "marker", "g", "path", "rect", "circle", "text"}
	for _, e := range elements {
		if !slices.Contains(known, e.name) {
			t.Errorf("there is a %s", e.name)
		}
		for a := range e.attrs {
			if a == "style" || a == "href" || strings.HasPrefix(a, "on") || slices.Contains([]string{"fill", "stroke", "font-size", "font-family"}, a) {
				t.Errorf("a %s has %s", e.name, a)
			}
		}
	}
	if elements[0].attrs["role"] != "img" || elements[0].attrs["aria-labelledby"] != "saga-graph-title saga-graph-desc" {
		t.Errorf("the drawing is %v", elements[0])
	}
}

var hostile = []string{
	`</text></svg><script>alert(1)</script>`, `" onload="alert(1)`, `' x='`, `]]><!--`, `-->`, `&amp;&lt;&#60;`, "a\nb\tc", "\u202egnp.exe",
	"\x00\x1b[31m", "`**b**`", `"]; click s0 "javascript:alert(1)"`, "%%{init: {}}%%", "end", "1. list", "ünïcode 注文 🛒", " ", "state-A", "#quot;", strings.Repeat("W", 80),
}

func TestAHostileNameIsText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.Permutation(hostile).Draw(t, "names")
		g := New(machine(t, aDefinition(t, names)))
		p := Path{Visits: []Visit{{names[0], false}, {"no such <state>", true}}, Current: names[0]}
		for _, draw := range []func(io.Writer, Path) error{g.SVG, g.StandaloneSVG} {
			elements, texts := parsed(t, drawn(t, draw, p))
			seen, ids := 0, map[string]bool{}
			for _, e := range elements {
				if slices.Contains([]string{"script", "style", "a", "image", "foreignObject"}, e.name) || e.attrs["onload"] != "" {
					t.Fatalf("there is a %s %v", e.name, e.attrs)
				}
				if e.attrs["data-state"] != "" {
					seen++
				}
				if one := e.attrs["id"]; one != "" && ids[one] || strings.ContainsAny(one, " \t\n\"'<>") {
					t.Fatalf("%q is no id, or there twice", one)
				}
				ids[e.attrs["id"]] = true
			}
			if seen != len(names) {
				t.Fatalf("%d states of %d", seen, len(names))
			}
			for _, n := range names {
				if !slices.Contains(texts, shown(n)) {
					t.Fatalf("%q is not there as it is", n)
				}
			}
		}
		mermaidIsWellFormed(t, drawn(t, g.Mermaid, p))
	})
}

var mermaidLines = []*regexp.Regexp{
	regexp.MustCompile(`^flowchart TD$`),
	regexp.MustCompile(`^  start\(\(" "\)\) --> s0$`),
	regexp.MustCompile(`^ {2,4}s\d+[\[({]+"(?:[\pL\pN\pM ]|#\d+;)*"[\])}]+$`),
	regexp.MustCompile(`^  s\d+ (-->|-\. catch \.->|-- resume -->) s\d+$`),
	regexp.MustCompile(`^  subgraph compensation \[Compensation\]$`),
	regexp.MustCompile(`^  end$`),
	regexp.MustCompile(`^  (classDef|linkStyle) [a-z0-9,]+ [a-z0-9:#,-]+$`),
	regexp.MustCompile(`^  class [s0-9,]+ [a-z]+$`),
}

func mermaidIsWellFormed(t interface{ Fatalf(string, ...any) }, text string) {
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		if !slices.ContainsFunc(mermaidLines, func(r *regexp.Regexp) bool { return r.MatchString(line) }) {
			t.Fatalf("%q is no line of a flowchart", line)
		}
	}
}

func TestMermaidOfAnyMachineIsWellFormed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := someNames(t, 20)
		g := New(machine(t, aDefinition(t, names)))
		mermaidIsWellFormed(t, drawn(t, g.Mermaid, Path{Visits: []Visit{{names[0], true}}}))
	})
}

func TestTheSameDrawingHasTheSameBytes(t *testing.T) {
	first := drawn(t, orderGraph(t).SVG, declined)
	for range 20 {
		if drawn(t, orderGraph(t).SVG, declined) != first {
			t.Fatal("two drawings differ")
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestAWriterThatFailsIsReported(t *testing.T) {
	g := orderGraph(t)
	for _, draw := range []func(io.Writer, Path) error{g.SVG, g.StandaloneSVG, g.Mermaid} {
		if err := draw(full{}, Path{}); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("got %v", err)
		}
	}
}
