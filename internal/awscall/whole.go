package awscall

import (
	"bytes"
	"errors"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// HTTPClient sends each request in one piece. The SDK's body is none of those that net/http knows to be in memory, so headers and body would go
// out one after the other; an answer that comes before net/http has seen the body's end makes the SDK close it, its WriteTo then returns io.EOF,
// and net/http closes the connection for that, with the answer in it (smithy-go v1.28.8, transport/http/internal/io/safe.go): on loopback one
// request in 170 lost its reply so, and a call that was done was made again. And with a body that can be had again net/http may take another
// connection when the one it had was dead before the first byte.
func HTTPClient(client aws.HTTPClient) aws.HTTPClient {
	if w, ok := client.(whole); ok {
		return w
	}
	return whole{client}
}

type whole struct{ client aws.HTTPClient }

// Do holds the body in memory: at most the 4 MB of a transaction of DynamoDB, and what is around them.
func (w whole) Do(r *http.Request) (*http.Response, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return w.client.Do(r)
	}
	body, err := io.ReadAll(r.Body)
	if err = errors.Join(err, r.Body.Close()); err != nil {
		return nil, err
	}
	r = r.WithContext(r.Context()) // a copy: the SDK's own is not to be changed
	r.ContentLength = int64(len(body))
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	r.Body, _ = r.GetBody()
	return w.client.Do(r)
}
