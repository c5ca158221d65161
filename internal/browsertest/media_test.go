package browsertest

import (
	"bytes"
	"cmp"
	"context"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

const (
	mediaWidth, mediaHeight = 1280, 960 // of the window
	gifWidth, gifHeight     = 960, 720  // of the same window, seen from further away
	gifMost                 = 4 << 20   // bytes: it is the first thing that a reader of the README loads
)

// TestTheReadmesPicturesAreMade plays the four scenarios and keeps what is seen: `make demo-media`. Nothing in the pictures is arranged but the
// window's size, and where it is scrolled to.
func TestTheReadmesPicturesAreMade(t *testing.T) {
	dir := os.Getenv("CLOUDFLOW_MEDIA")
	if dir == "" {
		t.Skip("CLOUDFLOW_MEDIA names no directory for them: `make demo-media`")
	}
	s := newShop(t)
	tb := newTab(t, s.url)
	tb.media("prefers-color-scheme", "light")
	tb.do("no scrollbar is in the pictures", func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, emulation.SetScrollbarsHidden, emulation.SetScrollbarsHiddenParams{Hidden: true})
		return err
	})
	f := &film{tb: tb}
	f.far()
	tb.open("/")
	tb.awaitText("#feed-state", "live")
	f.hold(time.Second)
	for n, scenario := range scenarios {
		if scenario.name == "oversell" { // it is about stock, not about the circuit that the scenario before has opened
			s.call(http.StatusOK, "POST", "/admin/breakers/payment-charge/reset", nil)
			tb.open("/")
		}
		f.hold(500 * time.Millisecond)
		tb.click("#play-" + scenario.name)
		tb.await("the outcome is "+scenario.outcome, `document.querySelector("#run .said-outcome .status")?.textContent === `+quote(scenario.outcome))
		tb.scroll("#run", "start")
		last := "#run"
		if scenario.rows == nil {
			f.hold(2 * time.Second)
			last = map[string]string{"circuit-breaker": "#breakers", "oversell": "#shelf"}[scenario.name]
			tb.scroll(last, "end")
			f.hold(1300 * time.Millisecond)
		} else {
			f.roll(1800 * time.Millisecond)
			tb.await("the saga has come to its end", `!document.querySelector("#run").dataset.poll && !document.querySelector(".to-come")`)
			f.hold(1500 * time.Millisecond)
			tb.scroll("#run", "end")
			f.hold(1900 * time.Millisecond)
		}
		tb.await("the page rests", `!document.querySelector("#said p, #run[data-poll], .to-come") && !document.getAnimations().some((a) => a.playState === "running")`)
		bottom := read[float64](tb, `scrollY + document.querySelector(`+quote(last)+`).getBoundingClientRect().bottom + 24`)
		tb.scroll("body", "start")
		f.near()
		name := []string{"demo-01-happy-path", "demo-02-compensation", "demo-03-circuit-breaker", "demo-04-oversell"}[n] + ".png"
		if err := os.WriteFile(filepath.Join(dir, name), tb.picture(bottom), 0o644); err != nil {
			t.Fatal(err)
		}
		f.far()
	}
	text := f.gif()
	if len(text) > gifMost {
		t.Errorf("the film has %d bytes, want at most %d", len(text), gifMost)
	}
	if err := os.WriteFile(filepath.Join(dir, "demo.gif"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("demo.gif has %d pictures, %s, %d bytes", len(f.frames), f.length(), len(text))
}

func (tb *tab) scroll(selector, block string) {
	tb.t.Helper()
	read[bool](tb, `(document.querySelector(`+quote(selector)+`).scrollIntoView({ block: `+quote(block)+`, behavior: "instant" }), true)`)
}

// picture is the page from its top to a height, as PNG.
func (tb *tab) picture(bottom float64) []byte {
	tb.t.Helper()
	beyond := true
	return tb.capture(page.CaptureScreenshotParams{Clip: &page.Viewport{Width: mediaWidth, Height: bottom, Scale: 1}, CaptureBeyondViewport: &beyond})
}

func (tb *tab) capture(p page.CaptureScreenshotParams) []byte {
	tb.t.Helper()
	var text []byte
	tb.do("a picture is taken", func(ctx context.Context) error {
		r, err := chromedp.Call(ctx, page.CaptureScreenshot, p)
		text = r.Data
		return err
	})
	return text
}

// A film is what the window showed, picture after picture.
type film struct {
	tb     *tab
	shots  [][]byte // as the browser gave them
	delays []time.Duration

	frames []*image.RGBA
}

// far sets the window up for the film, and near for a picture: the same page, drawn smaller.
func (f *film) far() {
	f.tb.do("the window is seen from afar", func(ctx context.Context) error {
		return chromedp.Do(ctx, chromedp.EmulateViewport(mediaWidth, mediaHeight, chromedp.EmulateScale(float64(gifWidth)/mediaWidth)))
	})
}

func (f *film) near() { f.tb.size(mediaWidth, mediaHeight) }

// hold keeps what the window shows now, for so long.
func (f *film) hold(d time.Duration) {
	f.tb.t.Helper()
	fast := true
	f.shots, f.delays = append(f.shots, f.tb.capture(page.CaptureScreenshotParams{OptimizeForSpeed: &fast})), append(f.delays, d)
}

// roll keeps what the window shows while d passes, as fast as pictures can be taken.
func (f *film) roll(d time.Duration) {
	f.tb.t.Helper()
	for began, last := time.Now(), time.Now(); last.Sub(began) < d; {
		f.hold(0)
		pause(time.Until(last.Add(100 * time.Millisecond)))
		now := time.Now()
		f.delays[len(f.delays)-1], last = now.Sub(last), now
	}
}

// develop reads the pictures; one that is as the one before it makes that one longer.
func (f *film) develop() {
	f.tb.t.Helper()
	var delays []time.Duration
	for n, shot := range f.shots {
		p, err := png.Decode(bytes.NewReader(shot))
		if err != nil {
			f.tb.t.Fatal(err)
		}
		if p.Bounds().Dx() != gifWidth || p.Bounds().Dy() != gifHeight {
			f.tb.t.Fatalf("a picture has the bounds %s", p.Bounds())
		}
		frame := image.NewRGBA(image.Rect(0, 0, gifWidth, gifHeight))
		draw.Draw(frame, frame.Rect, p, p.Bounds().Min, draw.Src)
		if last := len(f.frames) - 1; last >= 0 && bytes.Equal(f.frames[last].Pix, frame.Pix) {
			delays[last] += f.delays[n]
			continue
		}
		f.frames, delays = append(f.frames, frame), append(delays, f.delays[n])
	}
	f.delays = delays
}

func (f *film) length() (d time.Duration) {
	for _, one := range f.delays {
		d += one
	}
	return d
}

// gif puts the film together: one palette for all, and of each picture only what is new in it.
func (f *film) gif() []byte {
	f.tb.t.Helper()
	f.develop()
	colors := palette(f.frames, 255)
	all := append(slices.Clone(colors), color.RGBA{}) // the last is transparent: as it was
	same := uint8(len(colors))
	nearest := map[color.RGBA]uint8{}
	out := &gif.GIF{Config: image.Config{ColorModel: all, Width: f.frames[0].Rect.Dx(), Height: f.frames[0].Rect.Dy()}}
	var before *image.RGBA
	for n, frame := range f.frames {
		p := image.NewPaletted(changed(before, frame), all)
		for y := p.Rect.Min.Y; y < p.Rect.Max.Y; y++ {
			for x := p.Rect.Min.X; x < p.Rect.Max.X; x++ {
				c := frame.RGBAAt(x, y)
				if before != nil && before.RGBAAt(x, y) == c {
					p.SetColorIndex(x, y, same)
					continue
				}
				i, ok := nearest[c]
				if !ok {
					i = uint8(colors.Index(c))
					nearest[c] = i
				}
				p.SetColorIndex(x, y, i)
			}
		}
		before = frame
		out.Image, out.Delay, out.Disposal = append(out.Image, p), append(out.Delay, int(f.delays[n]/(10*time.Millisecond))), append(out.Disposal, gif.DisposalNone)
	}
	var text bytes.Buffer
	if err := gif.EncodeAll(&text, out); err != nil {
		f.tb.t.Fatal(err)
	}
	return text.Bytes()
}

// changed is the least rectangle outside of which two pictures are the same.
func changed(before, now *image.RGBA) image.Rectangle {
	if before == nil {
		return now.Rect
	}
	var r image.Rectangle
	for y := range now.Rect.Dy() {
		for x := range now.Rect.Dx() {
			if before.RGBAAt(x, y) != now.RGBAAt(x, y) {
				r = r.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	if r.Empty() {
		return image.Rect(0, 0, 1, 1)
	}
	return r
}

// palette is at most so many colours that stand for all in the pictures, by median cut (Heckbert, 1982): the box with the most spread, weighted by
// its pixels, is cut at its median until there are enough. A page has few colours and their edges; dithering would make noise of its planes.
func palette(frames []*image.RGBA, most int) color.Palette {
	counts := map[color.RGBA]int{}
	for _, f := range frames {
		for i := 0; i < len(f.Pix); i += 4 {
			counts[color.RGBA{f.Pix[i], f.Pix[i+1], f.Pix[i+2], 255}]++
		}
	}
	type counted struct {
		v [3]int
		n int
	}
	var whole []counted
	for c, n := range counts {
		whole = append(whole, counted{[3]int{int(c.R), int(c.G), int(c.B)}, n})
	}
	by := func(axis int) func(a, b counted) int {
		return func(a, b counted) int {
			return cmp.Or(a.v[axis]-b.v[axis], a.v[0]-b.v[0], a.v[1]-b.v[1], a.v[2]-b.v[2])
		}
	}
	slices.SortFunc(whole, by(0)) // the order of a map is none
	widest := func(box []counted) (axis, spread int) {
		for a := range 3 {
			lo, hi := 255, 0
			for _, c := range box {
				lo, hi = min(lo, c.v[a]), max(hi, c.v[a])
			}
			if hi-lo > spread {
				axis, spread = a, hi-lo
			}
		}
		return axis, spread
	}
	boxes := [][]counted{whole}
	for len(boxes) < most {
		best, most, at := -1, 0.0, 0
		for i, box := range boxes {
			axis, spread := widest(box)
			n := 0
			for _, c := range box {
				n += min(c.n, 5000) // a plane is one colour, however large it is
			}
			if w := float64(spread) * float64(spread) * float64(n); w > most {
				best, most, at = i, w, axis
			}
		}
		if best < 0 {
			break
		}
		box := boxes[best]
		slices.SortFunc(box, by(at))
		half, n, cut := 0, 0, 1
		for _, c := range box {
			half += min(c.n, 5000)
		}
		for i, c := range box[:len(box)-1] {
			if n += min(c.n, 5000); 2*n >= half {
				cut = i + 1
				break
			}
			cut = i + 1
		}
		boxes[best] = box[:cut]
		boxes = append(boxes, box[cut:])
	}
	var p color.Palette
	for _, box := range boxes {
		top := slices.MaxFunc(box, func(a, b counted) int { return a.n - b.n })
		p = append(p, color.RGBA{uint8(top.v[0]), uint8(top.v[1]), uint8(top.v[2]), 255})
	}
	return p
}
