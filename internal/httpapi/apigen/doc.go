// Package apigen is generated from api/openapi.yaml: the routes as a ServerInterface, a client, and the models that the client
// reads and writes. But for Decode, which reads them, it is recreated by go generate and never edited.
package apigen

//go:generate go tool -modfile=../../../tools/go.mod oapi-codegen -config config.yaml ../../../api/openapi.yaml
