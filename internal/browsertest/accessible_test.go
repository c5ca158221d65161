package browsertest

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/utkarsh698/cloudflow/internal/provider"
)

// A gallery is an instance with something of everything, and the paths of its pages.
type gallery struct {
	*shop
	paths map[string]string
}

func newGallery(t testing.TB) gallery {
	t.Helper()
	s := newShop(t)
	confirmed, compensated := s.place("ada", "MOUSE-01", provider.Visa), s.place("bob", "MOUSE-01", provider.ChargeDeclined)
	s.call(http.StatusOK, "POST", "/admin/breakers/payment-refund/trip", nil)
	tb := newTab(t, s.url)
	paths := map[string]string{
		"home": "/", "orders": "/dashboard/orders", "confirmed": "/dashboard/orders/" + confirmed, "compensated": "/dashboard/orders/" + compensated,
		"as it was": "/dashboard/orders/" + confirmed + "?version=2", "operations": "/dashboard/operations?verify=1", "load test": "/dashboard/load", "reset": "/dashboard/reset", "problem": "/dashboard/nowhere",
	}
	for _, scenario := range scenarios {
		tb.open("/")
		tb.click("#play-" + scenario.name)
		tb.awaitText("#run .said-outcome", scenario.outcome)
		paths[scenario.name] = tb.path()
	}
	return gallery{s, paths}
}

// each opens every page and runs a test on it. What is played there has been played.
func (g gallery) each(t *testing.T, prepare func(*tab), f func(t *testing.T, tb *tab)) {
	t.Helper()
	tb := newTab(t, g.url)
	tb.expect("404") // the page of a problem
	prepare(tb)
	for name, path := range g.paths {
		t.Run(name, func(t *testing.T) {
			was := tb.t
			tb.t = t
			defer func() { tb.t = was }()
			tb.open(path)
			tb.await("nothing moves", `!document.querySelector(".to-come") && !document.getAnimations().some((a) => a.playState === "running")`)
			f(t, tb)
		})
	}
}

func still(tb *tab) { tb.media("prefers-reduced-motion", "reduce") }

