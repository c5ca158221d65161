package certs_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/certs"
	"github.com/utkarsh698/cloudflow/internal/certtest"
)

type world struct {
	t         *testing.T
	cert, key string
	files     *certs.Files
	now       time.Time
	log       bytes.Buffer
}

func newWorld(t *testing.T) *world {
	dir := t.TempDir()
	w := &world{t: t, cert: filepath.Join(dir, "tls.crt"), key: filepath.Join(dir, "tls.key"), now: time.Now()}
	w.install(certtest.SelfSigned(t, 1))
	var err error
	w.files, err = certs.Open(w.cert, w.key, func() time.Time { return w.now }, slog.New(slog.NewJSONHandler(&w.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) install(cert, key []byte) {
	w.t.Helper()
	for path, text := range map[string][]byte{w.cert: cert, w.key: key} {
		if err := os.WriteFile(path+".new", text, 0o600); err != nil {
			w.t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			w.t.Fatal(err)
		}
	}
}

// serves is the serial number of the certificate that a connection is shown.
func (w *world) serves() int64 {
	w.t.Helper()
	c, err := w.files.Config().GetCertificate(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return c.Leaf.SerialNumber.Int64()
}

func TestFiles(t *testing.T) {
	t.Run("a new certificate is served two seconds later, and not looked for before", func(t *testing.T) {
		w := newWorld(t)
		w.install(certtest.SelfSigned(t, 2))
		w.now = w.now.Add(2*time.Second - 1)
		if got := w.serves(); got != 1 {
			t.Errorf("serves %d at once", got)
		}
		w.now = w.now.Add(1)
		if got := w.serves(); got != 2 || !strings.Contains(w.log.String(), `"serial":"2"`) {
			t.Errorf("serves %d then, log %s", got, w.log.String())
		}
	})
	cert2, key2 := certtest.SelfSigned(t, 2)
	for rule, spoil := range map[string]func(*world){
		"whose key does not come along":  func(w *world) { _, old := certtest.SelfSigned(t, 3); w.install(cert2, old) },
		"that is half written":           func(w *world) { w.install(cert2[:len(cert2)/2], key2) },
		"that is no certificate":         func(w *world) { w.install([]byte("hello"), key2) },
		"whose key is gone":              func(w *world) { _ = os.Remove(w.key) },
		"that is gone, the key with it":  func(w *world) { _, _ = os.Remove(w.key), os.Remove(w.cert) },
		"with the two files in exchange": func(w *world) { w.install(key2, cert2) },
	} {
		t.Run("one "+rule+" leaves the old one in use, is logged once, and is tried again when it is mended", func(t *testing.T) {
			w := newWorld(t)
			spoil(w)
			for range 3 {
				w.now = w.now.Add(2 * time.Second)
				if got := w.serves(); got != 1 {
					t.Errorf("serves %d", got)
				}
			}
			if log := w.log.String(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "cannot be used") || strings.Contains(log, "PRIVATE") {
				t.Errorf("log: %s", log)
			}
			w.install(cert2, key2)
			w.now = w.now.Add(2 * time.Second)
			if got := w.serves(); got != 2 {
				t.Errorf("mended, it serves %d", got)
			}
		})
	}
	t.Run("to begin with, files that cannot be used are an error that names the one", func(t *testing.T) {
		w := newWorld(t)
		_, other := certtest.SelfSigned(t, 3)
		for _, c := range []struct {
			cert, key []byte
			names     string
		}{{cert2, other, w.key}, {[]byte("x"), key2, w.cert}, {nil, nil, w.cert}} {
			w.install(c.cert, c.key)
			if _, err := certs.Open(w.cert, w.key, nil, nil); err == nil || !strings.Contains(err.Error(), c.names) {
				t.Errorf("%v", err)
			}
		}
		if _, err := certs.Open(w.cert+"x", w.key, nil, nil); err == nil || !strings.Contains(err.Error(), "tls.crtx") {
			t.Errorf("%v", err)
		}
	})
}

func TestTheLeastVersionIs12(t *testing.T) {
	w := newWorld(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", w.files.Config())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.(*tls.Conn).HandshakeContext(t.Context())
			c.Close()
		}
	}()
	roots := x509.NewCertPool()
	pemText, err := os.ReadFile(w.cert)
	if err != nil || !roots.AppendCertsFromPEM(pemText) {
		t.Fatal(err)
	}
	for version, taken := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: roots, MinVersion: version, MaxVersion: version, NextProtos: []string{"h2", "http/1.1"}}) //nolint:gosec // old on purpose
		if taken != (err == nil) {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			if got := c.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
				t.Errorf("speaks %q", got)
			}
			c.Close()
		}
	}
}
