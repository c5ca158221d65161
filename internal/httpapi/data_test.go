package httpapi_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
)

func TestEraseCustomer(t *testing.T) {
	w := newWorld()
	a := w.serve(t).send("POST", "/admin/customers/cust-001/erase", "")
	if a.status != 200 || a.body != `{"customer_id":"cust-001","erased_at":"2026-01-15T10:30:00Z"}` || w.actor != "anonymous" || w.erased[0] != "cust-001" {
		t.Errorf("%d %s by %s", a.status, a.body, w.actor)
	}
}

func TestStreamedAnswers(t *testing.T) {
	paths := map[string]string{
		"/admin/backup": "POST", "/admin/export/orders": "GET", "/admin/export/events?format=csv": "GET",
	}
	t.Run("go out as they are written, each under its media type", func(t *testing.T) {
		for path, want := range map[string]string{
			"/admin/backup": "application/x-tar", "/admin/export/orders": "application/x-ndjson",
			"/admin/export/orders?format=ndjson": "application/x-ndjson", "/admin/export/events?format=csv": "text/csv",
		} {
			method := paths[path]
			if method == "" {
				method = "GET"
			}
			a := newWorld().serve(t).send(method, path, "")
			if a.status != 200 || a.body != streamedText || a.header.Get("Content-Type") != want || a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %d %s %v", path, a.status, a.body, a.header)
			}
		}
	})
	t.Run("that hold nothing are answers, too", func(t *testing.T) {
		w := newWorld()
		w.streams = func(io.Writer) error { return nil }
		if a := w.serve(t).send("GET", "/admin/export/orders", ""); a.status != 200 || a.body != "" || a.header.Get("Content-Type") != "application/x-ndjson" {
			t.Errorf("%d %q %v", a.status, a.body, a.header)
		}
	})
	t.Run("that fail half way are cut, and never look whole", func(t *testing.T) {
		for path, method := range paths {
			w := newWorld()
			w.streams = func(out io.Writer) error {
				_, err := out.Write(make([]byte, 100_000))
				return errors.Join(err, errors.New("the disk failed"))
			}
			srv := httptest.NewServer(w.handler())
			r, _ := http.NewRequestWithContext(t.Context(), method, srv.URL+path, http.NoBody)
			resp, err := http.DefaultClient.Do(r)
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			srv.Close()
			if err == nil || !strings.Contains(w.log.String(), "the disk failed") {
				t.Errorf("%s: %v, log %s", path, err, w.log.String())
			}
		}
	})
	t.Run("take as long as they take, if their caller reads", func(t *testing.T) {
		onServer(t, func(t *testing.T, w *world, c *http.Client) {
			w.streams = func(out io.Writer) error {
				for range 30 {
					time.Sleep(10 * time.Second) // of the bubble
					if _, err := out.Write(make([]byte, 10_000)); err != nil {
						return err
					}
				}
				return nil
			}
			if status, body := call(t, c, "POST", "", "/admin/backup"); status != 200 || len(body) != 300_000 {
				t.Errorf("%d, %d bytes", status, len(body))
			}
		})
	})
	t.Run("end for a caller who reads nothing", func(t *testing.T) {
		onServer(t, func(t *testing.T, w *world, c *http.Client) {
			ended := make(chan error, 1)
			w.streams = func(out io.Writer) error {
				for {
					if _, err := out.Write(make([]byte, 10_000)); err != nil {
						ended <- err
						return err
					}
				}
			}
			resp, err := c.Post("http://server/admin/backup", "", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			began := time.Now()
			if <-ended; time.Since(began) > time.Minute {
				t.Errorf("it was held for %s", time.Since(began))
			}
			synctest.Wait()
		})
	})
	t.Run("are not begun by a server that is about to stop", func(t *testing.T) {
		w := newWorld()
		w.drain.Start()
		w.err = fault.New(fault.Internal, "the context ended")
		for path, method := range paths {
			if a := w.serve(t).send(method, path, ""); a.status != 503 {
				t.Errorf("%s: %d", path, a.status)
			}
		}
	})
}

func TestExportParameters(t *testing.T) {
	t.Run("reach the export", func(t *testing.T) {
		w := newWorld()
		w.serve(t).send("GET", "/admin/export/events?format=csv&since=2026-01-15T10:30:00%2B01:00", "")
		if w.export.Format != "csv" || !w.export.Since.Equal(start.Add(-time.Hour)) {
			t.Errorf("%+v", w.export)
		}
	})
	for query, field := range map[string]string{"since=yesterday": "since", "since=": "since", "from=1": "from", "format=csv&format=csv": "format"} {
		t.Run(query+" is 400 and named", func(t *testing.T) {
			a := newWorld().serve(t).send("GET", "/admin/export/orders?"+query, "")
			if a.status != 400 || a.problem(t)["field"] != field {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	t.Run("the media type of the format is held against Accept", func(t *testing.T) {
		for accept, status := range map[string]int{"text/csv": 200, "application/x-ndjson": 406, "*/*": 200} {
			if a := newWorld().serve(t).send("GET", "/admin/export/orders?format=csv", "", "Accept", accept); a.status != status {
				t.Errorf("%s: %d", accept, a.status)
			}
		}
	})
}

func TestRetention(t *testing.T) {
	w := newWorld()
	c := w.serve(t)
	if a := c.send("GET", "/admin/retention", ""); a.body != `{"idempotency_keys":3,"executions":2,"orders":1,"waiting":1,"more":true}` || w.retained != 0 {
		t.Errorf("%s, %d runs", a.body, w.retained)
	}
	if a := c.send("POST", "/admin/retention", "{}"); a.body != `{"idempotency_keys":3,"executions":0,"orders":0,"waiting":0}` || w.retained != 1 {
		t.Errorf("%s, %d runs", a.body, w.retained)
	}
}
