package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// API Gateway imports OpenAPI 3.0, and refuses or ignores a good part of it: security schemes that are not apiKey, examples, exclusive bounds,
// nullable, discriminator, formats of numbers, responses by reference, names of models that are not alphanumeric
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html). So what it is given is made of api/openapi.yaml
// anew: its paths, operations and parameters, and what API Gateway alone has to know. What a body must look like is checked where it is
// checked in the single binary: in the handler, which answers 422 with the member's name, after it has looked for a replay. API Gateway checks that a body
// is a JSON object at all.

// A caller of a route is proved by one of these.
type proof int

const (
	nobody   proof = iota // anybody may call
	customer              // a JWT and an API key; nothing in a stage with -c auth=none
	operator              // IAM: a request signed with Signature Version 4, by a principal that may execute-api:Invoke the path
)

// A route is a path that exists on AWS, with whom it goes to.
type route struct {
	path     string
	function string
	proof    proof
}

var routes = []route{
	{"/orders", orderHandler, customer},
	{"/orders/{order_id}", orderHandler, customer},
	{"/orders/{order_id}/events", orderHandler, customer},
	{"/orders/{order_id}/cancel", orderHandler, customer},
	{"/products", inventoryHandler, customer},
	{"/products/{product_id}", inventoryHandler, customer},
	{"/products/{product_id}/restock", inventoryHandler, customer},
	{"/health", orderHandler, nobody},
	{"/admin/breakers", paymentHandler, operator},
	{"/admin/breakers/{name}/trip", paymentHandler, operator},
	{"/admin/breakers/{name}/reset", paymentHandler, operator},
	{"/admin/payments/{order_id}", paymentHandler, operator},
	{"/admin/sagas", orderHandler, operator},
	{"/admin/sagas/{order_id}", orderHandler, operator},
	{"/admin/sagas/{order_id}/redrive", orderHandler, operator},
	{"/admin/dlq", orderHandler, operator},
	{"/admin/dlq/redrive", orderHandler, operator},
	{"/admin/customers/{customer_id}/erase", orderHandler, operator},
}

// notOnAWS are the paths of the document that a single binary alone has, each with why. A path that is in neither list fails the synthesis, so
// that nobody forgets to decide.
var notOnAWS = map[string]string{
	"/events":                "API Gateway cannot hold a stream open; listen to the event bus",
	"/ready":                 "a function does not start up while it is called",
	"/metrics":               "CloudWatch has them",
	"/openapi.yaml":          "a page",
	"/docs":                  "a page",
	"/docs/style.css":        "a page",
	"/admin/faults":          "for development",
	"/admin/tasks":           "Step Functions hands tokens out by itself",
	"/admin/tasks/success":   "call Step Functions' own SendTaskSuccess",
	"/admin/tasks/failure":   "call Step Functions' own SendTaskFailure",
	"/admin/tasks/heartbeat": "call Step Functions' own SendTaskHeartbeat",
	"/admin/verify":          "needs one snapshot of all tables",
	"/admin/backup":          "the tables have point-in-time recovery",
	"/admin/export/orders":   "longer than an answer may be; export the table to S3",
	"/admin/export/events":   "longer than an answer may be; export the table to S3",
	"/admin/retention":       "works through all tables in one process",
	"/admin/keys":            "API keys are API Gateway's",
	"/admin/keys/{key_id}":   "API keys are API Gateway's",
}

// The names of what API Gateway is told.
const (
	tokenScheme  = "token"
	keyScheme    = "apiKey"
	signedScheme = "signed"
	validator    = "checked"
	jsonModel    = "JsonObject"
)

// A gateway is what the document needs of the stack: tokens of CDK, so its text is known when it is deployed only.
type gateway struct {
	invoke    func(function string) string // the address of a function for an integration
	authorize string                       // that of the authorizer; empty with -c auth=none
	origins   []string
	name      string
}

