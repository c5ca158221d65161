package instance_test

import (
	"fmt"
	"strings"
)

// headers are lines that would be several, none, or too many.
func headers() (all []hostile) {
	const nowhere = "/orders/ord-none"
	with := func(rule string, status int, code string, lines ...string) {
		all = append(all, hostile{rule, head("GET", nowhere, lines...), status, code})
	}
	for rule, line := range map[string]string{
		"a name with a space": "X Y: 1", "no name": ": 1", "no colon": "X-Nothing", "a NUL in a name": "X\x00: 1", "a NUL in a value": "X: a\x00b",
		"a lone CR in a value": "X: a\rX-Injected: 1", "DEL in a value": "X: a\x7f", "letters that are not ASCII in a name": "Ключ: 1",
		"a bracket in a name": "X[0]: 1", "a second host": "Host: evil",
	} {
		with(rule, 400, "", line)
	}
	for _, value := range []string{
		"a%0d%0aX-Injected: 1", "a\\r\\nSet-Cookie: a=b", strings.Repeat("a", 65), "<script>", "../x", "a b", "\xff\xfe", "é",
	} {
		with("the correlation id "+value[:min(len(value), 20)], 404, notFound, "X-Correlation-Id: "+value)
	}
	all = append(all,
		hostile{"a key that is folded", raw("POST", "/orders", goodOrder, "Idempotency-Key: a\r\n b"), 400, badRequest},
		hostile{"a key of 300 letters", raw("POST", "/orders", goodOrder, "Idempotency-Key: "+strings.Repeat("k", 300)), 400, badRequest},
		hostile{"two keys", raw("POST", "/orders", goodOrder, "Idempotency-Key: a", "Idempotency-Key: b"), 400, badRequest},
		hostile{"an empty key", raw("POST", "/orders", goodOrder, "Idempotency-Key: "), 400, badRequest},
		hostile{"a key that is not ASCII", raw("POST", "/orders", goodOrder, "Idempotency-Key: \xff"), 400, badRequest},
		hostile{"an Accept of 2,000 ranges", head("GET", "/products", "Accept: "+strings.Repeat("a/b;q=0,", 1500)+"a/b"), 406, "NOT_ACCEPTABLE"},
		hostile{"a header of 64 KiB", head("GET", nowhere, "X: "+strings.Repeat("a", 64<<10)), 431, ""},
		hostile{"a header of a megabyte", head("GET", nowhere, "X: "+strings.Repeat("a", 1<<20)), 431, ""},
		hostile{"a name of 64 KiB", head("GET", nowhere, strings.Repeat("X", 64<<10)+": 1"), 431, ""},
		hostile{"3,000 headers", head("GET", nowhere, strings.Repeat("X-Many: 1\r\n", 2999)+"X-Many: 1"), 431, ""},
		hostile{"400 headers, which fit", head("GET", nowhere, strings.Repeat("X-Many: 1\r\n", 399)+"X-Many: 1"), 404, notFound},
		hostile{"no host", "GET /health HTTP/1.1\r\n\r\n", 400, ""},
		hostile{"a host with a space", "GET /health HTTP/1.1\r\nHost: a b\r\n\r\n", 400, ""},
	)
	return all
}

