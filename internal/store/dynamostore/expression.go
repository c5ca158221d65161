package dynamostore

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/utkarsh698/cloudflow/internal/store"
)

// An expression collects the conditions of one operation, and what an Add does, in DynamoDB's language
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html). Every name and
// every value goes through a placeholder: names may be reserved words, and values are no part of the text.
type expression struct {
	conds  []string
	names  map[string]string // placeholder to name, as the SDK takes them
	places map[string]string // the other way round
	values attributes
	err    error // the first value that DynamoDB cannot hold
}

// condition is the whole condition, nil if there is none.
func (e *expression) condition() *string {
	if len(e.conds) == 0 {
		return nil
	}
	return aws.String(strings.Join(e.conds, " AND "))
}

func (e *expression) name(n string) string {
	if p, ok := e.places[n]; ok {
		return p
	}
	if !utf8.ValidString(n) && e.err == nil {
		e.err = fmt.Errorf("store: the attribute name %q is no UTF-8", n)
	}
	if e.names == nil {
		e.names, e.places = map[string]string{}, map[string]string{}
	}
	p := "#" + strconv.Itoa(len(e.names))
	e.names[p], e.places[n] = n, p
	return p
}

func (e *expression) value(v types.AttributeValue) string {
	if e.values == nil {
		e.values = attributes{}
	}
	p := ":" + strconv.Itoa(len(e.values))
	e.values[p] = v
	return p
}

func (e *expression) and(format string, args ...any) {
	e.conds = append(e.conds, fmt.Sprintf(format, args...))
}

// stands holds while the item is what the read saw.
func (e *expression) stands(r store.Read) {
	switch {
	case !r.Exists:
		e.and("attribute_not_exists(%s)", e.name(attrPK))
	case r.Version == 0:
		e.and("attribute_exists(%s) AND attribute_not_exists(%s)", e.name(attrPK), e.name(attrVersion))
	default:
		e.and("%s = %s", e.name(attrVersion), e.value(unsigned(r.Version)))
	}
}

// holds is Cond.Holds. A comparison with an attribute that is absent, or of another type, is false in DynamoDB as in the port; but for
// NotEqual, where it says so itself rather than rest on what <> makes of an absent attribute.
func (e *expression) holds(c store.Cond) {
	if c.Name == "" {
		if c.Op == store.CondExists {
			e.and("attribute_exists(%s)", e.name(attrPK))
		} else {
			e.and("attribute_not_exists(%s)", e.name(attrPK))
		}
		return
	}
	n := e.name(c.Name)
	switch c.Op {
	case store.CondExists:
		e.and("attribute_exists(%s)", n)
	case store.CondAbsent:
		e.and("attribute_not_exists(%s)", n)
	case store.CondEqual:
		e.and("%s = %s", n, e.operand(c))
	case store.CondNotEqual:
		e.and("(attribute_not_exists(%s) OR %s <> %s)", n, n, e.operand(c))
	case store.CondAtLeast:
		e.and("%s >= %s", n, e.value(number(c.Value.Int())))
	case store.CondBelow:
		e.and("%s < %s", n, e.value(number(c.Value.Int())))
	}
}

func (e *expression) operand(c store.Cond) string {
	v, err := encodeValue(c.Value)
	if err != nil && e.err == nil {
		e.err = fmt.Errorf("store: a condition on %q: %w", c.Name, err)
	}
	return e.value(v)
}

// moves is the update of an Add. The bounds of its deltas become conditions: the attribute, if it is there, is a number from which the sum stays
// within 64 bits and on its floor, as Op.Apply asks. The item gets a version only if it has none.
func (e *expression) moves(deltas []store.Delta, version uint64) *string {
	v := e.name(attrVersion)
	set := fmt.Sprintf("SET %s = if_not_exists(%s, %s)", v, v, e.value(unsigned(version)))
	adds := make([]string, len(deltas))
	for i, d := range deltas {
		n := e.name(d.Name)
		least, most := bounds(d)
		within := fmt.Sprintf("%s >= %s", n, e.value(bigNumber(least)))
		if d.By > 0 {
			within += fmt.Sprintf(" AND %s <= %s", n, e.value(bigNumber(most)))
		}
		if d.HasFloor {
			e.and("%s", within)
		} else {
			e.and("(attribute_not_exists(%s) OR (%s))", n, within)
		}
		adds[i] = n + " " + e.value(number(d.By))
	}
	return aws.String(set + " ADD " + strings.Join(adds, ", "))
}

// bounds are the least and the greatest value that the delta may be added to. They may lie outside of 64 bits: a floor near the end of the
// integers. DynamoDB's numbers have 38 digits.
func bounds(d store.Delta) (least, most *big.Int) {
	by := big.NewInt(d.By)
	least, most = big.NewInt(math.MinInt64), big.NewInt(math.MaxInt64)
	if d.By < 0 {
		least.Sub(least, by)
	} else {
		most.Sub(most, by)
	}
	if d.HasFloor {
		if floor := new(big.Int).Sub(big.NewInt(d.Floor), by); floor.Cmp(least) > 0 {
			least = floor
		}
	}
	return least, most
}

func bigNumber(n *big.Int) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: n.String()}
}