// importable makes the document that API Gateway is given.
func importable(contract []byte, g gateway) (map[string]any, error) {
	var source struct {
		Info struct {
			Version string `yaml:"version"`
		} `yaml:"info"`
		Paths      map[string]map[string]yaml.Node `yaml:"paths"`
		Components struct {
			Parameters map[string]parameter `yaml:"parameters"`
		} `yaml:"components"`
	}
	if err := yaml.Unmarshal(contract, &source); err != nil {
		return nil, fmt.Errorf("api/openapi.yaml: %w", err)
	}
	known := map[string]bool{}
	paths := map[string]any{}
	for _, r := range routes {
		known[r.path] = true
		item, ok := source.Paths[r.path]
		if !ok {
			return nil, fmt.Errorf("api/openapi.yaml has no path %s", r.path)
		}
		made, err := g.path(r, item, source.Components.Parameters)
		if err != nil {
			return nil, fmt.Errorf("api/openapi.yaml: %s: %w", r.path, err)
		}
		paths[r.path] = made
	}
	for _, p := range slices.Sorted(maps.Keys(source.Paths)) {
		if known[p] == (notOnAWS[p] != "") {
			return nil, fmt.Errorf("api/openapi.yaml has the path %s: either it is one of routes in openapi.go, or notOnAWS says why not", p)
		}
	}
	return map[string]any{
		"openapi": "3.0.1",
		"info":    map[string]any{"title": g.name, "version": source.Info.Version},
		"paths":   paths,
		"components": map[string]any{
			"schemas":         map[string]any{jsonModel: map[string]any{"type": "object"}},
			"securitySchemes": g.schemes(),
		},
		"x-amazon-apigateway-request-validators": map[string]any{
			validator: map[string]any{"validateRequestBody": true, "validateRequestParameters": true},
		},
		"x-amazon-apigateway-request-validator": validator,
		"x-amazon-apigateway-gateway-responses": g.problems(),
		"x-amazon-apigateway-api-key-source":    "HEADER",
	}, nil
}

// A parameter is what API Gateway understands of one.
type parameter struct {
	Ref      string `yaml:"$ref"`
	Name     string `yaml:"name"`
	In       string `yaml:"in"`
	Required bool   `yaml:"required"`
}

type operation struct {
	ID         string      `yaml:"operationId"`
	Summary    string      `yaml:"summary"`
	Parameters []parameter `yaml:"parameters"`
	Body       *struct {
		Required bool `yaml:"required"`
	} `yaml:"requestBody"`
	Responses map[string]yaml.Node `yaml:"responses"`
}

// path makes a path's item: its operations, and the one that browsers ask first.
func (g gateway) path(r route, item map[string]yaml.Node, shared map[string]parameter) (map[string]any, error) {
	var common []parameter
	if node, ok := item["parameters"]; ok {
		if err := node.Decode(&common); err != nil {
			return nil, err
		}
	}
	made := map[string]any{}
	for method, node := range item {
		if method == "parameters" {
			continue
		}
		var op operation
		if err := node.Decode(&op); err != nil {
			return nil, err
		}
		if op.ID == "" {
			return nil, fmt.Errorf("%s has no operationId", method)
		}
		params, err := parameters(append(slices.Clone(common), op.Parameters...), shared)
		if err != nil {
			return nil, err
		}
		o := map[string]any{
			"operationId": op.ID,
			"summary":     op.Summary,
			"responses":   statuses(slices.Sorted(maps.Keys(op.Responses))),
			"security":    g.security(r.proof),
			"x-amazon-apigateway-integration": map[string]any{
				"type": "aws_proxy", "httpMethod": "POST", "uri": g.invoke(r.function), "passthroughBehavior": "when_no_match",
			},
		}
		if len(params) > 0 {
			o["parameters"] = params
		}
		if op.Body != nil {
			o["requestBody"] = map[string]any{
				"required": op.Body.Required,
				"content": map[string]any{"application/json": map[string]any{
					"schema": map[string]any{"$ref": "#/components/schemas/" + jsonModel},
				}},
			}
		}
		made[method] = o
	}
	if len(g.origins) > 0 && r.proof != operator { // an operator's requests are signed, which no page does
		made["options"] = g.preflight(slices.Sorted(maps.Keys(made)), r.path)
	}
	return made, nil
}

func parameters(all []parameter, shared map[string]parameter) ([]any, error) {
	var out []any
	for _, p := range all {
		if p.Ref != "" {
			found, ok := shared[strings.TrimPrefix(p.Ref, "#/components/parameters/")]
			if !ok {
				return nil, errors.New("no parameter " + p.Ref)
			}
			p = found
		}
		out = append(out, map[string]any{
			"name": p.Name, "in": p.In, "schema": map[string]any{"type": "string"},
			// API Gateway tells the case of headers' names apart, so it would miss one that HTTP/2 has written small. The handler looks itself.
			"required": p.Required && p.In != "header",
		})
	}
	return out, nil
}

// statuses are an operation's answers. Their bodies are the contract's business; here each needs a description alone.
func statuses(codes []string) map[string]any {
	out := map[string]any{}
	for _, code := range codes {
		out[code] = map[string]any{"description": code}
	}
	return out
}

func (g gateway) security(p proof) []any {
	switch {
	case p == operator:
		return []any{map[string]any{signedScheme: []any{}}}
	case p == customer && g.authorize != "":
		return []any{map[string]any{tokenScheme: []any{}, keyScheme: []any{}}} // both: the token says who, the key how often
	}
	return []any{}
}

