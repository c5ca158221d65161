package main

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io"
	"strings"

	"github.com/utkarsh698/cloudflow/internal/loadtest"
)

// The report is one file without a script that fetches nothing. A chart is an image in it and not a part of the page: its ids and its
// white ground are its own.

//go:embed loadtest_report.html
var reportText string

var reportPage = template.Must(template.New("report").Funcs(template.FuncMap{
	"ms": milliseconds, "digits": digits, "count": count, "missing": missing,
	"decimals": decimals, "thousands": thousands, "loop": loopOf, "load": loadOf, "growth": growth,
	"words":    func(o loadtest.Outcome) string { return strings.ReplaceAll(string(o), "_", " ") },
	"perMin":   func(v float64) string { return decimals(60 * v) },
	"products": func(r loadtest.Result) string { return count(int64(r.Products), "product") },
	"plateau":  plateauOf,
	"booksOf":  books.summary,
	"several":  func(runs []loadtest.Result) bool { return len(runs) > 1 },
	"last":     func(runs []loadtest.Result) loadtest.Result { return runs[len(runs)-1] },
	"first":    func(runs []loadtest.Result) loadtest.Result { return runs[0] },
	"tailOf":   func(runs []loadtest.Result) (template.URL, error) { return chartOf(runs, loadtest.TailSVG) },
	"curveOf":  func(runs []loadtest.Result) (template.URL, error) { return chartOf(runs, loadtest.ThroughputSVG) },
	"bars":     func(r loadtest.Result) (template.URL, error) { return image(r.DistributionSVG) },
	"overTime": func(r loadtest.Result) (template.URL, error) { return image(r.LatencySVG) },
	"scatter":  func(r loadtest.Result) (template.URL, error) { return image(r.ScatterSVG) },
}).Parse(reportText))

func (m measured) html(w io.Writer) error { return reportPage.Execute(w, m) }

func chartOf(runs []loadtest.Result, draw func(io.Writer, []loadtest.Result) error) (template.URL, error) {
	return image(func(w io.Writer) error { return draw(w, runs) })
}

// image is a drawing as a URL that holds it.
func image(draw func(io.Writer) error) (template.URL, error) {
	var b bytes.Buffer
	if err := draw(&b); err != nil {
		return "", err
	}
	return template.URL("data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString(b.Bytes())), nil
}
