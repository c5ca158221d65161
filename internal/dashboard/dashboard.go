// Package dashboard is the pages at /: the saga as it works, orders, what an operator looks at and turns.
//
// It is a client of the HTTP API that stands in the same process: what a page shows comes from an answer of the API, what a button does is a
// call of it, made as the visitor. So nothing can be seen or done here that could not be there, every limit counts, and a rule stands in one room.
// What the API does not tell (the last log lines, how a notification went, whether a chain holds) comes through narrow functions of Config.
//
// A visitor proves who it is as browsers can: HTTP Basic, whose password is an API key or a token (RFC 7617). Since a browser sends
// that by itself, nothing that writes is taken from another origin (http.CrossOriginProtection).
//
// Pages are whole without JavaScript. With it, parts of a page (data-live, data-poll) are asked for again when something happened, and
// forms and links (data-swap) replace a part instead of the page. There is one policy for all of them: no script and no style but our files,
// nothing from another host.
//
// It keeps in memory, for as long as the process runs: the last runs of the scenarios, fifteen minutes of the board, and the
// last load test, which is made by internal/loadtest over HTTP as by anybody, from this process.
package dashboard

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/sagagraph"
)

// Config of the pages. API is required.
type Config struct {
	API         http.Handler // all routes: an operator's pages need those of customers, too
	Development bool         // nobody proves anything, and the scenarios can be played
	// Demo are the products that the scenarios order, by their ids: made if they are not there. In development mode it is required.
	Demo  map[string]apigen.ProductPut
	Graph sagagraph.Graph
	Log   func(text string) []string
	// Chain says whether an order's log is unbroken; nil: it is not checked.
	Chain func(ctx context.Context, orderID string) error
	// Notification is how the customer was told of an event; ok is false if no send was begun.
	Notification func(ctx context.Context, orderID string, version int64) (n Notification, ok bool, err error)
	// Follow calls each for everything that happens to orders from now on, until ctx ends.
	Follow func(ctx context.Context, each func(Event)) error
	// Services are the figures of the service map; nil: there is no map.
	Services func() []ServiceFigure
	// LoadURL is where this instance listens, as the load test calls it over HTTP; "" or nil: it cannot be called.
	LoadURL func() string
	Now     func() time.Time // nil: time.Now
	Logger  *slog.Logger     // nil: nothing is logged
}

// A Notification is how a customer was told, without whom and what.
type Notification struct {
	Kind, Status, Channel, MessageID string
	Attempts                         int64
	BegunAt, EndedAt                 time.Time // zero: not yet
}

// An Event is one entry of an order's log.
type Event struct {
	OrderID, Type, Status string
	Version               int64
	At                    time.Time
}

// Policy is the Content-Security-Policy of every page.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; " +
	"base-uri 'none'; frame-ancestors 'none'"

//go:embed templates assets
var files embed.FS

type server struct {
	c     Config
	pages map[string]*template.Template
	runs  runs
	board *board
	load  *loadTest
}

// A Dashboard is the pages as a handler, and what has to run beside it.
type Dashboard struct {
	http.Handler
	s *server
}

// New returns the pages.
func New(c Config) (*Dashboard, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	d := &server{c: c, board: newBoard(c.Now), load: newLoadTest()}
	var err error
	if d.pages, err = parse(); err != nil {
		return nil, err
	}
	assets, err := fs.Sub(files, "assets")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	page := func(pattern string, h func(*visit, http.ResponseWriter) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			v := d.visit(r)
			err := v.form()
			if err == nil {
				err = h(v, w)
			}
			if err != nil {
				d.refuse(w, r, err)
			}
		})
	}
	page("GET /{$}", d.home)
	page("POST /dashboard/scenarios/{name}", d.playScenario)
	page("POST /dashboard/orders", d.placeOrder)
	page("GET /dashboard/reset", d.askReset)
	page("POST /dashboard/reset", d.reset)
	page("GET /dashboard/orders", d.orders)
	page("GET /dashboard/orders/{id}", d.order)
	page("POST /dashboard/orders/{id}/cancel", d.cancelOrder)
	page("GET /dashboard/operations", d.operations)
	page("POST /dashboard/breakers/{name}/{move}", d.moveBreaker)
	page("POST /dashboard/products/{id}/restock", d.restock)
	page("POST /dashboard/sagas/{id}/redrive", d.redrive)
	page("POST /dashboard/dlq/redrive", d.redriveLetters)
	page("GET /dashboard/load", d.showLoad)
	page("POST /dashboard/load", d.startLoad)
	page("POST /dashboard/load/stop", d.stopLoad)
	page("GET /dashboard/load/latency.svg", d.loadFile("latency.svg", "image/svg+xml", latencyFile))
	page("GET /dashboard/load/distribution.svg", d.loadFile("distribution.svg", "image/svg+xml", distributionFile))
	page("GET /dashboard/load/series.csv", d.loadFile("series.csv", "text/csv; charset=utf-8", seriesFile))
	mux.Handle("GET /dashboard/assets/", http.StripPrefix("/dashboard/assets/", cached(http.FileServerFS(assets))))
	mux.Handle("GET /dashboard/api/", http.StripPrefix("/dashboard/api", d.passOn()))
	page("/", func(*visit, http.ResponseWriter) error {
		return &refusal{Status: http.StatusNotFound, Code: "NOT_FOUND", Message: "There is no such page."}
	})
	return &Dashboard{Handler: guarded(mux), s: d}, nil
}

