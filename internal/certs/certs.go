// Package certs serves TLS with a certificate from files that are replaced while the process runs, as an ACME client does every few weeks.
//
// It promises: a new certificate is served at most checkEvery after its files were replaced, to new connections, without a restart;
// files that do not fit together, or are half written, leave the old certificate in use, and the log says so once. TLS 1.2 is the least.
//
// It refuses to begin with files that cannot be read or do not fit together.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// checkEvery is how often, at most, a handshake looks at the files' times: two calls of stat, against the millisecond of a handshake.
const checkEvery = 2 * time.Second

// Files are a certificate and its private key, each in a PEM file. They are safe for concurrent use.
type Files struct {
	cert, key string
	now       func() time.Time
	log       *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	stamp   stamp     // of the files when they were last read, well or not
	looked  time.Time // when they were last looked at
}

// A stamp tells whether files are the ones that they were.
type stamp struct{ cert, key os.FileInfo }

func (s stamp) equal(o stamp) bool { return same(s.cert, o.cert) && same(s.key, o.key) }

func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// Open reads the files: the certificate first in its file, those that lead to its root after it. now and log may be nil.
func Open(cert, key string, now func() time.Time, log *slog.Logger) (*Files, error) {
	f := &Files{cert: cert, key: key, now: now, log: log}
	if f.now == nil {
		f.now = time.Now
	}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	f.stamp, f.looked = f.stat(), f.now()
	var err error
	f.current, err = f.read()
	return f, err
}

// Config is TLS with the files' certificate. It offers HTTP/1.1 alone: our limits count connections and their requests, of which HTTP/2 has a
// hundred in one.
func (f *Files) Config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: f.get}
}

// get is the certificate for a handshake.
func (f *Files) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if now.Sub(f.looked) < checkEvery {
		return f.current, nil
	}
	f.looked = now
	stamp := f.stat()
	if stamp.equal(f.stamp) {
		return f.current, nil
	}
	f.stamp = stamp
	fresh, err := f.read()
	if err != nil { // they are being replaced, or were badly: each change of theirs is tried, and said, once
		f.log.Warn("The new TLS certificate cannot be used; the old one stays in use", "error", err.Error())
		return f.current, nil
	}
	f.current = fresh
	f.log.Info("The TLS certificate was replaced", "serial", fresh.Leaf.SerialNumber.String(), "not_after", fresh.Leaf.NotAfter.UTC())
	return fresh, nil
}

func (f *Files) stat() stamp {
	var s stamp
	s.cert, _ = os.Stat(f.cert) // a file that is gone differs from one that is there; reading it says why
	s.key, _ = os.Stat(f.key)
	return s
}

// read reads both files. Its errors name the file at fault, and nothing of what is in it.
func (f *Files) read() (*tls.Certificate, error) {
	cert, err := os.ReadFile(f.cert)
	if err != nil {
		return nil, fmt.Errorf("the TLS certificate: %w", err)
	}
	key, err := os.ReadFile(f.key)
	if err != nil {
		return nil, fmt.Errorf("the TLS key: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	switch {
	case err == nil:
	case strings.Contains(err.Error(), "does not match"): // crypto/tls has no kind for it
		return nil, fmt.Errorf("the TLS key %s is not that of the certificate %s", f.key, f.cert)
	default:
		return nil, fmt.Errorf("the TLS certificate %s and its key %s: %w", f.cert, f.key, err)
	}
	if pair.Leaf == nil {
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return nil, errors.Join(fmt.Errorf("the TLS certificate %s", f.cert), err)
		}
	}
	return &pair, nil
}
