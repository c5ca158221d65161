package browsertest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience bounds every wait for something that should come at once: the machine may be busy, but not for ever.
const patience = 30 * time.Second

// look is how often a page is looked at while something is waited for.
const look = 20 * time.Millisecond

// browser is the one of this package, started by the first test that wants a tab.
var browser struct {
	once sync.Once
	ctx  context.Context
	end  func()
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if browser.end != nil {
		browser.end()
	}
	os.Exit(code)
}

// findBrowser is the browser's program, "" if there is none.
func findBrowser() string {
	if path := os.Getenv("CLOUDFLOW_BROWSER"); path != "" {
		return path
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// needBrowser skips a test that cannot have one. In CI that is a failure: nothing is skipped there unseen.
func needBrowser(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("a browser is not short")
	}
	path := findBrowser()
	if path == "" {
		const without = "there is no browser: `make deps-browser` installs one, or CLOUDFLOW_BROWSER names it"
		if os.Getenv("CI") == "true" {
			t.Fatal(without)
		}
		t.Skip(without)
	}
	return path
}

// startBrowser starts it once. Its directory is not a test's: it outlives the first one.
func startBrowser(t testing.TB) context.Context {
	t.Helper()
	path := needBrowser(t)
	browser.once.Do(func() {
		dir, err := os.MkdirTemp("", "cloudflow-browser-")
		if err != nil {
			browser.err = err
			return
		}
		options := append(chromedp.DefaultExecAllocatorOptions[:],
			chromedp.ExecPath(path), chromedp.UserDataDir(dir), chromedp.NoSandbox, chromedp.DisableGPU,
			chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("hide-scrollbars", false),
			// Nothing is looked up and no other host is reached, whatever asks: the test's own addresses are numbers.
			chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"),
			chromedp.Flag("lang", "en-US"),
		)
		allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
		ctx, cancel := chromedp.NewContext(allocator)
		browser.ctx = ctx
		browser.end = func() {
			cancel()
			stop()          // waits for the process
			for range 100 { // its children may write a little longer
				if os.RemoveAll(dir) == nil {
					return
				}
				pause(look)
			}
		}
		browser.err = chromedp.Do(ctx)
	})
	if browser.err != nil {
		t.Fatalf("%s does not start: %v", path, browser.err)
	}
	return browser.ctx
}

// pause lets d pass, where nothing says that it is time.
func pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}

// A tab is one page in the browser, and everything that was wrong with it.
type tab struct {
	t    testing.TB
	ctx  context.Context
	base string   // the instance's URL
	also []string // other URLs that the page may ask for

	mu       sync.Mutex
	faults   []string
	expected []*regexp.Regexp
	asked    []string // the URL of every request
}

// violations reports what the page's policy forbade. DevTools puts it into the page, so the policy does not forbid it.
const violations = `addEventListener("securitypolicyviolation", (e) => console.error("policy: " + e.violatedDirective + " forbids " + e.blockedURI + " " + e.sample));`

// newTab opens an empty tab for the pages of an instance. What went wrong in it fails the test when it ends.
func newTab(t testing.TB, base string) *tab {
	t.Helper()
	tb := &tab{t: t, base: base}
	ctx, cancel := chromedp.NewContext(startBrowser(t), chromedp.WithNewBrowserContext(), chromedp.WithListener(tb.watch))
	tb.ctx = ctx
	t.Cleanup(func() {
		tb.shoot()
		cancel()
		tb.judge()
	})
	// The context that a tab is opened with is the tab's life, so it has no limit of its own.
	late := time.AfterFunc(patience, cancel)
	if err := chromedp.Do(ctx); err != nil || !late.Stop() {
		t.Fatalf("a tab does not open: %v", err)
	}
	tb.do("a tab opens", func(ctx context.Context) error {
		if _, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: violations}); err != nil {
			return err
		}
		_, err := chromedp.Call(ctx, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
		return err
	})
	tb.size(1280, 900)
	return tb
}

