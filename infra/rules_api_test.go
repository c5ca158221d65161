package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// What is called where, and by whom: the paths that docs/aws-deploy.md says exist on AWS.
var served = map[string]string{
	"get /orders": "order-handler customer", "post /orders": "order-handler customer",
	"get /orders/{order_id}":         "order-handler customer",
	"get /orders/{order_id}/events":  "order-handler customer",
	"post /orders/{order_id}/cancel": "order-handler customer",
	"get /products":                  "inventory-handler customer",
	"get /products/{product_id}":     "inventory-handler customer", "put /products/{product_id}": "inventory-handler customer",
	"post /products/{product_id}/restock":       "inventory-handler customer",
	"get /health":                               "order-handler anybody",
	"get /admin/breakers":                       "payment-handler operator",
	"post /admin/breakers/{name}/trip":          "payment-handler operator",
	"post /admin/breakers/{name}/reset":         "payment-handler operator",
	"get /admin/payments/{order_id}":            "payment-handler operator",
	"get /admin/sagas":                          "order-handler operator",
	"get /admin/sagas/{order_id}":               "order-handler operator",
	"post /admin/sagas/{order_id}/redrive":      "order-handler operator",
	"get /admin/dlq":                            "order-handler operator",
	"post /admin/dlq/redrive":                   "order-handler operator",
	"post /admin/customers/{customer_id}/erase": "order-handler operator",
}

// securities are what the document says of each kind of caller.
var securities = map[string][]any{
	"customer": {map[string]any{"token": []any{}, "apiKey": []any{}}},
	"operator": {map[string]any{"signed": []any{}}},
	"anybody":  {},
}

// operations are those of the document that the interface is made of, without the answers to browsers.
func operations(d template) map[string]map[string]any {
	out := map[string]map[string]any{}
	paths, _ := at(d.the(apiType, "cloudflow-api").props, "Body", "paths").(map[string]any)
	for path, item := range paths {
		for method, op := range item.(map[string]any) {
			out[method+" "+path] = op.(map[string]any)
		}
	}
	return out
}

// op changes an operation of the document.
func op(method, path string, change func(o map[string]any)) func(t template) {
	return func(t template) {
		change(at(t.the(apiType, "cloudflow-api").props, "Body", "paths", path, method).(map[string]any))
	}
}

// body sets a member of the document.
func body(value any, path ...any) func(t template) {
	return with(value, apiType, "cloudflow-api", append([]any{"Body"}, path...)...)
}

