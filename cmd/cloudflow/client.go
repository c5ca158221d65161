package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

// clientTimeout bounds a call: the longest that the server waits (Prefer: wait=20) and some for the way.
const clientTimeout = 30 * time.Second

// verifyTimeout is longer than the server takes for a check of however many orders.
const verifyTimeout = 11 * time.Minute

// maxAnswer bounds what is read of an answer: an order has at most a few dozen events, a verify report may name
// each of very many orders.
const maxAnswer = 64 << 20

func (c *cli) client() (*apigen.Client, error) {
	if u, err := url.Parse(c.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, usagef("--url %q is not a URL such as http://127.0.0.1:8080", c.URL)
	}
	client, err := apigen.NewClient(c.URL, apigen.WithHTTPClient(&http.Client{Timeout: c.timeout}), apigen.WithRequestEditorFn(c.credential))
	if err != nil {
		return nil, usagef("--url %q: %v", c.URL, err)
	}
	return client, nil
}

// credential says who calls, if anybody was named.
func (c *cli) credential(_ context.Context, r *http.Request) error {
	if c.Token != "" {
		r.Header.Set("Authorization", "Bearer "+c.Token)
	}
	return nil
}

// call makes one call and decodes a good answer into into (nil: not wanted). With --json the body is printed as it came;
// then, and only then, call reports true: there is nothing left to print. A problem becomes the error.
func (c *cli) call(into any, do func(*apigen.Client) (*http.Response, error)) (printed bool, err error) {
	client, err := c.client()
	if err != nil {
		return false, err
	}
	resp, err := do(client)
	if err != nil {
		return false, c.unreachable(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return false, fmt.Errorf("reading the answer of %s: %w", c.URL, err)
	}
	if resp.StatusCode >= 400 {
		return false, c.problem(resp.StatusCode, body)
	}
	if !json.Valid(body) {
		return false, fmt.Errorf("%s answered what is no JSON; is it a CloudFlow?", c.URL)
	}
	if c.JSON {
		_, err := fmt.Fprintln(c.out, string(bytes.TrimRight(body, "\n")))
		return true, err
	}
	if into != nil {
		if err := apigen.Decode(body, into); err != nil {
			return false, fmt.Errorf("the answer of %s is not what its contract says: %w", c.URL, err)
		}
	}
	return false, nil
}

// pages reads every page of a list: do asks for the page behind a cursor, of takes it apart. The list is never nil.
func pages[Page, T any](
	c *cli, do func(api *apigen.Client, cursor *string) (*http.Response, error), of func(Page) (list []T, next *string),
) ([]T, error) {
	all := []T{}
	var cursor *string
	for {
		var page Page
		status, body, err := c.fetch(&page, func(api *apigen.Client) (*http.Response, error) { return do(api, cursor) })
		switch {
		case err != nil:
			return nil, err
		case status >= http.StatusBadRequest:
			return nil, c.problem(status, body)
		}
		list, next := of(page)
		all = append(all, list...)
		if next == nil {
			return all, nil
		}
		if cursor != nil && *cursor == *next {
			return nil, fmt.Errorf("the pages of %s do not get on: the cursor %s comes again", c.URL, *next)
		}
		cursor = next
	}
}

// printJSON prints one JSON value.
func (c *cli) printJSON(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.out, string(text))
	return err
}

// unreachable says what an instance that gave no answer is called, and what to try.
func (c *cli) unreachable(err error) error {
	var (
		call *url.Error
		root x509.UnknownAuthorityError
	)
	switch {
	case errors.As(err, &root):
		return fmt.Errorf("the certificate of %s leads to no root that is known here; if it is your own, name its file in SSL_CERT_FILE: %w", c.URL, root)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens on %s; start one with `cloudflow serve --demo`, or name another with --url", c.URL)
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.As(err, &call) && call.Timeout():
		return fmt.Errorf("%s has not answered within %s; what it was asked may be done all the same", c.URL, c.timeout)
	case errors.As(err, &call):
		return fmt.Errorf("cannot reach %s: %w; name another with --url", c.URL, call.Err)
	}
	return err
}

// maxForeign is how much is shown of an answer that is none of ours.
const maxForeign = 200

// problem prints a problem body as it came with --json (stdout stays one JSON value) and makes one line of it otherwise.
func (c *cli) problem(status int, body []byte) error {
	var p apigen.Problem
	if json.Unmarshal(body, &p) != nil || p.Error == "" {
		return fmt.Errorf("%s answered %d and no problem document; is it a CloudFlow? %.*q",
			c.URL, status, maxForeign, bytes.TrimSpace(body))
	}
	if c.JSON {
		fmt.Fprintln(c.out, string(bytes.TrimRight(body, "\n")))
	}
	text := fmt.Sprintf("%s (%d): %s", p.Error, p.Status, strings.TrimSuffix(p.Message, "."))
	if status == http.StatusUnauthorized && c.Token == "" {
		text += "; put an API key or a JWT into CLOUDFLOW_TOKEN"
	}
	if p.RetryAfterSeconds != nil {
		text += fmt.Sprintf("; try again in %d s", *p.RetryAfterSeconds)
	}
	return errors.New(text)
}

// newKey is an idempotency key for a command that was typed once: a repeat after a lost answer is not a second order.
func newKey() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	return "cli-" + hex.EncodeToString(b)
}

func ptr[T any](v T) *T { return &v }

// given is nil for an absent flag.
func given(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// cents shows money: 149900 is 1,499.00.
func cents(n int64) string {
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	whole := fmt.Sprint(n / 100)
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	return fmt.Sprintf("%s%s.%02d", sign, whole, n%100)
}