// watch is told everything that happens in the tab, in its order.
func (tb *tab) watch(event any) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	fault := func(format string, args ...any) { tb.faults = append(tb.faults, fmt.Sprintf(format, args...)) }
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "assert" || e.Type == "warning" {
			var text []string
			for _, a := range e.Args {
				text = append(text, string(a.Value)+a.Description)
			}
			fault("console.%s: %s", e.Type, strings.Join(text, " "))
		}
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text += " " + e.ExceptionDetails.Exception.Description
		}
		fault("nobody caught: %s", text)
	case *cdplog.EventEntryAdded:
		if e.Entry.Level == "error" {
			fault("the browser says: %s %s", e.Entry.Text, e.Entry.URL)
		}
	case *page.EventJavascriptDialogOpening:
		fault("a dialog opened: %s", e.Message)
	case *network.EventRequestWillBeSent:
		tb.asked = append(tb.asked, e.Request.URL)
	}
}

// expect says what of a tab's faults is provoked.
func (tb *tab) expect(pattern string) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	tb.expected = append(tb.expected, regexp.MustCompile(pattern))
}

// judge fails the test for what was wrong in the tab.
func (tb *tab) judge() {
	tb.t.Helper()
	tb.mu.Lock()
	defer tb.mu.Unlock()
	for _, f := range tb.faults {
		wanted := false
		for _, e := range tb.expected {
			wanted = wanted || e.MatchString(f)
		}
		if !wanted {
			tb.t.Errorf("in the browser: %s", f)
		}
	}
	for _, asked := range tb.asked {
		of := func(base string) bool { return strings.HasPrefix(asked, base+"/") }
		if !of(tb.base) && !slices.ContainsFunc(tb.also, of) && asked != "about:blank" {
			tb.t.Errorf("the page asked for %s, which is not of %s", asked, tb.base)
		}
	}
}

// shoot keeps a picture of a tab whose test failed.
func (tb *tab) shoot() {
	dir := os.Getenv("CLOUDFLOW_BROWSER_SHOTS")
	if dir == "" || !tb.t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		tb.t.Logf("no picture: %v", err)
		return
	}
	name := filepath.Join(dir, strings.NewReplacer("/", "-", " ", "-").Replace(tb.t.Name())+".png")
	if err := os.WriteFile(name, picture, 0o600); err != nil {
		tb.t.Log(err)
		return
	}
	tb.t.Logf("a picture is at %s", name)
}

// do does something in the tab within patience; what is what does not happen, if it fails.
func (tb *tab) do(what string, f func(ctx context.Context) error) {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	if err := f(ctx); err != nil {
		tb.t.Fatalf("it does not happen that %s: %v", what, err)
	}
}

// open goes to a page and waits until it is loaded.
func (tb *tab) open(path string) {
	tb.t.Helper()
	tb.do(path+" is loaded", func(ctx context.Context) error { return chromedp.Do(ctx, chromedp.Navigate(tb.base+path)) })
}

// size is the window's, in CSS pixels.
func (tb *tab) size(width, height int64) {
	tb.t.Helper()
	tb.do("the window has a size", func(ctx context.Context) error { return chromedp.Do(ctx, chromedp.EmulateViewport(width, height)) })
}

// media sets what the visitor prefers: prefers-color-scheme, dark, and so on in turn.
func (tb *tab) media(features ...string) {
	tb.t.Helper()
	p := emulation.SetEmulatedMediaParams{}
	for i := 0; i+1 < len(features); i += 2 {
		p.Features = append(p.Features, &emulation.MediaFeature{Name: features[i], Value: features[i+1]})
	}
	tb.do("a preference is set", func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, p)
		return err
	})
}

// withoutScript turns the pages' JavaScript off. The test's own expressions are still evaluated.
func (tb *tab) withoutScript() {
	tb.t.Helper()
	tb.do("scripts are off", func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	})
}

// read evaluates an expression in the page.
func read[T any](tb *tab, expression string) T {
	tb.t.Helper()
	var v T
	tb.do("the page says what "+expression+" is", func(ctx context.Context) (err error) {
		v, err = chromedp.Run(ctx, chromedp.Evaluate[T](expression))
		return err
	})
	return v
}

// readLater evaluates a promise in the page.
func readLater[T any](tb *tab, expression string) T {
	tb.t.Helper()
	var v T
	tb.do("the page says what "+expression+" is", func(ctx context.Context) (err error) {
		v, err = chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
		return err
	})
	return v
}

// quote is a Go string as JavaScript has it.
func quote(s string) string {
	text, _ := json.Marshal(s)
	return string(text)
}