// paths lead up, out or nowhere.
func paths() (all []hostile) {
	for path, status := range map[string]int{
		"/../etc/passwd": 404, "/%2e%2e/etc/passwd": 404, "/orders/../admin/breakers": 404, "/orders/%2e%2e/admin": 404, "//etc/passwd": 404,
		"/orders//x": 404, "/orders/./x": 404, "/orders/%2e%2e%2fadmin%2fverify": 404, "/..%5c..%5cetc": 404, "/orders/..;/admin": 404,
		"/orders/%00": 404, "/orders/a%00b": 404, "/%c0%ae%c0%ae/etc": 404, "/orders/%25%32%65": 404, "/orders/%0d%0aSet-Cookie:%20a=b": 404,
		"/orders/%0aX-Injected:%201": 404, "/docs/../openapi.yaml": 404, "/docs/%2e%2e/%2e%2e/etc/passwd": 404, "/docs/style.css/../../x": 404,
		"/.git/config": 404, "/.env": 404, "/admin": 404, "/debug/pprof/": 404, "/metrics/": 404, "/products/%F0%9F%92%A9": 404,
		"/orders/" + strings.Repeat("a", 8000): 404, "/" + strings.Repeat("a/", 4000): 404, "/orders/customer%23c": 404, "/orders/head": 404,
		"http://evil.example/admin": 404, "/%": 400, "/%zz": 400, "/orders/%f": 400, "orders": 400, "": 400, "/a b": 400, "\\orders": 400,
		"/orders/\x00": 400, "/orders/\x7f": 400, "*": 404, "evil.example:443": 404,
	} {
		code := notFound
		if status == 400 {
			code = ""
		}
		all = append(all, hostile{"GET " + path[:min(len(path), 40)], head("GET", path), status, code})
	}
	for _, path := range []string{"/products/%2e%2e", "/products/..%2f..%2fx", "/products/a%2fb", "/products/a%00", "/products/" + strings.Repeat("a", 65)} {
		want, code := 422, invalid
		if strings.Contains(path, "..") || strings.Contains(path, "%2e") {
			want, code = 404, notFound
		}
		all = append(all, hostile{"PUT " + path, raw("PUT", path, `{"name":"A","unit_price_cents":1}`), want, code})
	}
	for _, query := range []string{
		"limit=abc", "limit=-1", "limit=99999999999999999999", "limit=1&limit=2", "limit=1e1", "limit=", "cursor=..%2f", "cursor=%00", "cursor=MTo",
		"cursor=" + strings.Repeat("A", 8000), "x=" + strings.Repeat("y", 8000), "%zz=1", "limit=1;cursor=2", "a&b&c", "LIMIT=1", "=", "limit[]=1",
		strings.Repeat("a=1&", 3000) + "a=1",
	} {
		all = append(all, hostile{"the query " + query[:min(len(query), 30)], head("GET", "/products?"+query), 400, badRequest})
	}
	for _, query := range []string{"version=0", "version=-1", "version=1e9", "version=99999999999999999999", "as_of=now", "as_of=0000", "as_of=%00", "min_version=x"} {
		all = append(all, hostile{"the query " + query, head("GET", "/orders/ord-none?"+query), 400, badRequest})
	}
	return append(all, hostile{"a query of 64 KiB", head("GET", "/products?"+strings.Repeat("a", 64<<10)), 431, ""})
}

// methods that a path does not have.
func methods() (all []hostile) {
	for _, path := range []string{
		"/orders", "/orders/x", "/orders/x/cancel", "/products", "/products/x/restock", "/admin/breakers", "/admin/verify", "/health", "/metrics", "/docs",
	} {
		for _, method := range []string{"DELETE", "PATCH", "TRACE", "PROPFIND", "get", strings.Repeat("M", 2000)} {
			all = append(all, hostile{method[:min(len(method), 10)] + " " + path, head(method, path), 405, notAllowed})
		}
	}
	for _, method := range []string{"G ET", "GET\x00", "", "ПОСТ", "GE(T"} {
		all = append(all, hostile{fmt.Sprintf("the method %q", method), head(method, "/health"), 400, ""})
	}
	return append(all,
		hostile{"a method is not taken from a header", head("POST", "/orders/x/cancel", "X-HTTP-Method-Override: GET", "Content-Length: 0"), 404, notFound},
		hostile{"a proxy is asked for", head("CONNECT", "evil.example:443"), 404, notFound},
	)
}

// protocols are what is no HTTP/1.1.
func protocols() []hostile {
	return []hostile{
		{"HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 404, notFound},
		{"HTTP/0.9", "GET /health\r\n\r\n", 400, ""},
		{"HTTP/3.0", "GET /health HTTP/3.0\r\nHost: localhost\r\n\r\n", 505, ""},
		{"HTTP/1.1x", "GET /health HTTP/1.1x\r\nHost: localhost\r\n\r\n", 400, ""},
		{"small letters", "GET /health http/1.1\r\nHost: localhost\r\n\r\n", 400, ""},
		{"HTTP/-1.1", "GET /health HTTP/-1.1\r\nHost: localhost\r\n\r\n", 400, ""},
		{"two spaces", "GET  /health HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, ""},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, ""},
		{"a mail", "EHLO x\r\nMAIL FROM:<a@b.c>\r\n\r\n", 400, ""},
		{"noise", "\x00\x01\x02\xff\xfe\r\n\r\n", 400, ""},
		{"HTTP/1.0 with a torn body", "POST /orders HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n{\"a\":", 400, badRequest},
		{"HTTP/1.0 to nowhere", "GET /nothing HTTP/1.0\r\n\r\n", 404, notFound},
		{"an upgrade to WebSocket", head("GET", "/nothing", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: a"), 404, notFound},
		{"an upgrade to h2c", head("GET", "/nothing", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"), 404, notFound},
	}
}