func (g gateway) schemes() map[string]any {
	out := map[string]any{
		signedScheme: map[string]any{
			"type": "apiKey", "name": "Authorization", "in": "header", "x-amazon-apigateway-authtype": "awsSigv4",
		},
	}
	if g.authorize == "" {
		return out
	}
	out[keyScheme] = map[string]any{"type": "apiKey", "name": "x-api-key", "in": "header"}
	out[tokenScheme] = map[string]any{
		"type": "apiKey", "name": "Authorization", "in": "header", "x-amazon-apigateway-authtype": "custom",
		"x-amazon-apigateway-authorizer": map[string]any{
			"type":          "token",
			"authorizerUri": g.authorize,
			// What is not even the shape of a JWT is refused without a call.
			"identityValidationExpression": `^[Bb]earer [A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$`,
			// An answer that is kept would let a token live on after its end, and a policy for one path be used for another.
			"authorizerResultTtlInSeconds": 0,
		},
	}
	return out
}

// corsHeaders are those that a page may send.
const corsHeaders = "Authorization,Content-Type,Idempotency-Key,If-Match,If-None-Match,Prefer,X-Api-Key,X-Correlation-Id,traceparent"

// preflight answers a browser that asks whether a page may call. The page's origin is answered if it is on the list, by a template, since a header's
// value can be one text only; an origin that is not is answered without, which the browser takes for a no.
func (g gateway) preflight(methods []string, path string) map[string]any {
	tests := make([]string, len(g.origins))
	for i, o := range g.origins {
		tests[i] = fmt.Sprintf(`$origin == "%s"`, o)
	}
	template := `#set($origin = $input.params().header.get("Origin"))
#if(!$origin || $origin == "")#set($origin = $input.params().header.get("origin"))#end
#if(` + strings.Join(tests, " || ") + `)
#set($context.responseOverride.header.Access-Control-Allow-Origin = $origin)
#end`
	allow := strings.ToUpper(strings.Join(append(methods, "options"), ","))
	header := map[string]any{"schema": map[string]any{"type": "string"}}
	return map[string]any{
		"operationId": "preflight" + strings.NewReplacer("/", "_", "{", "", "}", "").Replace(path),
		"summary":     "What a page may send",
		"security":    []any{},
		"responses": map[string]any{"204": map[string]any{"description": "204", "headers": map[string]any{
			"Access-Control-Allow-Origin": header, "Access-Control-Allow-Methods": header, "Access-Control-Allow-Headers": header,
			"Access-Control-Max-Age": header, "Vary": header,
		}}},
		"x-amazon-apigateway-integration": map[string]any{
			"type":                "mock",
			"passthroughBehavior": "when_no_match",
			"requestTemplates":    map[string]any{"application/json": `{"statusCode": 204}`},
			"responses": map[string]any{"default": map[string]any{
				"statusCode": "204",
				"responseParameters": map[string]any{
					"method.response.header.Access-Control-Allow-Methods": quoted(allow),
					"method.response.header.Access-Control-Allow-Headers": quoted(corsHeaders),
					"method.response.header.Access-Control-Max-Age":       quoted("600"),
					"method.response.header.Vary":                         quoted("Origin"),
				},
				"responseTemplates": map[string]any{"application/json": template},
			}},
		},
	}
}

// A refusal is an answer that API Gateway gives without asking a function.
type refusal struct {
	kind   string // API Gateway's name for it
	status int
	code   string // the contract's, such as BAD_REQUEST
	title  string
	detail string
	header map[string]string // beside those of all
}

