package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

func TestBackupAndRestoreCommands(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "--demo")
	o := s.place("--item", "MOUSE-01=1", "--email", "ada@example.test", "--idempotency-key", "k1")
	above := t.TempDir()
	online, offline := filepath.Join(above, "online"), filepath.Join(above, "offline")

	done := one[copied](s.cli("backup", online, "--json").exits(0))
	if done.Dir != online || done.Files < 5 || done.Bytes < 1000 || time.Since(done.CreatedAt) > time.Hour {
		t.Errorf("%+v", done)
	}
	t.Run("backup writes over nothing, and asks nobody for it", func(t *testing.T) {
		invoke(t, []string{"CLOUDFLOW_URL=http://127.0.0.1:1"}, "backup", online).exits(1).hints("is not empty")
		s.cli("backup", "").exits(2)
	})
	t.Run("restore refuses what is there, what is no backup, and no name", func(t *testing.T) {
		invoke(t, nil, "restore", online, "--data", s.data).exits(1).hints("is not empty")
		invoke(t, nil, "restore", s.data, "--data", filepath.Join(above, "x")).exits(1).hints("not a whole backup")
		invoke(t, nil, "restore", online).exits(2).hints("--data")
	})
	t.Run("a running instance's directory is not backed up behind its back", func(t *testing.T) {
		invoke(t, nil, "backup", filepath.Join(above, "y"), "--data", s.data).exits(1).hints("in use")
	})
	if code := s.end(); code != 0 {
		t.Fatalf("serve: exit %d", code)
	}
	invoke(t, nil, "backup", offline, "--data", s.data).exits(0).prints(offline, "files", "as of")
	for i, backup := range []string{online, offline} {
		restored := filepath.Join(above, "restored"+string(rune('0'+i)))
		r := invoke(t, nil, "restore", backup, "--data", restored, "--json").exits(0).hints("restored", "0 violations")
		if report := one[apigen.VerifyReport](r); !report.Ok || report.Orders != 1 {
			t.Errorf("%+v", report)
		}
		again := serve(t, restored)
		if same := again.place("--item", "MOUSE-01=1", "--email", "ada@example.test", "--idempotency-key", "k1"); same.OrderID != o.OrderID {
			t.Errorf("the same key is %s, it was %s", same.OrderID, o.OrderID)
		}
	}
	t.Run("restore refuses a backup that has changed, and makes nothing", func(t *testing.T) {
		path := filepath.Join(offline, "saga-keys.json")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(text, ' '), 0o600); err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(above, "z")
		invoke(t, nil, "restore", offline, "--data", target).exits(1).hints("not a whole backup", "saga-keys.json")
		if _, err := os.Stat(target); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v", err)
		}
	})
}

// torn serves the answers of another server, and cuts each body short.
func torn(t *testing.T, url string) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out, err := http.NewRequestWithContext(r.Context(), r.Method, url+r.URL.RequestURI(), http.NoBody)
		if err != nil {
			panic(err)
		}
		resp, err := http.DefaultClient.Do(out)
		if err != nil {
			panic(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		w.WriteHeader(resp.StatusCode)
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	srv.Config.ErrorLog = nil
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestADownloadThatIsTorn(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "--demo")
	s.place("--item", "MOUSE-01=1")
	environ := []string{"CLOUDFLOW_URL=" + torn(t, s.url)}
	above := t.TempDir()
	invoke(t, environ, "backup", filepath.Join(above, "backup")).exits(1).hints("incomplete")
	invoke(t, environ, "export", "orders").exits(1).hints("incomplete")
	invoke(t, environ, "export", "events", "--out", filepath.Join(above, "events")).exits(1).hints("incomplete")
	if left, err := os.ReadDir(above); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestExportCommands(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "--demo")
	first := s.place("--item", "MOUSE-01=1")
	second := s.place("--item", "KEYBD-01=1", "--payment-method", "pm_card_chargeDeclined")
	orders := s.cli("export", "orders").exits(0)
	if lines := strings.Split(orders.out, "\n"); len(lines) != 3 || !strings.Contains(lines[0], first.OrderID) || !strings.Contains(lines[1], "PAYMENT_DECLINED") {
		t.Errorf("printed %s", orders.out)
	}
	rows, err := csv.NewReader(strings.NewReader(s.cli("export", "events", "--format", "csv").exits(0).out)).ReadAll()
	if err != nil || len(rows) != 1+len(first.Events)+len(second.Events) || rows[0][2] != "type" || rows[1][2] != "ORDER_CREATED" {
		t.Errorf("%v %q", err, rows)
	}
	t.Run("an age and a time leave out what is older", func(t *testing.T) {
		if r := s.cli("export", "orders", "--since", "1h").exits(0); r.out != orders.out {
			t.Errorf("printed %s", r.out)
		}
		if r := s.cli("export", "orders", "--since", time.Now().Add(time.Hour).Format(time.RFC3339)).exits(0); r.out != "" {
			t.Errorf("printed %s", r.out)
		}
		s.cli("export", "orders", "--since", "yesterday").exits(2).hints("--since")
		s.cli("export", "orders", "--since", "-1h").exits(2).hints("--since")
	})
	t.Run("a file appears whole, for its owner, and is never written over", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "orders.ndjson")
		s.cli("export", "orders", "--out", path, "--json").exits(0)
		text, err := os.ReadFile(path)
		if err != nil || string(text) != orders.out {
			t.Errorf("%v %s", err, text)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v %v", info.Mode(), err)
		}
		s.cli("export", "orders", "--out", path).exits(1).hints("exists already")
	})
	t.Run("what cannot be asked for is a wrong command line", func(t *testing.T) {
		s.cli("export", "orders", "--format", "xml").exits(2).hints("--format")
		s.cli("export", "orders", "--json").exits(2).hints("ndjson")
		s.cli("export", "products").exits(2)
		s.cli("export", "orders", "--data", t.TempDir()).exits(1).hints("no data directory")
		s.cli("export", "orders", "--data", s.data).exits(1).hints("in use")
	})
	s.end()
	t.Run("a stopped directory gives the same rows", func(t *testing.T) {
		if r := invoke(t, nil, "export", "orders", "--data", s.data).exits(0); r.out != orders.out {
			t.Errorf("printed %s", r.out)
		}
	})
}

