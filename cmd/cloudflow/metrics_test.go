package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestServeRefusesAVariableOfOpenTelemetryBeforeItTouchesTheDirectory(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	for _, c := range []struct{ variable, hint string }{
		{"OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318", "http://127.0.0.1:4318"},
		{"OTEL_METRICS_EXPORTER=console", "/metrics"},
		{"OTEL_SDK_DISABLED=perhaps", "true, false"},
	} {
		name, _, _ := strings.Cut(c.variable, "=")
		invoke(t, []string{c.variable}, "serve", "--addr", "127.0.0.1:0", "--data", data).exits(2).hints(name, c.hint)
		if _, err := os.Stat(data); !os.IsNotExist(err) {
			t.Errorf("%s: the directory was made: %v", c.variable, err)
		}
	}
}

func TestServeSendsItsLastMetricsAtTheStop(t *testing.T) {
	sent := make(chan string, 8)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		sent <- r.URL.Path + " " + string(body)
	}))
	defer collector.Close()
	log := newServeLog()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"serve", "--addr", "127.0.0.1:0", "--data", t.TempDir()}, strings.NewReader(""), io.Discard, log,
			[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.URL})
	}()
	log.url(t)
	cancel()
	if code := <-ended; code != 0 {
		t.Fatalf("exit %d: %s", code, log)
	}
	select {
	case got := <-sent:
		if !strings.HasPrefix(got, "/v1/metrics ") || !strings.Contains(got, "cloudflow.orders.created") || !strings.Contains(got, "cloudflow.store.commit.duration") {
			t.Errorf("sent %q", got)
		}
	default:
		t.Error("nothing was sent")
	}
}