// The answers that API Gateway gives by itself, as problems like all others. Its own defaults would say `{"message": ...}`, and 403 for a path
// that is not there.
var refusals = []refusal{
	{kind: "DEFAULT_4XX", status: 400, code: "BAD_REQUEST", title: "The request cannot be read", detail: "The request cannot be answered."},
	{kind: "DEFAULT_5XX", status: 500, code: "INTERNAL", title: "Something went wrong", detail: "Something unforeseen happened."},
	{kind: "BAD_REQUEST_BODY", status: 400, code: "BAD_REQUEST", title: "The request cannot be read", detail: "The body is not a JSON object."},
	{kind: "BAD_REQUEST_PARAMETERS", status: 400, code: "BAD_REQUEST", title: "The request cannot be read", detail: "A parameter is missing."},
	{kind: "UNAUTHORIZED", status: 401, code: "UNAUTHORIZED", title: "Credentials are needed", detail: "The credentials are not valid.",
		header: map[string]string{"WWW-Authenticate": "Bearer"}},
	{kind: "INVALID_API_KEY", status: 401, code: "UNAUTHORIZED", title: "Credentials are needed", detail: "X-Api-Key is missing or not valid.",
		header: map[string]string{"WWW-Authenticate": "Bearer"}},
	{kind: "ACCESS_DENIED", status: 403, code: "FORBIDDEN", title: "Not allowed", detail: "The credentials do not allow this call."},
	{kind: "EXPIRED_TOKEN", status: 403, code: "FORBIDDEN", title: "Not allowed", detail: "The credentials have expired."},
	{kind: "INVALID_SIGNATURE", status: 403, code: "FORBIDDEN", title: "Not allowed", detail: "The request's signature is not valid."},
	{kind: "WAF_FILTERED", status: 403, code: "FORBIDDEN", title: "Not allowed", detail: "The request looks like an attack, or too many come from its address."},
	{kind: "MISSING_AUTHENTICATION_TOKEN", status: 404, code: "NOT_FOUND", title: "Not found", detail: "There is nothing at this path, or the request for it is not signed."},
	{kind: "RESOURCE_NOT_FOUND", status: 404, code: "NOT_FOUND", title: "Not found", detail: "There is nothing at this path."},
	{kind: "REQUEST_TOO_LARGE", status: 413, code: "PAYLOAD_TOO_LARGE", title: "The body is too large", detail: "The body is too large."},
	{kind: "UNSUPPORTED_MEDIA_TYPE", status: 415, code: "UNSUPPORTED_MEDIA_TYPE", title: "The media type is not known", detail: "The body must be application/json."},
	{kind: "THROTTLED", status: 429, code: "THROTTLED", title: "Too many calls", detail: "Too many calls. Try again in 1 s.",
		header: map[string]string{"Retry-After": "1"}},
	{kind: "QUOTA_EXCEEDED", status: 429, code: "THROTTLED", title: "Too many calls", detail: "Too many calls today.",
		header: map[string]string{"Retry-After": "3600"}},
	// Whether the call took effect is not known: as for any 503, the same Idempotency-Key makes it safe to repeat.
	{kind: "INTEGRATION_FAILURE", status: 503, code: "UNAVAILABLE", title: "Not available now", detail: "No answer could be had. Try again.",
		header: map[string]string{"Retry-After": "1"}},
	{kind: "INTEGRATION_TIMEOUT", status: 503, code: "UNAVAILABLE", title: "Not available now", detail: "No answer came in time. Try again.",
		header: map[string]string{"Retry-After": "1"}},
	{kind: "AUTHORIZER_FAILURE", status: 503, code: "UNAVAILABLE", title: "Not available now", detail: "The credentials could not be checked. Try again.",
		header: map[string]string{"Retry-After": "1"}},
	{kind: "AUTHORIZER_CONFIGURATION_ERROR", status: 503, code: "UNAVAILABLE", title: "Not available now", detail: "The credentials could not be checked. Try again.",
		header: map[string]string{"Retry-After": "1"}},
}

// problems are the refusals in API Gateway's words. A header there has one fixed value, so with several origins it is the first that may read
// them; a page of another sees that its call failed, and not how.
func (g gateway) problems() map[string]any {
	out := map[string]any{}
	for _, r := range refusals {
		headers := map[string]any{
			"gatewayresponse.header.Content-Type":     quoted("application/problem+json"),
			"gatewayresponse.header.X-Correlation-Id": "context.requestId",
		}
		for name, value := range r.header {
			headers["gatewayresponse.header."+name] = quoted(value)
		}
		if len(g.origins) > 0 {
			headers["gatewayresponse.header.Access-Control-Allow-Origin"] = quoted(g.origins[0])
			headers["gatewayresponse.header.Vary"] = quoted("Origin")
		}
		out[r.kind] = map[string]any{
			"statusCode":         fmt.Sprint(r.status),
			"responseParameters": headers,
			"responseTemplates":  map[string]any{"application/json": r.body()},
		}
	}
	return out
}

// body is a template: API Gateway puts in the path and the request's id.
func (r refusal) body() string {
	return fmt.Sprintf(`{"type":"urn:problem-type:cloudflow:%s","title":%q,"status":%d,"detail":%q,"instance":"$context.path",`+
		`"error":%q,"message":%[4]q,"correlation_id":"$context.requestId"}`,
		strings.ReplaceAll(strings.ToLower(r.code), "_", "-"), r.title, r.status, r.detail, r.code)
}

// quoted is a fixed value, as mappings have it.
func quoted(s string) string { return "'" + s + "'" }
