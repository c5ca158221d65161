package httpapi

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/pan"
)

const jsonType = "application/json"

// accepts reports whether the request takes the media type (RFC 9110, section 12.5.1): the most specific range that matches
// decides. No Accept takes everything.
func accepts(r *http.Request, mediaType string) bool {
	accept := r.Header.Values("Accept")
	if len(accept) == 0 || len(accept) == 1 && (accept[0] == "*/*" || accept[0] == mediaType) {
		return true
	}
	major, _, _ := strings.Cut(mediaType, "/")
	best, taken := 0, false
	for _, line := range accept {
		for part := range strings.SplitSeq(line, ",") {
			mediaRange, params, err := mime.ParseMediaType(part)
			if err != nil {
				continue
			}
			specific := 0
			switch mediaRange {
			case mediaType:
				specific = 3
			case major + "/*":
				specific = 2
			case "*/*":
				specific = 1
			}
			if specific > best {
				best, taken = specific, weight(params["q"]) > 0
			}
		}
	}
	return taken
}

func weight(q string) float64 {
	if q == "" {
		return 1
	}
	w, err := strconv.ParseFloat(q, 64)
	if err != nil {
		return 0
	}
	return w
}

// checkContentType wants application/json in UTF-8, not compressed: fault.UnsupportedMediaType.
func checkContentType(r *http.Request) error {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return fault.New(fault.UnsupportedMediaType, "The body must not be compressed.").With("field", "Content-Encoding")
	}
	contentType := r.Header.Get("Content-Type")
	if contentType == jsonType {
		return nil
	}
	mediaType, params, err := mime.ParseMediaType(contentType)
	charset, given := params["charset"]
	if err != nil || mediaType != jsonType || given && !strings.EqualFold(charset, "utf-8") {
		return fault.New(fault.UnsupportedMediaType, "Content-Type must be application/json, in UTF-8.").With("field", "Content-Type")
	}
	return nil
}

// checkKey wants 1 to 255 visible ASCII characters (fault.BadRequest) and no card's number (fault.ValidationFailed).
func checkKey(key string) error {
	if len(key) > 255 || !visible(key) {
		return fault.New(fault.BadRequest, "Idempotency-Key must be 1 to 255 visible ASCII characters.").With("field", "Idempotency-Key")
	}
	if pan.In(key) {
		return fault.New(fault.ValidationFailed, "Idempotency-Key %s.", noCards).With("field", "Idempotency-Key")
	}
	return nil
}

// visible reports whether s is visible ASCII, and some.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] < '!' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}

// validID is the syntax of every id: up to 64 of A-Z, a-z, 0-9, ".", "_" and "-". "." and ".." are none, since no path can name them
// (RFC 3986, section 5.2.4): %2E%2E came as far as the catalogue, and what it made there could not be reached any more.
func validID(id string) bool {
	if len(id) < 1 || len(id) > 64 || id == "." || id == ".." {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// preferredWait is the wait=N of a Prefer header (RFC 7240), N in seconds, at most maxWait; 0 if there is none that can be read.
// Of several the first counts (section 2).
func preferredWait(prefer string) time.Duration {
	for preference := range strings.SplitSeq(prefer, ",") {
		preference, _, _ = strings.Cut(preference, ";")
		name, n, _ := strings.Cut(preference, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		n = strings.TrimSpace(n)
		if len(n) >= 2 && n[0] == '"' && n[len(n)-1] == '"' {
			n = n[1 : len(n)-1]
		}
		return seconds(n)
	}
	return 0
}

// seconds reads digits; more than maxWait, however many digits, is maxWait.
func seconds(digits string) time.Duration {
	if digits == "" {
		return 0
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return 0
		}
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n > int(maxWait/time.Second) {
		return maxWait
	}
	return time.Duration(n) * time.Second
}

// etag is the strong validator of a version: "v5", with the quotes.
func etag(version int64) string { return `"v` + strconv.FormatInt(version, 10) + `"` }

// versionOf is the version in an ETag of ours; false for any other text, a weak one included.
func versionOf(tag string) (int64, bool) {
	digits, ok := strings.CutPrefix(tag, `"v`)
	if !ok {
		return 0, false
	}
	digits, ok = strings.CutSuffix(digits, `"`)
	version, err := strconv.ParseInt(digits, 10, 64)
	return version, ok && err == nil && version > 0 && etag(version) == tag
}

// noneMatch reads an If-None-Match (RFC 9110, section 13.1.2; the comparison is weak).
type noneMatch string

// matches reports whether the tag is among those that the caller has.
func (m noneMatch) matches(tag string) bool {
	if m == "" {
		return false
	}
	for part := range strings.SplitSeq(string(m), ",") {
		part = strings.TrimSpace(part)
		if part == "*" || strings.TrimPrefix(part, "W/") == tag {
			return true
		}
	}
	return false
}

// newest is the newest version that the caller has seen; 0 if it names none.
func (m noneMatch) newest() int64 {
	var newest int64
	if m == "" {
		return 0
	}
	for part := range strings.SplitSeq(string(m), ",") {
		if version, ok := versionOf(strings.TrimPrefix(strings.TrimSpace(part), "W/")); ok {
			newest = max(newest, version)
		}
	}
	return newest
}

// ifMatch is the version that an If-Match names: nil without the header, and an impossible one for a tag that is not ours or weak,
// since neither ever matches. A list or "*" is fault.BadRequest: no caller needs it, and a half of it would be a trap.
func ifMatch(header *string) (*int64, error) {
	if header == nil {
		return nil, nil
	}
	tag := strings.TrimSpace(*header)
	opaque := strings.TrimPrefix(tag, "W/")
	if len(opaque) < 2 || opaque[0] != '"' || strings.IndexByte(opaque[1:], '"') != len(opaque)-2 {
		return nil, fault.New(fault.BadRequest, "If-Match must be one ETag, such as \"v1\".").With("field", "If-Match")
	}
	version, ok := versionOf(tag)
	if !ok {
		version = -1
	}
	return &version, nil
}