func TestEveryPageHasItsLandmarksAndEveryControlAName(t *testing.T) {
	newGallery(t).each(t, still, func(t *testing.T, tb *tab) {
		for selector, want := range map[string]int{"h1": 1, "main": 1, "body > header": 1, "header nav[aria-label]": 1, "html[lang=en]": 1, "body > footer": 1} {
			if n := tb.count(selector); n != want {
				t.Errorf("%d elements are %s, want %d", n, selector, want)
			}
		}
		if title := read[string](tb, "document.title"); !strings.HasSuffix(title, " · CloudFlow") || len(title) < 15 {
			t.Errorf("the title is %q", title)
		}
		for _, field := range read[[]string](tb, `[...document.querySelectorAll("input:not([type=hidden]), select, textarea")]
			.filter((e) => !(e.getAttribute("aria-label") ?? [...e.labels].map((l) => l.textContent).join("")).trim()).map((e) => e.outerHTML)`) {
			t.Errorf("a field has no label: %s", field)
		}
		if doubled := read[[]string](tb, `(() => { const seen = new Set(); return [...document.querySelectorAll("[id]")].map((e) => e.id).filter((id) => seen.has(id) || !seen.add(id)); })()`); len(doubled) > 0 {
			t.Errorf("elements share the ids %q", doubled)
		}
		if levels := read[[]int](tb, `[...document.querySelectorAll("h1, h2, h3, h4")].map((h) => Number(h.tagName[1]))`); levels != nil {
			for i := 1; i < len(levels); i++ {
				if levels[i] > levels[i-1]+1 {
					t.Errorf("headings have the levels %v", levels)
					break
				}
			}
		}
		var nodes []*accessibility.Node
		tb.do("the browser tells what a screen reader is told", func(ctx context.Context) error {
			tree, err := chromedp.Call(ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
			nodes = tree.Nodes
			return err
		})
		named := 0
		for _, n := range nodes {
			if n.Ignored || n.Role == nil {
				continue
			}
			switch role := strings.Trim(string(n.Role.Value), `"`); role {
			case "button", "link", "textbox", "combobox", "spinbutton", "slider", "checkbox", "image", "img", "region", "search", "navigation", "DisclosureTriangle", "summary":
				if n.Name == nil || strings.Trim(string(n.Name.Value), `" `) == "" {
					t.Errorf("a %s has no name (node %s)", role, n.NodeID)
				}
				named++
			}
		}
		if named < 5 {
			t.Errorf("the browser tells of %d controls", named)
		}
	})
}

// controls are what a keyboard can reach, in the order of the document.
const controls = `[...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, summary, [tabindex='0']")].filter((e) => e.checkVisibility({ visibilityProperty: true }))`

func TestTabReachesEveryControlInTheOrderOfTheDocument(t *testing.T) {
	newGallery(t).each(t, still, func(t *testing.T, tb *tab) {
		const sign = `(e) => e.tagName + " " + (e.id || e.name || e.getAttribute("href") || e.textContent.trim().slice(0, 30))`
		want := read[[]string](tb, controls+`.map(`+sign+`)`)
		var got []string
		for range 2 * len(want) {
			tb.press(kb.Tab)
			at := read[string](tb, `((e) => e === document.body ? "" : `+controls+`.includes(e) ? (`+sign+`)(e) : "-")(document.activeElement)`)
			if at == "" {
				break
			}
			if at != "-" { // the browser itself lets scrollers be reached
				got = append(got, at)
			}
			if len(got) == len(want) {
				break
			}
			if !read[bool](tb, `((e) => { const s = getComputedStyle(e); return s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 0; })(document.activeElement)`) {
				t.Errorf("the focus on %s is not seen", at)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("tab goes\n%q, want\n%q", got, want)
		}
		if tb.count("[tabindex]:not([tabindex='0']):not([tabindex='-1'])") != 0 {
			t.Error("a tabindex makes an order of its own")
		}
	})
}

// contrasts finds each visible text whose colour has less than 4.5:1 on what is painted behind it. In the drawing that is the shape of
// its state; elsewhere what the ancestors paint. Large text (24 px, or 18.66 px and bold) needs 3:1, WCAG 1.4.3.
const contrasts = `(() => {
	const parse = (c) => {
		const m = c.match(/[\d.]+/g)?.map(Number) ?? [0, 0, 0, 0];
		return c === "none" || c === "transparent" ? [0, 0, 0, 0] : [m[0], m[1], m[2], m[3] ?? 1];
	};
	const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
	const light = ([r, g, b]) => {
		const [x, y, z] = [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
		return 0.2126 * x + 0.7152 * y + 0.0722 * z;
	};
	const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
	const chain = (e) => { const all = []; for (; e; e = e.parentElement) all.unshift(e); return all; };
	const ground = (e) => chain(e).reduce((under, a) => {
		const s = getComputedStyle(a);
		return a instanceof SVGElement ? under : over(parse(s.backgroundColor), under);
	}, parse(getComputedStyle(document.body).backgroundColor));
	const faint = (e) => chain(e).reduce((o, a) => o * Number(getComputedStyle(a).opacity), 1);
	const found = new Map();
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let n; (n = walker.nextNode());) {
		const e = n.parentElement;
		if (!n.data.trim() || !e.checkVisibility({ visibilityProperty: true }) || e.closest(".vh, .skip, title, option, datalist, .said")) continue;
		const s = getComputedStyle(e);
		const svg = e instanceof SVGElement;
		let under = ground(e);
		if (svg) {
			const g = e.closest("[data-state]");
			const shape = g && (e.classList.contains("step") ? g.querySelector(".badge") : g.querySelector(".shape"));
			if (shape) under = over(parse(getComputedStyle(shape).fill), under);
		}
		let ink = parse(svg ? s.fill : s.color);
		ink[3] *= faint(e);
		const size = parseFloat(s.fontSize), large = size >= 24 || size >= 18.66 && Number(s.fontWeight) >= 700;
		const is = ratio(over(ink, under), under);
		if (is >= (large ? 3 : 4.5)) continue;
		const hex = (c) => "#" + c.slice(0, 3).map((v) => Math.round(v).toString(16).padStart(2, "0")).join("");
		const where = e.tagName.toLowerCase() + (e.getAttribute("class") ? "." + e.getAttribute("class").split(" ").join(".") : "") + " in " + (e.parentElement.getAttribute("class") ?? e.parentElement.tagName);
		found.set(where, hex(over(ink, under)) + " on " + hex(under) + " is " + is.toFixed(2) + " (" + n.data.trim().slice(0, 30) + ")");
	}
	return [...found].map(([where, what]) => where + ": " + what);
})()`

func TestEveryTextHasContrastInTheLightAndInTheDark(t *testing.T) {
	g := newGallery(t)
	for _, scheme := range []string{"light", "dark"} {
		t.Run(scheme, func(t *testing.T) {
			g.each(t, func(tb *tab) { tb.media("prefers-color-scheme", scheme, "prefers-reduced-motion", "reduce") }, func(t *testing.T, tb *tab) {
				if dark := read[bool](tb, `matchMedia("(prefers-color-scheme: dark)").matches`); dark != (scheme == "dark") {
					t.Fatal("the scheme is not taken")
				}
				for _, found := range read[[]string](tb, contrasts) {
					t.Errorf("contrast, %s: %s", scheme, found)
				}
			})
		})
	}
}

func TestNoPageIsWiderThanAPhone(t *testing.T) {
	newGallery(t).each(t, func(tb *tab) { still(tb); tb.size(360, 740) }, func(t *testing.T, tb *tab) {
		window := read[float64](tb, `document.scrollingElement.clientWidth`) // without a scrollbar
		if wide := read[float64](tb, `document.scrollingElement.scrollWidth`); wide > window {
			widest := read[[]string](tb, `[...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > innerWidth && !e.parentElement.closest(".scroll, .graph, pre")).map((e) => e.tagName + "." + e.getAttribute("class") + " to " + Math.round(e.getBoundingClientRect().right)).slice(0, 6)`)
			t.Errorf("the page is %v px wide in a window of %v: %q", wide, window, widest)
		}
	})
}

func TestWhoWantsLessMotionSeesNone(t *testing.T) {
	const watch = `(() => {
		window.moved = 0;
		new MutationObserver((all) => all.forEach((m) => { if (m.target.classList.contains("to-come")) window.moved++; })).observe(document.body, { subtree: true, attributes: true, attributeFilter: ["class"] });
		return true;
	})()`
	for motion, want := range map[string]bool{"reduce": false, "no-preference": true} {
		t.Run(motion, func(t *testing.T) {
			tb := newTab(t, newShop(t).url)
			tb.media("prefers-reduced-motion", motion)
			tb.open("/")
			read[bool](tb, watch)
			tb.click("#play-payment-failure")
			scenarios[1].is(tb)
			pause(10 * look)
			if moved := read[int](tb, "window.moved"); (moved > 0) != want {
				t.Errorf("%d parts moved, want any: %v", moved, want)
			}
			tb.await("everything has come", `!document.querySelector(".to-come")`)
			read[bool](tb, "(window.moved = 0, true)")
			tb.click("#play-happy-path") // after another run, of which more rows stand there
			scenarios[0].is(tb)
			tb.await("everything has come", `!document.querySelector(".to-come")`)
			if moved := read[int](tb, "window.moved"); (moved > 0) != want {
				t.Errorf("after another run %d parts moved, want any: %v", moved, want)
			}
			if faint := read[float64](tb, `((e) => { e.style.transition = "none"; e.classList.add("to-come"); const o = Number(getComputedStyle(e).opacity); e.classList.remove("to-come"); return o; })(document.querySelector("#run .edge.taken"))`); faint > 0.5 {
				t.Errorf("an edge that is to come has the opacity %v: .saga-graph .edge.taken wins over .to-come", faint)
			}
			if !want && read[bool](tb, `document.getAnimations().length > 0 || getComputedStyle(document.documentElement).scrollBehavior !== "auto"`) {
				t.Error("something still moves")
			}
		})
	}
}

// A finding is one of axe-core's.
type finding struct {
	ID     string
	Impact string
	Help   string
	Nodes  []string
}

func TestAxeFindsNothingSerious(t *testing.T) {
	path := os.Getenv("CLOUDFLOW_AXE")
	if path == "" {
		t.Skip("CLOUDFLOW_AXE names no axe.min.js: `tools/deps-axe` installs one")
	}
	axe, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	g := newGallery(t)
	for _, scheme := range []string{"light", "dark"} {
		t.Run(scheme, func(t *testing.T) {
			g.each(t, func(tb *tab) { tb.media("prefers-color-scheme", scheme, "prefers-reduced-motion", "reduce") }, func(t *testing.T, tb *tab) {
				tb.do("axe is there", func(ctx context.Context) error {
					_, err := chromedp.Run(ctx, chromedp.Evaluate[any](string(axe)+"; 1"))
					return err
				})
				for _, f := range readLater[[]finding](tb, `axe.run(document, { resultTypes: ["violations"] }).then((r) => r.violations.map((v) => ({ ID: v.id, Impact: v.impact, Help: v.help, Nodes: v.nodes.map((n) => n.html.slice(0, 160) + " " + n.failureSummary.replace(/\s+/g, " ").slice(0, 240)).slice(0, 4) })))`) {
					text := fmt.Sprintf("%s (%s): %s\n\t%s", f.ID, f.Impact, f.Help, strings.Join(f.Nodes, "\n\t"))
					switch {
					case f.Impact != "serious" && f.Impact != "critical":
						t.Log(text)
					case f.ID == "color-contrast":
						t.Errorf("%s", text)
					default:
						t.Error(text)
					}
				}
			})
		})
	}
}
