// Package api holds the HTTP contract: openapi.yaml, an OpenAPI 3.0 document. The server's routes, the Go client, the
// reference page and API Gateway's import all come from this one file, and the server's tests fail on an answer that it does
// not declare.
package api

import _ "embed"

// Spec is openapi.yaml as it is served under GET /openapi.yaml. Nobody changes it.
//
//go:embed openapi.yaml
var Spec []byte
