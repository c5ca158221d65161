package token

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/utkarsh698/cloudflow/internal/auth"
)

// How often a source is looked at. An issuer publishes a new key well before it signs with it, so minutes are soon enough, and one
// request in ten seconds is nothing to it; a file costs a look at its time.
const (
	urlEvery  = 5 * time.Minute
	urlPace   = 10 * time.Second
	fileEvery = 2 * time.Second
	filePace  = time.Second
)

// Keys are the keys at a place: a file, or a URL with https; http does for this machine alone, for what comes over a wire in the clear
// could be anybody's key. Nothing is read yet. now and log may be nil.
func Keys(place string, now func() time.Time, log *slog.Logger) (*KeySet, error) {
	if !strings.Contains(place, "://") {
		if place == "" {
			return nil, errors.New("it names no file and no URL")
		}
		return newKeySet(fileSource(place), now, log), nil
	}
	u, err := url.Parse(place)
	switch {
	case err != nil:
		return nil, err
	case u.Host == "" || u.User != nil:
		return nil, fmt.Errorf("%s is not a URL with a host and without a password", u.Redacted())
	case u.Scheme != "https" && (u.Scheme != "http" || !auth.Loopback(u.Host)):
		return nil, fmt.Errorf("%s is not https (http does for this machine only)", place)
	}
	return newKeySet(urlSource(place), now, log), nil
}

func urlSource(place string) source {
	client := &http.Client{
		// Elsewhere could be anywhere: over http, or inside.
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("it redirects") },
	}
	read := func(ctx context.Context) ([]byte, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, place, http.NoBody)
		if err != nil {
			return nil, err
		}
		r.Header.Set("Accept", "application/json, application/jwk-set+json")
		resp, err := client.Do(r)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("%s answers %s", place, resp.Status)
		}
		return readAll(resp.Body, place)
	}
	return source{name: place, every: urlEvery, pace: urlPace, read: read}
}

// fileSource reads the file when it is another than it was, or its time or its size has changed.
func fileSource(path string) source {
	var last os.FileInfo // one look at a time
	read := func(context.Context) ([]byte, error) {
		f, err := os.Open(path)
		if err != nil {
			last = nil
			return nil, err
		}
		defer func() { _ = f.Close() }() // nothing was written
		info, err := f.Stat()
		if err != nil {
			return nil, err
		}
		if last != nil && os.SameFile(info, last) && info.ModTime().Equal(last.ModTime()) && info.Size() == last.Size() {
			return nil, errUnchanged
		}
		text, err := readAll(f, path)
		if err == nil {
			last = info
		}
		return text, err
	}
	return source{name: path, file: true, every: fileEvery, pace: filePace, read: read}
}

func readAll(r io.Reader, name string) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxSetBytes+1))
	if err == nil && len(text) > maxSetBytes {
		err = fmt.Errorf("%s has over %d bytes", name, maxSetBytes)
	}
	return text, err
}
