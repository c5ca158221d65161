package jsonata

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/utkarsh698/cloudflow/asl"
)

// The functions that Step Functions adds: https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html.

// partition cuts an array into arrays of a size.
func partition(c *call, list, args []any) any {
	size := whole(args[1])
	if size < 1 {
		c.refuse("second", args[1])
	}
	parts := []any{}
	for len(list) > 0 {
		n := min(size, len(list))
		c.meter.spend(1)
		parts = append(parts, list[:n:n])
		list = list[n:]
	}
	return &array{items: parts}
}

// rangeFunction gives the numbers from the first to the last one, both included. One number alone stands for itself: recorded on AWS.
func rangeFunction(c *call, args []any) any {
	if !isNumber(args[0]) || !isNumber(args[1]) {
		return undefined
	}
	first, last, step := float(args[0]), float(args[1]), 1.0
	if isNumber(args[2]) {
		step = float(args[2])
	}
	size := math.Floor((last-first)/step) + 1
	if step == 0 || math.IsNaN(size) || math.IsInf(size, 0) {
		c.refuse("third", args[2])
	}
	if size > maxRange {
		c.fail("D2014", details{value: size})
	}
	result := sequenceOf()
	c.meter.spend(max(int(size), 0))
	for i := 0; i < int(size); i++ {
		// The conversion keeps the two operations apart: some processors would do them as one, and round otherwise.
		result.items = append(result.items, first+float64(float64(i)*step))
	}
	return result
}

func hash(c *call, s string, args []any) any {
	var sum []byte
	switch name, _ := text(args[1]); name {
	case "MD5":
		b := md5.Sum([]byte(s))
		sum = b[:]
	case "SHA-1":
		b := sha1.Sum([]byte(s))
		sum = b[:]
	case "SHA-256":
		b := sha256.Sum256([]byte(s))
		sum = b[:]
	case "SHA-384":
		b := sha512.Sum384([]byte(s))
		sum = b[:]
	case "SHA-512":
		b := sha512.Sum512([]byte(s))
		sum = b[:]
	default:
		c.refuse("second", args[1])
	}
	return hex.EncodeToString(sum)
}

// random is this evaluation's source of chance.
func (e *evaluation) random() *rand.Rand {
	if e.chance == nil {
		e.chance = rand.New(rand.NewPCG(e.scope.Seed, 0))
	}
	return e.chance
}

// random is at least 0 and less than 1. The same seed gives the same number; AWS documents no more, so it is not AWS's number.
func random(c *call, args []any) any {
	if isNumber(args[0]) {
		return rand.New(rand.NewPCG(math.Float64bits(float(args[0])), 1)).Float64()
	}
	return c.random().Float64()
}

func uuid(c *call, args []any) any {
	high, low := c.random().Uint64(), c.random().Uint64()
	high = high&^0xF000 | 0x4000 // version 4
	low = low&^(3<<62) | 1<<63   // the variant of RFC 9562
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", high>>32, high>>16&0xFFFF, high&0xFFFF, low>>48, low&0xFFFFFFFFFFFF)
}

// parseFunction reads JSON text as asl does: numbers keep their digits.
func parseFunction(c *call, s string, args []any) any {
	c.meter.spend(len(s)) // {"":0} is an object with a member: its seven characters, with the comma, take as much memory as its cost says
	v, err := asl.DecodeJSON([]byte(s))
	if err != nil {
		c.refuse("first", s)
	}
	return v
}