// text is the text of the first element that a selector finds, as one line; "" if there is none.
func (tb *tab) text(selector string) string {
	tb.t.Helper()
	return read[string](tb, `(document.querySelector(`+quote(selector)+`)?.textContent ?? "").trim().replace(/\s+/g, " ")`)
}

// texts are those of all elements that a selector finds.
func (tb *tab) texts(selector string) []string {
	tb.t.Helper()
	return read[[]string](tb, `[...document.querySelectorAll(`+quote(selector)+`)].map((e) => e.textContent.trim().replace(/\s+/g, " "))`)
}

func (tb *tab) count(selector string) int {
	tb.t.Helper()
	return read[int](tb, `document.querySelectorAll(`+quote(selector)+`).length`)
}

// await looks until an expression is true. It fails with what it was waited for, and with what some part of the page says instead.
func (tb *tab) await(what, expression string) {
	tb.t.Helper()
	limit := time.Now().Add(patience)
	for {
		ctx, cancel := context.WithTimeout(tb.ctx, patience)
		yes, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`Boolean(`+expression+`)`))
		cancel()
		if err == nil && yes {
			return
		}
		if time.Now().After(limit) {
			tb.t.Fatalf("it does not come that %s (%s): error %v; the page says %.600q", what, expression, err, tb.text("main"))
		}
		pause(look) // an error is a page on its way to another
	}
}

// awaitText looks until an element has a text in it.
func (tb *tab) awaitText(selector, text string) {
	tb.t.Helper()
	tb.await(fmt.Sprintf("%s says %q", selector, text), `document.querySelector(`+quote(selector)+`)?.textContent.replace(/\s+/g, " ").includes(`+quote(text)+`)`)
}

// A place is where an element is in the window, and whether a click there would reach it.
type place struct {
	X, Y    float64
	Covered string
}

// click clicks the middle of the first element that a selector finds, with the mouse, where it is seen.
func (tb *tab) click(selector string) {
	tb.t.Helper()
	tb.await(selector+" is there", `document.readyState === "complete" && document.querySelector(`+quote(selector)+`) !== null`) // and lies where it will stay
	p := read[place](tb, `(() => {
		const e = document.querySelector(`+quote(selector)+`);
		e.scrollIntoView({ block: "center", behavior: "instant" });
		const r = e.getClientRects()[0] ?? e.getBoundingClientRect();
		const p = { X: r.left + r.width / 2, Y: r.top + r.height / 2, Covered: "" };
		const hit = document.elementFromPoint(p.X, p.Y);
		if (!hit || !e.contains(hit) && !hit.contains(e)) p.Covered = hit ? hit.outerHTML.slice(0, 200) : "nothing";
		return p;
	})()`)
	if p.Covered != "" {
		tb.t.Fatalf("%s cannot be clicked: at its middle is %s", selector, p.Covered)
	}
	tb.do(selector+" is clicked", func(ctx context.Context) error { return chromedp.Do(ctx, chromedp.MouseClickXY(p.X, p.Y)) })
}

// fill types a text into an input, in the place of what stood there.
func (tb *tab) fill(selector, text string) {
	tb.t.Helper()
	read[bool](tb, `(() => { const e = document.querySelector(`+quote(selector)+`); e.focus(); e.select?.(); return true; })()`)
	tb.do(selector+" is filled", func(ctx context.Context) error {
		if text == "" {
			return chromedp.Do(ctx, chromedp.KeyEvent("\b"))
		}
		return insert(ctx, text)
	})
	if is := read[string](tb, `document.querySelector(`+quote(selector)+`).value`); is != text {
		tb.t.Fatalf("%s has the value %q after %q was typed", selector, is, text)
	}
}

// choose selects an option of a select element, and tells the page as a hand would.
func (tb *tab) choose(selector, value string) {
	tb.t.Helper()
	is := read[string](tb, `(() => { const e = document.querySelector(`+quote(selector)+`); e.value = `+quote(value)+`; e.dispatchEvent(new Event("input", { bubbles: true })); return e.value; })()`)
	if is != value {
		tb.t.Fatalf("%s has no option %q", selector, value)
	}
}

// path is where the tab is.
func (tb *tab) path() string {
	tb.t.Helper()
	return read[string](tb, `location.pathname + location.search`)
}

func quoteInt(n int) string { return fmt.Sprint(n) }
