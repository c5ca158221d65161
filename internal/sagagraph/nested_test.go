package sagagraph

import (
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/asl"
)

const nested = `{"StartAt":"Prepare","States":{
	"Prepare":{"Type":"Pass","Next":"Both"},
	"Both":{"Type":"Parallel","Catch":[{"ErrorEquals":["States.ALL"],"Next":"Undo"}],"Next":"Done","Branches":[
		{"StartAt":"L","States":{"L":{"Type":"Task","Resource":"r","Catch":[{"ErrorEquals":["E"],"Next":"Fix"}],"Next":"L2"},"L2":{"Type":"Pass","End":true},"Fix":{"Type":"Pass","Next":"L2"}}},
		{"StartAt":"Each","States":{"Each":{"Type":"Map","ItemProcessor":{"StartAt":"One","States":{"One":{"Type":"Wait","Seconds":1,"End":true}}},"End":true}}}]},
	"Undo":{"Type":"Pass","Next":"Done"},
	"Done":{"Type":"Succeed"}}}`

func TestWhatIsInsideOfAStateIsDrawnInItsBox(t *testing.T) {
	m, err := asl.Parse([]byte(nested))
	if err != nil {
		t.Fatal(err)
	}
	g := New(m)
	var names []string
	for _, n := range g.all() {
		names = append(names, n.Name)
	}
	if got := strings.Join(names, " "); got != "Prepare Both L L2 Fix Each One Done Undo" {
		t.Errorf("the states are %s", got)
	}
	var within func(Graph)
	within = func(g Graph) {
		for _, n := range g.Nodes {
			width := 0
			for _, inside := range n.Inside {
				width += inside.Width
				if boxHeight+inside.Height > n.Height {
					t.Errorf("what is inside of %s is %d high, its box %d", n.Name, inside.Height, n.Height)
				}
				within(inside)
			}
			if width > n.Width || n.X < 0 || n.X+n.Width > g.Width || n.Y+n.Height > g.Height {
				t.Errorf("%s stands at %d,%d and is %d by %d, with %d inside of it, in a drawing of %d by %d", n.Name, n.X, n.Y, n.Width, n.Height, width, g.Width, g.Height)
			}
		}
		for _, e := range g.Edges { // a line leaves below its box, however high the one beside it is
			from, _ := g.node(e.From)
			if p := e.Points[0]; !e.Back && p.Y != from.Y+from.Height {
				t.Errorf("the line from %s leaves at %d, its box ends at %d", e.From, p.Y, from.Y+from.Height)
			}
		}
	}
	within(g)
}

func TestANestedDrawingIsWellFormed(t *testing.T) {
	m, err := asl.Parse([]byte(nested))
	if err != nil {
		t.Fatal(err)
	}
	g := New(m)
	var svg, mermaid strings.Builder
	path := Path{Visits: []Visit{{State: "Prepare"}, {State: "Both"}, {State: "L", Failed: true}, {State: "Fix"}}}
	if err := errors.Join(g.StandaloneSVG(&svg, path), g.Mermaid(&mermaid, path)); err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(strings.NewReader(svg.String()))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	ids := map[string]bool{}
	for _, id := range regexp.MustCompile(` id="([^"]+)"`).FindAllStringSubmatch(svg.String(), -1) {
		if ids[id[1]] {
			t.Errorf("two elements have the id %s", id[1])
		}
		ids[id[1]] = true
	}
	for _, use := range regexp.MustCompile(`url\(#([^)]+)\)`).FindAllStringSubmatch(svg.String(), -1) {
		if !ids[use[1]] {
			t.Errorf("there is no %s", use[1])
		}
	}
	if !strings.Contains(svg.String(), `class="state pass compensation visited" data-state="Fix"`) || !strings.Contains(svg.String(), "State machine of 9 states") {
		t.Error(svg.String())
	}
	want := `flowchart TD
  start((" ")) --> s0
  s0("1#58; Prepare")
  subgraph s1 ["2#58; Both"]
    s2("3#58; L")
    s3("L2")
    subgraph compensation2 [Compensation]
      s4("4#58; Fix")
    end
    subgraph s5 ["Each"]
      s6(["One"])
    end
  end
  s7((("Done")))
  subgraph compensation [Compensation]
    s8("Undo")
  end
  s0 --> s1
  s1 --> s7
  s1 -. catch .-> s8
  s8 --> s7
  s2 --> s3
  s2 -. catch .-> s4
  s4 --> s3
`
	if got, _, _ := strings.Cut(mermaid.String(), "  classDef"); got != want {
		t.Errorf("got\n%s", got)
	}
	if !strings.Contains(mermaid.String(), "linkStyle 1,6 stroke") {
		t.Errorf("the links that were taken are others: %s", mermaid.String())
	}
}
