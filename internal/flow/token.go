package flow

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A task token is a letter and base64url of a MAC, the command's number and the execution's name: without the letter one in 64 would begin with a
// dash, which command lines take for a flag. The key is the execution's own and stands in its head,
// so that who has one token can make no other, and so that a token is the same each time a journal is replayed.
const (
	attrTokenKey  = "token_key" // of a head whose machine hands tasks out
	tokenKeyBytes = 16
	tokenMACBytes = 16
	tokenLetter   = "t"
)

func tokenOf(key []byte, name string, id int64) string {
	b := make([]byte, tokenMACBytes, tokenMACBytes+binary.MaxVarintLen64+len(name))
	b = append(binary.AppendVarint(b, id), name...)
	h := hmac.New(sha256.New, key)
	h.Write(b[tokenMACBytes:])
	copy(b[:tokenMACBytes], h.Sum(nil))
	return tokenLetter + base64.RawURLEncoding.EncodeToString(b)
}

// splitToken reads what a token says, without a look at its MAC.
func splitToken(token string) (name string, id int64, ok bool) {
	text, ours := strings.CutPrefix(token, tokenLetter)
	b, err := base64.RawURLEncoding.DecodeString(text)
	if !ours || err != nil || len(b) <= tokenMACBytes {
		return "", 0, false
	}
	id, n := binary.Varint(b[tokenMACBytes:])
	if n <= 0 {
		return "", 0, false
	}
	name = string(b[tokenMACBytes+n:])
	return name, id, checkName(name) == nil
}

// ExecutionOf is the execution that a token names, "" if none. It proves nothing: it is for who writes down whose task was answered.
func ExecutionOf(token string) string {
	name, _, ok := splitToken(token)
	if !ok {
		return ""
	}
	return name
}

// newTokenKey is a key for the tokens of one execution. Where all chance is given, as in a simulation, it is made of that.
func (e *Engine) newTokenKey() []byte {
	key := make([]byte, tokenKeyBytes)
	if !e.chosenSeed {
		_, _ = rand.Read(key) // it never fails
		return key
	}
	binary.BigEndian.PutUint64(key, e.o.Seed())
	binary.BigEndian.PutUint64(key[8:], e.o.Seed())
	return key
}

// taskOf finds the task of a token, and its execution's head. It tells of no execution and of no task to who has no token of them.
func (e *Engine) taskOf(ctx context.Context, token string) (name string, id int64, head store.Item, err error) {
	name, id, ok := splitToken(token)
	if !ok {
		return "", 0, nil, fault.New(fault.BadRequest, "This is no task token.")
	}
	if head, err = e.o.Store.Get(ctx, headKey(name), store.Strong); err != nil {
		return "", 0, nil, err
	}
	key := head.Bytes(attrTokenKey)
	if key == nil || !hmac.Equal([]byte(token), []byte(tokenOf(key, name, id))) {
		return "", 0, nil, fault.New(fault.TaskDoesNotExist, "There is no task of this token.")
	}
	return name, id, head, nil
}