var apiRules = []rule{
	{
		name: "each path goes to the function of its service",
		check: func(d template) error {
			got := map[string]string{}
			for name, o := range operations(d) {
				i := o["x-amazon-apigateway-integration"]
				if strings.HasPrefix(name, "options ") {
					continue
				}
				uri, _ := at(i, "uri").(string)
				fn := strings.TrimSuffix(uri[strings.LastIndex(uri, "cloudflow-")+len("cloudflow-"):], "/invocations")
				if err := errors.Join(is(at(i, "type"), "aws_proxy"), is(at(i, "httpMethod"), "POST"),
					is(uri, "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:123456789012:function:cloudflow-"+fn+"/invocations")); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				got[name] = fn
			}
			want := map[string]string{}
			for name, to := range served {
				want[name], _, _ = strings.Cut(to, " ")
			}
			return is(got, want)
		},
		breaks: []func(t template){
			op("get", "/products", func(o map[string]any) {
				delete(o, "x-amazon-apigateway-integration")
				o["x-amazon-apigateway-integration"] = map[string]any{"uri": "cloudflow-x"}
			}),
			func(t template) {
				paths := at(t.the(apiType, "cloudflow-api").props, "Body", "paths").(map[string]any)
				delete(paths, "/health")
			},
		},
	},
	{
		name: "customers prove themselves with a token and an API key, operators by IAM, and /health asks nobody",
		check: func(d template) error {
			for name, o := range operations(d) {
				if _, who, ok := strings.Cut(served[name], " "); ok {
					if err := is(o["security"], securities[who]); err != nil {
						return fmt.Errorf("%s: %w", name, err)
					}
				}
			}
			schemes := at(d.the(apiType, "cloudflow-api").props, "Body", "components", "securitySchemes")
			return errors.Join(
				is(at(schemes, "signed"), map[string]any{"type": "apiKey", "name": "Authorization", "in": "header", "x-amazon-apigateway-authtype": "awsSigv4"}),
				is(at(schemes, "apiKey"), map[string]any{"type": "apiKey", "name": "x-api-key", "in": "header"}),
				is(d.the(apiType, "cloudflow-api").props["ApiKeySourceType"], "HEADER"),
			)
		},
		breaks: []func(t template){
			op("post", "/orders", func(o map[string]any) { delete(o, "security") }),
			op("get", "/orders/{order_id}", func(o map[string]any) { o["security"] = []any{map[string]any{"apiKey": []any{}}} }),
			op("put", "/products/{product_id}", func(o map[string]any) { o["security"] = []any{map[string]any{"token": []any{}}} }),
			op("post", "/admin/breakers/{name}/trip", func(o map[string]any) { o["security"] = []any{} }),
			body("custom", "components", "securitySchemes", "signed", "x-amazon-apigateway-authtype"),
		},
	},
	{
		name: "tokens are verified by the authorizer, each time",
		check: func(d template) error {
			scheme := at(d.the(apiType, "cloudflow-api").props, "Body", "components", "securitySchemes", "token")
			a := at(scheme, "x-amazon-apigateway-authorizer")
			return errors.Join(is(at(scheme, "x-amazon-apigateway-authtype"), "custom"), is(at(scheme, "name"), "Authorization"),
				is(at(a, "type"), "token"), is(at(a, "authorizerResultTtlInSeconds"), 0), some(at(a, "identityValidationExpression")),
				is(at(a, "authorizerUri"), "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:123456789012:function:cloudflow-authorizer/invocations"))
		},
		breaks: []func(t template){
			body(300, "components", "securitySchemes", "token", "x-amazon-apigateway-authorizer", "authorizerResultTtlInSeconds"),
			body("request", "components", "securitySchemes", "token", "x-amazon-apigateway-authorizer", "type"),
		},
	},
	{
		name: "a body that is no JSON object is refused before a function is called",
		check: func(d template) error {
			document := at(d.the(apiType, "cloudflow-api").props, "Body")
			bodies := 0
			for name, o := range operations(d) {
				if o["requestBody"] == nil {
					continue
				}
				bodies++
				if err := is(o["requestBody"], map[string]any{"required": true, "content": map[string]any{
					"application/json": map[string]any{"schema": map[string]any{"$ref": "#/components/schemas/JsonObject"}},
				}}); err != nil && at(o, "requestBody", "required") != false {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
			if bodies < 5 {
				return fmt.Errorf("%d operations have a body", bodies)
			}
			return errors.Join(is(at(document, "x-amazon-apigateway-request-validator"), "checked"),
				is(at(document, "x-amazon-apigateway-request-validators", "checked"), map[string]any{"validateRequestBody": true, "validateRequestParameters": true}),
				is(at(document, "components", "schemas", "JsonObject"), map[string]any{"type": "object"}))
		},
		breaks: []func(t template){
			op("post", "/orders", func(o map[string]any) { put(o, map[string]any{}, "requestBody", "content") }),
			body(false, "x-amazon-apigateway-request-validators", "checked", "validateRequestBody"),
			func(t template) {
				delete(t.the(apiType, "cloudflow-api").props["Body"].(map[string]any), "x-amazon-apigateway-request-validator")
			},
		},
	},
	{
		name: "the document has nothing in it that API Gateway does not import",
		check: func(d template) error {
			document := at(d.the(apiType, "cloudflow-api").props, "Body")
			raw, _ := json.Marshal(document)
			for _, word := range []string{"example", "exclusiveMinimum", "nullable", "discriminator", "oneOf", "anyOf", "allOf", "readOnly", "additionalProperties", "format"} {
				if strings.Contains(string(raw), `"`+word+`":`) {
					return errors.New(word)
				}
			}
			for name, s := range at(document, "components", "securitySchemes").(map[string]any) {
				if err := is(at(s, "type"), "apiKey"); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
			for name, o := range operations(d) {
				for _, p := range many(o["parameters"]) {
					if at(p, "in") == "header" && at(p, "required") == true {
						return fmt.Errorf("%s demands a header by its exact case", name)
					}
				}
			}
			return is(at(document, "openapi"), "3.0.1")
		},
		breaks: []func(t template){
			body(map[string]any{"type": "string", "nullable": true}, "components", "schemas", "Text"),
			op("get", "/orders", func(o map[string]any) {
				o["parameters"] = append(many(o["parameters"]), map[string]any{"name": "X", "in": "header", "required": true})
			}),
		},
	},
	{
		name: "each holder of a key has its rate",
		check: func(d template) error {
			plan := d.the(planType, "cloudflow-clients")
			var keys, planned []string
			for _, k := range d.resources(apiKeyType) {
				if err := is(k.props["Enabled"], true); err != nil {
					return fmt.Errorf("%s: %w", k, err)
				}
				keys = append(keys, k.name())
			}
			for _, k := range d.resources(planKeyType) {
				planned = append(planned, fmt.Sprint(k.props["KeyId"]))
				if err := is(k.props["UsagePlanId"], "cloudflow-clients"); err != nil {
					return err
				}
			}
			slices.Sort(keys)
			slices.Sort(planned)
			return errors.Join(is(keys, []any{"cloudflow-client-mobile", "cloudflow-client-web"}), is(planned, keys),
				is(plan.props["Throttle"], map[string]any{"RateLimit": 50, "BurstLimit": 100}),
				is(plan.props["ApiStages"], []any{map[string]any{"ApiId": "abc123", "Stage": "prod"}}))
		},
		breaks: []func(t template){
			without(planType, "cloudflow-clients", "Throttle"),
			without(planType, "cloudflow-clients", "ApiStages"),
			func(t template) { delete(t["cloudflow-api"]["Resources"].(map[string]any), "PlanOfMobile") },
		},
	},
	{
		name: "all callers together have a rate",
		check: func(d template) error {
			s := at(d.the(stageType, "prod").props, "MethodSettings", 0)
			return errors.Join(is(at(s, "ResourcePath"), "/*"), is(at(s, "HttpMethod"), "*"), is(at(s, "ThrottlingRateLimit"), 500), is(at(s, "ThrottlingBurstLimit"), 1000))
		},
		breaks: []func(t template){
			without(stageType, "prod", "MethodSettings", 0, "ThrottlingRateLimit"),
			without(stageType, "prod", "MethodSettings", 0, "ThrottlingBurstLimit"),
		},
	},
	{
		name: "each call is logged, and in it neither an address nor a body",
		check: func(d template) error {
			p := d.the(stageType, "prod").props
			format, _ := at(p, "AccessLogSetting", "Format").(string)
			for _, v := range []string{"$context.requestId", "$context.status", "$context.resourcePath", "$context.authorizer.principalId", "$context.xrayTraceId"} {
				if !strings.Contains(format, v) {
					return fmt.Errorf("no %s in %s", v, format)
				}
			}
			for _, v := range []string{"sourceIp", "userAgent", "$input"} {
				if strings.Contains(format, v) {
					return fmt.Errorf("%s is in %s", v, format)
				}
			}
			return errors.Join(is(at(p, "AccessLogSetting", "DestinationArn"), "arn:aws:logs:us-east-1:123456789012:log-group:/aws/apigateway/cloudflow-api"),
				is(at(p, "MethodSettings", 0, "DataTraceEnabled"), false))
		},
		breaks: []func(t template){
			without(stageType, "prod", "AccessLogSetting"),
			with(true, stageType, "prod", "MethodSettings", 0, "DataTraceEnabled"),
			func(t template) {
				p := t.the(stageType, "prod").props
				put(p, at(p, "AccessLogSetting", "Format").(string)+"$context.identity.sourceIp", "AccessLogSetting", "Format")
			},
		},
	},
	{
		name:   "calls are traced",
		check:  func(d template) error { return is(d.the(stageType, "prod").props["TracingEnabled"], true) },
		breaks: []func(t template){without(stageType, "prod", "TracingEnabled")},
	},
	{
		name: "a page of an allowed origin may call, and no other",
		check: func(d template) error {
			props := d.the(apiType, "cloudflow-api").props
			raw, _ := json.Marshal(props["Body"])
			if strings.Contains(string(raw), `'*'`) {
				return errors.New("any origin")
			}
			for name := range operations(d) {
				method, path, _ := strings.Cut(name, " ")
				preflight := at(props, "Body", "paths", path, "options")
				if strings.HasPrefix(path, "/admin/") {
					if preflight != nil {
						return fmt.Errorf("%s answers pages", path)
					}
					continue
				}
				if method == "options" {
					continue
				}
				answer := at(preflight, "x-amazon-apigateway-integration", "responses", "default")
				template, _ := at(answer, "responseTemplates", "application/json").(string)
				methods, _ := at(answer, "responseParameters", "method.response.header.Access-Control-Allow-Methods").(string)
				headers, _ := at(answer, "responseParameters", "method.response.header.Access-Control-Allow-Headers").(string)
				switch {
				case !strings.Contains(template, `#if($origin == "https://shop.example" || $origin == "https://admin.shop.example")`),
					!strings.Contains(template, "$context.responseOverride.header.Access-Control-Allow-Origin = $origin"):
					return fmt.Errorf("%s allows %s", path, template)
				case !strings.Contains(methods, strings.ToUpper(method)):
					return fmt.Errorf("%s does not allow %s: %s", path, method, methods)
				case !strings.Contains(headers, "Idempotency-Key") || !strings.Contains(headers, "Authorization"):
					return fmt.Errorf("%s allows the headers %s", path, headers)
				}
				if err := errors.Join(is(at(preflight, "security"), []any{}), is(at(answer, "responseParameters", "method.response.header.Vary"), "'Origin'")); err != nil {
					return fmt.Errorf("%s: %w", path, err)
				}
			}
			return nil
		},
		breaks: []func(t template){
			func(t template) {
				delete(at(t.the(apiType, "cloudflow-api").props, "Body", "paths", "/orders").(map[string]any), "options")
			},
			body("#set($context.responseOverride.header.Access-Control-Allow-Origin = $origin)", "paths", "/orders", "options", "x-amazon-apigateway-integration",
				"responses", "default", "responseTemplates", "application/json"),
			body(map[string]any{"Vary": "'*'"}, "x-cors"),
		},
	},
	{
		name: "what API Gateway refuses by itself is a problem like all others, for an allowed origin to read",
		check: func(d template) error {
			all, _ := at(d.the(apiType, "cloudflow-api").props, "Body", "x-amazon-apigateway-gateway-responses").(map[string]any)
			want := map[string]string{
				"DEFAULT_4XX": "400 BAD_REQUEST", "DEFAULT_5XX": "500 INTERNAL", "BAD_REQUEST_BODY": "400 BAD_REQUEST", "BAD_REQUEST_PARAMETERS": "400 BAD_REQUEST",
				"UNAUTHORIZED": "401 UNAUTHORIZED", "INVALID_API_KEY": "401 UNAUTHORIZED", "ACCESS_DENIED": "403 FORBIDDEN", "EXPIRED_TOKEN": "403 FORBIDDEN",
				"INVALID_SIGNATURE": "403 FORBIDDEN", "WAF_FILTERED": "403 FORBIDDEN", "MISSING_AUTHENTICATION_TOKEN": "404 NOT_FOUND",
				"RESOURCE_NOT_FOUND": "404 NOT_FOUND", "REQUEST_TOO_LARGE": "413 PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE": "415 UNSUPPORTED_MEDIA_TYPE",
				"THROTTLED": "429 THROTTLED", "QUOTA_EXCEEDED": "429 THROTTLED", "INTEGRATION_FAILURE": "503 UNAVAILABLE", "INTEGRATION_TIMEOUT": "503 UNAVAILABLE",
				"AUTHORIZER_FAILURE": "503 UNAVAILABLE", "AUTHORIZER_CONFIGURATION_ERROR": "503 UNAVAILABLE",
			}
			got := map[string]string{}
			for kind, r := range all {
				text, _ := at(r, "responseTemplates", "application/json").(string)
				var problem map[string]any
				if err := json.Unmarshal([]byte(text), &problem); err != nil {
					return fmt.Errorf("%s: %w", kind, err)
				}
				got[kind] = fmt.Sprint(at(r, "statusCode"), " ", problem["error"])
				header := func(name string) any { return at(r, "responseParameters", "gatewayresponse.header."+name) }
				if err := errors.Join(
					is(fmt.Sprint(problem["status"]), at(r, "statusCode")), is(problem["message"], problem["detail"]),
					is(problem["instance"], "$context.path"), is(problem["correlation_id"], "$context.requestId"), some(problem["type"]), some(problem["title"]),
					is(header("Content-Type"), "'application/problem+json'"), is(header("X-Correlation-Id"), "context.requestId"),
					is(header("Access-Control-Allow-Origin"), "'https://shop.example'"), is(header("Vary"), "'Origin'"),
				); err != nil {
					return fmt.Errorf("%s: %w", kind, err)
				}
				if status := fmt.Sprint(at(r, "statusCode")); (status == "429" || status == "503") && header("Retry-After") == nil ||
					status == "401" && header("WWW-Authenticate") == nil {
					return fmt.Errorf("%s lacks a header", kind)
				}
			}
			return is(got, want)
		},
		breaks: []func(t template){
			func(t template) {
				delete(at(t.the(apiType, "cloudflow-api").props, "Body", "x-amazon-apigateway-gateway-responses").(map[string]any), "THROTTLED")
			},
			func(t template) {
				delete(at(t.the(apiType, "cloudflow-api").props, "Body", "x-amazon-apigateway-gateway-responses", "UNAUTHORIZED", "responseParameters").(map[string]any),
					"gatewayresponse.header.Access-Control-Allow-Origin")
			},
		},
	},
	{
		name: "a firewall stands before the stage: an address's rate, and AWS's rules that a body of 64 KiB passes",
		check: func(d template) error {
			f := d.the(firewallType, "cloudflow-api")
			groups := map[string]any{}
			rate := false
			for _, r := range many(f.props["Rules"]) {
				if name, ok := at(r, "Statement", "ManagedRuleGroupStatement", "Name").(string); ok {
					groups[name] = at(r, "Statement", "ManagedRuleGroupStatement", "RuleActionOverrides")
					if err := is(at(r, "OverrideAction"), map[string]any{"None": map[string]any{}}); err != nil {
						return fmt.Errorf("%s: %w", name, err)
					}
				}
				rate = rate || at(r, "Statement", "RateBasedStatement", "AggregateKeyType") == "IP" && at(r, "Action", "Block") != nil
			}
			if !rate {
				return errors.New("no rate of an address")
			}
			var counted []string
			for _, o := range many(groups["AWSManagedRulesCommonRuleSet"]) {
				counted = append(counted, fmt.Sprint(at(o, "Name")))
			}
			return errors.Join(is(slices.Sorted(maps.Keys(groups)), []any{"AWSManagedRulesCommonRuleSet", "AWSManagedRulesKnownBadInputsRuleSet"}),
				is(counted, []any{"SizeRestrictions_BODY", "NoUserAgent_HEADER"}), is(f.props["Scope"], "REGIONAL"),
				is(at(f.props, "AssociationConfig", "RequestBody", "API_GATEWAY"), map[string]any{"DefaultSizeInspectionLimit": "KB_64"}))
		},
		breaks: []func(t template){
			func(t template) {
				f := t.the(firewallType, "cloudflow-api").props
				f["Rules"] = many(f["Rules"])[1:]
			},
			without(firewallType, "cloudflow-api", "AssociationConfig"),
			without(firewallType, "cloudflow-api", "Rules", 1, "Statement", "ManagedRuleGroupStatement", "RuleActionOverrides"),
		},
	},
	{
		name: "the firewall is the stage's",
		check: func(d template) error {
			return errors.Join(is(d.the(associationType, "FirewallOfStage").props["WebACLArn"], "arn:aws:wafv2:us-east-1:123456789012:regional/webacl/cloudflow-api"),
				is(d.the(associationType, "FirewallOfStage").props["ResourceArn"], "arn:aws:apigateway:us-east-1::/restapis/abc123/stages/prod"))
		},
		breaks: []func(t template){
			with("arn:aws:apigateway:us-east-1::/restapis/abc123/stages/other", associationType, "FirewallOfStage", "ResourceArn"),
		},
	},
}
