package monitoring_test

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// A dashboard is what is held of Grafana's: https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/.
type dashboard struct {
	UID           string  `json:"uid"`
	ID            *int    `json:"id"`
	SchemaVersion int     `json:"schemaVersion"`
	Panels        []panel `json:"panels"`
	Templating    struct {
		List []struct {
			Name       string      `json:"name"`
			Type       string      `json:"type"`
			Datasource *datasource `json:"datasource"`
		} `json:"list"`
	} `json:"templating"`
}

type panel struct {
	ID          int         `json:"id"`
	Type        string      `json:"type"`
	Title       string      `json:"title"`
	Description string      `json:"description"`
	Datasource  *datasource `json:"datasource"`
	GridPos     struct {
		X, Y, W, H int
	} `json:"gridPos"`
	Targets []struct {
		RefID        string `json:"refId"`
		Expr         string `json:"expr"`
		LegendFormat string `json:"legendFormat"`
	} `json:"targets"`
	FieldConfig struct {
		Defaults struct {
			Unit       string `json:"unit"`
			Thresholds struct {
				Steps []struct {
					Value *float64 `json:"value"`
				} `json:"steps"`
			} `json:"thresholds"`
		} `json:"defaults"`
	} `json:"fieldConfig"`
}

type datasource struct{ Type, UID string }

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	text, err := os.ReadFile("grafana/cloudflow.json")
	if err != nil {
		t.Fatal(err)
	}
	return decoded[dashboard](t, text)
}

func TestTheDashboardBelongsToNoMachine(t *testing.T) {
	d := readDashboard(t)
	if d.ID != nil || d.UID != "cloudflow" || d.SchemaVersion < 39 {
		t.Errorf("id %v, uid %q, schemaVersion %d", d.ID, d.UID, d.SchemaVersion)
	}
	variable := datasource{"prometheus", "${datasource}"}
	var names []string
	for _, v := range d.Templating.List {
		names = append(names, v.Name+" "+v.Type)
		if v.Datasource != nil && *v.Datasource != variable {
			t.Errorf("the variable %s asks %+v", v.Name, *v.Datasource)
		}
	}
	if !slices.Equal(names, []string{"datasource datasource", "instance query"}) {
		t.Errorf("the variables are %q", names)
	}
	for _, p := range d.Panels {
		if p.Type != "row" && (p.Datasource == nil || *p.Datasource != variable) {
			t.Errorf("%s asks %+v", p.Title, p.Datasource)
		}
	}
}

func TestTheSpecificationsPanelsAreTheFirst(t *testing.T) {
	d := readDashboard(t)
	for i, want := range []struct {
		title string
		alarm float64 // 0: none
	}{
		{"Orders created / min", 0}, {"SAGA success rate", 95}, {"Task duration p99", 3},
		{"SAGA compensations / min", 0}, {"Circuit breaker state", 0}, {"DLQ message count", 1},
	} {
		p := d.Panels[i]
		alarm := 0.0
		for _, s := range p.FieldConfig.Defaults.Thresholds.Steps {
			if s.Value != nil {
				alarm = *s.Value
			}
		}
		if p.Title != want.title || alarm != want.alarm || p.GridPos.X != i%2*12 || p.GridPos.W != 12 {
			t.Errorf("panel %d is %s with a line at %v, at %+v; want %+v, two a line", i+1, p.Title, alarm, p.GridPos, want)
		}
	}
}

func TestEveryPanelSaysWhatItShows(t *testing.T) {
	ids, titles := map[int]bool{}, map[string]bool{}
	type place struct{ x, y int }
	taken := map[place]string{}
	for _, p := range readDashboard(t).Panels {
		if ids[p.ID] || p.ID == 0 || titles[p.Title] || p.Title == "" {
			t.Errorf("panel %d %q is not the only one", p.ID, p.Title)
		}
		ids[p.ID], titles[p.Title] = true, true
		g := p.GridPos
		if g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 {
			t.Errorf("%s is at %+v", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := taken[place{x, y}]; other != "" {
					t.Fatalf("%s lies on %s", p.Title, other)
				}
				taken[place{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Description == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
			t.Errorf("%s has the description %q, the unit %q and %d expressions", p.Title, p.Description, p.FieldConfig.Defaults.Unit, len(p.Targets))
		}
		for _, target := range p.Targets {
			if target.RefID == "" || target.LegendFormat == "" || !strings.Contains(target.Expr, `instance="$instance"`) {
				t.Errorf("%s has %+v", p.Title, target)
			}
		}
	}
}

// docs/monitoring.md is what an operator reads: it knows each alert and each panel.
func TestTheDocumentNamesEveryAlertAndPanel(t *testing.T) {
	page, err := os.ReadFile("../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules(t) {
		if !strings.Contains(string(page), "| `"+r.Alert+"` | ") {
			t.Errorf("the alert %s stands in no line of the table", r.Alert)
		}
		if r.Labels["severity"] != "critical" && r.Labels["severity"] != "warning" || r.Annotations["summary"] == "" || !strings.Contains(r.Annotations["description"], "First: ") {
			t.Errorf("%s does not say how bad it is, what it is, or what to do first: %+v %+v", r.Alert, r.Labels, r.Annotations)
		}
	}
	for _, p := range readDashboard(t).Panels {
		if !strings.Contains(string(page), p.Title) {
			t.Errorf("the panel %s is not named", p.Title)
		}
	}
}
