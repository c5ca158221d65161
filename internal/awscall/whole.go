package awscall

import (
	"bytes"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// maxWhole is as large as the largest request that any of our calls makes: a transaction of DynamoDB.
const maxWhole = 4 << 20

// HTTPClient sends each request's body in one write with its head. The SDK gives net/http a body whose kind it does not know, so that it sends
// the head, then the body, and then looks whether there is more of it; and the SDK closes the body as soon as the answer is there. Where the answer
// is faster than that look, which happens on loopback, net/http finds the body closed, drops the connection, and a call that was
// done is made again.
func HTTPClient(client *awshttp.BuildableClient) aws.HTTPClient { return whole{client} }

type whole struct{ *awshttp.BuildableClient }

func (w whole) Do(r *http.Request) (*http.Response, error) {
	if r.Body == nil || r.ContentLength <= 0 || r.ContentLength > maxWhole {
		return w.BuildableClient.Do(r)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, r.ContentLength))
	if err != nil {
		return nil, err
	}
	r = r.WithContext(r.Context()) // a copy: the SDK closes its own body
	r.Body = io.NopCloser(bytes.NewReader(body))
	return w.BuildableClient.Do(r)
}