// Run keeps the board and makes the load tests until ctx ends, which ends the one that runs: it returns when that has.
func (d *Dashboard) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var loads sync.WaitGroup
	defer loads.Wait()
	defer cancel()
	loads.Go(func() { d.s.load.run(ctx) })
	if d.s.c.Follow == nil {
		<-ctx.Done()
		return nil
	}
	return d.s.c.Follow(ctx, d.s.board.add)
}

// Has reports whether a path is one of the pages'. All others are the API's.
func Has(path string) bool {
	return path == "/" || path == "/dashboard" || strings.HasPrefix(path, "/dashboard/")
}

// guarded puts the headers on every answer and refuses what a page of another origin sends.
func guarded(h http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "A page of another origin may not do this.", http.StatusForbidden)
	}))
	inner := protection.Handler(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range map[string]string{
			"Content-Security-Policy": Policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			w.Header().Set(name, value)
		}
		if r.URL.Path == "/dashboard" || r.URL.Path == "/dashboard/" {
			http.Redirect(w, r, "/", http.StatusSeeOther)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		inner.ServeHTTP(w, r)
	})
}

// maxForm is more than the largest form has.
const maxForm = 64 << 10

// cached lets a browser keep a file and ask whether it has changed.
func cached(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		h.ServeHTTP(w, r)
	})
}

// passOn hands reading calls of a page's script to the API, as the visitor.
func (d *server) passOn() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b := bearer(r); b != "" {
			r.Header.Set("Authorization", b)
		}
		d.c.API.ServeHTTP(w, r)
	})
}

// refuse shows what went wrong as a page.
func (d *server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	no := &refusal{Status: http.StatusInternalServerError, Code: "INTERNAL", Message: "Something is wrong with this page; the log says what."}
	if !errors.As(err, &no) {
		d.c.Logger.ErrorContext(r.Context(), "A page could not be made", "path", r.URL.Path, "error", err.Error())
	}
	if no.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="CloudFlow: any name, and an API key as the password", charset="UTF-8"`)
	}
	if err := d.show(w, no.Status, "problem", &page{Title: "Not possible", Problem: no}); err != nil {
		d.c.Logger.ErrorContext(r.Context(), "A page could not be made", "path", r.URL.Path, "error", err.Error())
	}
}

// allowed is asked by pages that make no call of their own before they show something.
func (v *visit) allowed() error {
	return v.call(nil, func(api *apigen.Client) (*http.Response, error) { return api.ListBreakers(v.r.Context()) })
}

// see sends the browser to another page after something was done.
func see(w http.ResponseWriter, r *http.Request, format string, args ...any) error {
	http.Redirect(w, r, fmt.Sprintf(format, args...), http.StatusSeeOther)
	return nil
}

// form reads the form of a POST before anything is done. A body that is over its bound is 413.
func (v *visit) form() error {
	if v.r.Method != http.MethodPost {
		return nil
	}
	err := v.r.ParseForm()
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return &refusal{Status: http.StatusRequestEntityTooLarge, Code: "PAYLOAD_TOO_LARGE", Message: fmt.Sprintf("A form has up to %d bytes.", large.Limit)}
	case err != nil:
		return badForm("The form cannot be read.")
	}
	return nil
}