func TestEraseCommand(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "--demo")
	s.place("--item", "MOUSE-01=1", "--email", "ada@example.test")
	above := t.TempDir()
	backups := []string{filepath.Join(above, "1"), filepath.Join(above, "2")}
	for _, dir := range backups {
		s.cli("backup", dir).exits(0)
	}
	key := func(dir string) []byte {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, "contacts.keys"))
		if err != nil || len(text) != 128 {
			t.Fatalf("%d bytes, %v", len(text), err)
		}
		return text[64:]
	}
	nothing := make([]byte, 64)
	t.Run("a backup that is none is found before anything is erased", func(t *testing.T) {
		s.cli("erase", "cust-1", "--backup", above).exits(1).hints("not a whole backup")
		if bytes.Equal(key(s.data), nothing) {
			t.Error("the key is gone")
		}
	})
	t.Run("it erases in the instance and in the backups that are named", func(t *testing.T) {
		e := one[erased](s.cli("erase", "cust-1", "--backup", backups[0], "--json").exits(0))
		if e.CustomerID != "cust-1" || time.Since(e.ErasedAt) > time.Hour || len(e.Backups) != 1 {
			t.Errorf("%+v", e)
		}
		if !bytes.Equal(key(s.data), nothing) || !bytes.Equal(key(backups[0]), nothing) || bytes.Equal(key(backups[1]), nothing) {
			t.Error("a key is there, or gone, that should not")
		}
	})
	t.Run("a repeat, and a customer who never was, are answered alike", func(t *testing.T) {
		s.cli("erase", "cust-1").exits(0).prints("cust-1  erased")
		s.cli("erase", "nobody").exits(0).prints("nobody  erased")
		s.cli("erase", "ada@example.test").exits(1).hints("VALIDATION_FAILED (422)")
		s.cli("erase").exits(2)
	})
	s.end()
	t.Run("it works on a stopped directory", func(t *testing.T) {
		restored := filepath.Join(above, "restored")
		invoke(t, nil, "restore", backups[1], "--data", restored).exits(0)
		invoke(t, nil, "erase", "cust-1", "--data", restored, "--backup", backups[1]).exits(0).prints("and in " + backups[1])
		if !bytes.Equal(key(restored), nothing) || !bytes.Equal(key(backups[1]), nothing) {
			t.Error("a key is still there")
		}
		invoke(t, nil, "verify", "--data", restored).exits(0)
	})
}

func TestRetentionCommand(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "--demo", "--keep-executions", "1h")
	s.place("--item", "MOUSE-01=1")
	s.cli("retention").exits(0).prints("kept long enough", "idempotency keys  0", "executions        0", "orders            0")
	s.cli("retention", "--run").exits(0).prints("deleted")
	if r := one[apigen.Retention](s.cli("retention", "--json").exits(0)); r != (apigen.Retention{}) {
		t.Errorf("%+v", r)
	}
	s.cli("retention", "now").exits(2)
	s.end()
	invoke(t, nil, "retention", "--data", s.data, "--run", "--json").exits(0).prints(`"orders":0`)
	invoke(t, nil, "serve", "--keep-executions", "5s").exits(2).hints("--keep-executions")
}
