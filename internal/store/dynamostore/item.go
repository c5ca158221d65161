package dynamostore

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/utkarsh698/cloudflow/internal/store"
)

// The attributes that belong to the adapter. The port reserves their names.
const (
	attrPK      = "pk"
	attrSK      = "sk"
	attrVersion = "_v" // drawn at random by the commit that put the item, or by the Add that brought it into being
)

// emptySK stands for the empty sort key, which DynamoDB refuses
// (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html). The port forbids NUL in a key, so nothing
// else is written so, and it comes before everything else, as the empty key does.
const emptySK = "\x00"

func encodeSK(sk string) string {
	if sk == "" {
		return emptySK
	}
	return sk
}

func decodeSK(sk string) string {
	if sk == emptySK {
		return ""
	}
	return sk
}

// attributes is an item, or a key, as the SDK takes and gives it.
type attributes = map[string]types.AttributeValue

// encodeKey is the key as DynamoDB takes it. An error: the key is none that an adapter could keep, or it is no UTF-8, which a
// DynamoDB string has to be.
func encodeKey(k store.Key) (attributes, error) {
	if err := store.CheckKey(k); err != nil {
		return nil, err
	}
	if !utf8.ValidString(k.PK) || !utf8.ValidString(k.SK) {
		return nil, fmt.Errorf("store: key %q is no UTF-8", k.String())
	}
	return attributes{attrPK: text(k.PK), attrSK: text(encodeSK(k.SK))}, nil
}

// encodeItem is the whole item that a Put writes.
func encodeItem(k store.Key, it store.Item, version uint64) (attributes, error) {
	out, err := encodeKey(k)
	if err != nil {
		return nil, err
	}
	for _, a := range it {
		if !utf8.ValidString(a.Name) {
			return nil, fmt.Errorf("store: %s: the attribute name %q is no UTF-8", k, a.Name)
		}
		if out[a.Name], err = encodeValue(a.Value); err != nil {
			return nil, fmt.Errorf("store: %s: attribute %q: %w", k, a.Name, err)
		}
	}
	out[attrVersion] = unsigned(version)
	return out, nil
}

func encodeValue(v store.Value) (types.AttributeValue, error) {
	switch v.Kind() {
	case store.KindInt:
		return number(v.Int()), nil
	case store.KindBytes:
		return &types.AttributeValueMemberB{Value: []byte(v.Text())}, nil
	case store.KindBool:
		return &types.AttributeValueMemberBOOL{Value: v.Int() == 1}, nil
	case store.KindString:
	}
	if !utf8.ValidString(v.Text()) {
		return nil, fmt.Errorf("the string %.40q is no UTF-8", v.Text())
	}
	return text(v.Text()), nil
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func unsigned(n uint64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatUint(n, 10)}
}

// A row is an item as it stands in a table.
type row struct {
	item    store.Item // nil: there is none
	version uint64     // 0 if there is none, or if nobody who knows of versions has written it
}

// is reports whether the row is what the read saw.
func (r row) is(read store.Read) bool {
	return (r.item != nil) == read.Exists && r.version == read.Version
}

// decodeRow is what a read, or a failed condition, gives of an item. No attributes at all mean that there is none: an item has its key.
func decodeRow(m attributes) (row, error) {
	_, it, version, err := decode(m, valueOf)
	return row{it, version}, err
}

// decodeEntry is an item of a Query of the table, which the port calls by that name.
func decodeEntry(table string, m attributes) (store.Entry, error) {
	k, it, _, err := decode(m, valueOf)
	k.Table = table
	return store.Entry{Key: k, Item: it}, err
}

// decode takes apart what DynamoDB gives of an item, in any of the three shapes that its SDKs have for a value. The item's
// attributes are sorted by name, so that the same item always looks the same; the key lacks its table.
func decode[V any](m map[string]V, value func(V) (store.Value, string, error)) (k store.Key, it store.Item, version uint64, err error) {
	if len(m) == 0 {
		return store.Key{}, nil, 0, nil
	}
	it = make(store.Item, 0, len(m))
	for name, raw := range m {
		v, digits, err := value(raw)
		if name == attrVersion {
			if version, err = strconv.ParseUint(digits, 10, 64); err != nil {
				return k, nil, 0, fmt.Errorf("the version %q is none of this adapter's", digits)
			}
			continue
		}
		if err != nil {
			return k, nil, 0, fmt.Errorf("attribute %q: %w", name, err)
		}
		switch name {
		case attrPK:
			k.PK = v.Text()
		case attrSK:
			k.SK = decodeSK(v.Text())
		default:
			it = append(it, store.Attr{Name: name, Value: v})
		}
	}
	slices.SortFunc(it, func(a, b store.Attr) int { return cmp.Compare(a.Name, b.Name) })
	return k, it, version, nil
}

// valueOf is one attribute, and its digits if it is a number.
func valueOf(v types.AttributeValue) (store.Value, string, error) {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return store.S("", v.Value).Value, "", nil
	case *types.AttributeValueMemberN:
		return integer(v.Value)
	case *types.AttributeValueMemberB:
		return store.B("", v.Value).Value, "", nil
	case *types.AttributeValueMemberBOOL:
		return store.Bool("", v.Value).Value, "", nil
	default:
		return store.Value{}, "", fmt.Errorf("the port has no value of the type %T", v)
	}
}

// integer is a number of 64 bits. DynamoDB's has 38 digits and a fraction; whoever wrote such a one was not this adapter.
func integer(digits string) (store.Value, string, error) {
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		err = fmt.Errorf("%q is no integer of 64 bits", digits)
	}
	return store.N("", n).Value, digits, err
}
