package asl

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// evaluate finds a path in root, or says in AWS's words why it is not there.
func evaluate(tb testing.TB, text string, root any) string {
	tb.Helper()
	p, err := compilePath(text, new(int))
	if err != nil {
		tb.Fatalf("%s: %v", text, err)
	}
	v, bound, found, f := p.find(&env{input: root, bound: sizeOf(root, maxPayload)})
	switch {
	case f != nil:
		return f.cause.s
	case !found:
		return p.missing(root)
	}
	got := string(AppendJSON(nil, v))
	if len(got) > bound {
		tb.Errorf("%s: the bound %d is less than the size %d of %s", text, bound, len(got), got)
	}
	return got
}

func TestPathOfOneNode(t *testing.T) {
	root := mustDecode(t, `{"a":{"b c":[10,{"d-e":"x"}]},"it's":1,"q\"":2,"b\\s":3,"é":4,"n":null}`)
	for _, c := range []struct{ path, want string }{
		{"$.a['b c'][0]", "10"}, {`$["a"]["b c"][1].d-e`, `"x"`}, {"$.a['b c'][-1]['d-e']", `"x"`}, {`$['it\'s']`, "1"}, {`$['q"']`, "2"}, {`$["q\""]`, "2"},
		{`$['b\\s']`, "3"}, {`$['b\s']`, "3"}, {"$.é", "4"}, {"$.n", "null"}, {"$.a.['b c'][ 0 ]", "10"}, {"$['a'].b", "No results for path: $['a']['b']"},
		{"$.x.y", "Missing property in path $['x']"}, {"$.n.y", "Expected to find an object with property ['y'] in path $['n'] but found 'null'"},
		{"$.a[0]", `Filter: [0] can only be applied to arrays. Current context is: {"b c":[10,{"d-e":"x"}]}`},
		{"$.a['b c'][2]", "No results for path: $['a']['b c'][2]"}, {"$.a['b c'][-3].x", "Index out of bounds when evaluating path $['a']['b c'][-3]: length 2"},
		{"$.a['b c'].length()", "Expected to find an object with property ['length()'] in path $['a']['b c'] but found 'array'"},
	} {
		if got := evaluate(t, c.path, root); got != c.want {
			t.Errorf("%s is %s, want %s", c.path, got, c.want)
		}
	}
}

const store = `{"store":{"book":[
	{"category":"reference","author":"Nigel Rees","title":"Sayings","price":8.95,"tags":["a","b"]},
	{"category":"fiction","author":"Evelyn Waugh","title":"Sword","price":12.99,"tags":[]},
	{"category":"fiction","author":"Herman Melville","title":"Moby Dick","isbn":"0-553-21311-3","price":8.99,"sold":null},
	{"category":"fiction","author":"J. R. R. Tolkien","title":"Lord","isbn":"0-395-19395-8","price":22.99,"nested":{"price":1}}],
	"bicycle":{"color":"red","price":19.95}},"expensive":10,"list":[0,1,2,3,4],"names":["red","blue"]}`

// The cases with a title are named by the first letters of the books' titles.
func TestPathOfManyNodes(t *testing.T) {
	root := mustDecode(t, store)
	const titles = "$.store.book[?(%s)].title"
	where := func(condition string) string { return fmt.Sprintf(titles, condition) }
	for _, c := range []struct{ path, want string }{
		{"$.store.book[*].price", "[8.95,12.99,8.99,22.99]"},
		{"$.store.bicycle.*", `["red",19.95]`},
		{"$.store.bicycle[*]", `["red",19.95]`},
		{"$..color", `["red"]`},
		{"$..price", "[19.95,8.95,12.99,8.99,22.99,1]"},
		{"$.store..price", "[19.95,8.95,12.99,8.99,22.99,1]"},
		{"$..book[0].title", `["Sayings"]`},
		{"$..['isbn']", `["0-553-21311-3","0-395-19395-8"]`},
		{"$..book[?(@.isbn)].title", `["Moby Dick","Lord"]`},
		{"$..[?(@.color)].price", "[19.95]"},
		{"$..[?(@.isbn)].title", `["Moby Dick","Lord"]`},
		{"$.list[1,3]", "[1,3]"}, {"$.list[-1,0]", "[4,0]"}, {"$.list[7,1]", "[1]"},
		{"$.list[1:3]", "[1,2]"}, {"$.list[:2]", "[0,1]"}, {"$.list[3:]", "[3,4]"}, {"$.list[-2:]", "[3,4]"}, {"$.list[:-2]", "[0,1,2]"},
		{"$.list[-3:-1]", "[2,3]"}, {"$.list[1:-1]", "[]"}, {"$.list[4:2]", "[]"}, {"$.list[3:99]", "[3,4]"}, {"$.list[0:4:2]", "[0,1,2,3]"}, {"$.list[-2147483648:2]", "[0,1,2,3,4,0,1]"},
		{"$.store.bicycle['color','price']", `{"color":"red","price":19.95}`}, {"$.store.bicycle['color','x']", `{"color":"red"}`},
		{"$.store.book[0:2]['title','x']", `[{"title":"Sayings"},{"title":"Sword"}]`},
		{"$.list['a','b']", "Expected to find an object with property ['a', 'b'] in path $['list'] but found 'array'"},
		{"$['store','list'].x", "Multi properties can only be used as path leafs: $['store', 'list']"},
		{"$.none[*]", "[]"}, {"$.none.at.all[1:5].x", "[]"}, {"$.expensive[*]", "[]"}, {"$.expensive[?(@.x)]", "[]"}, {"$.expensive[0,1]", "[]"}, {"$..none", "[]"},
		{where("@.price < 10"), `["Sayings","Moby Dick"]`}, {where("@.price<=8.95"), `["Sayings"]`}, {where("@.price > $.expensive"), `["Sword","Lord"]`}, {where("@.price >= 12.99"), `["Sword","Lord"]`},
		{where("@.category == 'reference'"), `["Sayings"]`}, {where(`@['category'] == "reference"`), `["Sayings"]`}, {where("'reference' == @.category"), `["Sayings"]`},
		{where("@.isbn != '0-395-19395-8'"), `["Sayings","Sword","Moby Dick"]`}, {where("@.isbn"), `["Moby Dick","Lord"]`}, {where("!@.isbn"), `["Sayings","Sword"]`}, {where("@.sold"), `["Moby Dick"]`},
		{where("@.sold == null"), `["Moby Dick"]`}, {where("@.price == '8.95'"), `["Sayings"]`}, {where("@.price === '8.95'"), "[]"}, {where("@.price !== '8.95'"), `["Sayings","Sword","Moby Dick","Lord"]`},
		{where("@.price == 8.950"), `["Sayings"]`}, {where("@.category == 'fiction' && @.price < 10"), `["Moby Dick"]`}, {where("@.price < 9 || @.isbn && @.price > 20"), `["Sayings","Moby Dick","Lord"]`},
		{where("!(@.isbn || @.price > 10)"), `["Sayings"]`}, {where("(@.price < 9) && (!@.isbn)"), `["Sayings"]`},
		{where("@.author =~ /.*waugh/i"), `["Sword"]`}, {where("@.author =~ /Waugh/"), "[]"}, {where("@.tags =~ /b/"), `["Sayings"]`}, {where("@.price =~ /8\\..*/"), `["Sayings","Moby Dick"]`},
		{where(`@.category in ["reference","x"]`), `["Sayings"]`}, {where("@.category nin [ 'fiction' , 1.5, null,['x'] ]"), `["Sayings"]`}, {where("@.tags == ['a','b']"), `["Sayings"]`}, {where("@.tags == []"), `["Sword"]`}, {where("@.price in $.store.book[2:].price"), `["Moby Dick","Lord"]`},
		{where(`@.tags subsetof ["a","b","c"]`), `["Sayings","Sword"]`}, {where(`@.tags anyof ["b","c"]`), `["Sayings"]`}, {where(`@.tags noneof ["b"]`), `["Sword"]`}, {where(`@.tags all ["a","b"]`), `["Sayings"]`},
		{where("@.tags contains 'a'"), `["Sayings"]`}, {where("@.title contains 'or'"), `["Sword","Lord"]`}, {where("@.tags size 2"), `["Sayings"]`}, {where("@.title size 4"), `["Lord"]`},
		{where("@.tags empty true"), `["Sword"]`}, {where("@.tags empty false"), `["Sayings"]`}, {where(`@.tags == ["a","b"]`), `["Sayings"]`}, {where(`@.nested == {"price":1.0}`), `["Lord"]`},
		{where("@.nested.price == 1"), `["Lord"]`}, {where("@..price"), `["Sayings","Sword","Moby Dick","Lord"]`}, {where("@.author < 'I'"), `["Sword","Moby Dick"]`}, {where("@.x < 3"), "[]"}, {where("@.x == @.y"), "[]"},
		{"$.store.bicycle[?(@.color == 'red')].price", "[19.95]"}, {"$.store.bicycle[?(@.color == 'blue')].price", "[]"}, {"$.names[?(@ == 'red')]", "[]"},
	} {
		if got := evaluate(t, c.path, root); got != c.want {
			t.Errorf("%s is %s, want %s", c.path, got, c.want)
		}
	}
}

func TestPathRefuses(t *testing.T) {
	for path, want := range map[string]string{
		"": "must begin", "a": "must begin", "x$": "must begin", "$.": "a name is expected", "$..": "a name is expected", "$...a": "a name is expected", "$.a[:]": "slice", "$[1:x]": "slice",
		"$[": "']' is missing", "$[]": "neither", "$[a]": "neither", "$[+1]": "neither", "$[99999999999]": "neither", "$['a": "closing quote", "$['a'": "']' is expected", "$['a',": "quoted name", "$[*": "']' is expected",
		"$.a b": "brackets and quotes", "$$a": "'.' or '['", "$.a]": "brackets", "$a b": "'.' or '['", "$.a.concat($.b)": "function concat", "$1": "'.' or '['",
		"$[?]": "'(' is expected", "$[?()]": "a value is expected", "$[?(@.a ]": "operator", "$[?(@.a ==)]": "a value is expected", "$[?(@.a ~ 1)]": `operator "~"`, "$[?(@.a == $$.x)]": "sees only", "$[?(@.a == $v)]": "sees only",
		"$[?(@.a =~ /(/)]": "pattern", "$[?(@.a in [@.b])]": "holds literals", "$[?(@.a in [1 2])]": "',' or ']'", "$[?(@.a in [": "holds literals", "$[?(@.a in " + strings.Repeat("[", 100): "nests deeper", "$[?(@.a =~ /a)]": "closing '/'", "$[?(@.a == 'x)]": "closing quote", "$[?(@.a) ": "']' is expected", "$[?(1)]": "operator",
		"$" + strings.Repeat(".a", maxSteps+1): "at most 512 steps", "$[?(" + strings.Repeat("!", 100) + "@.a)]": "nests deeper",
		"$[?(@.a =~ /a{1001}/)]": "pattern", "$[?(@.a =~ /a/" + strings.Repeat(" || @.a =~ /a{1000}/", 300) + ")]": "too large",
		"$[?(@.a" + strings.Repeat("[?(@.a", 100): "nests deeper",
	} {
		if _, err := compilePath(path, new(int)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", path, err, want)
		}
	}
}

func TestPathRoots(t *testing.T) {
	for text, want := range map[string]path{
		"$": {}, "$$": {context: true}, "$$.a": {context: true}, "$a": {variable: "a"}, "$a_1.b[0]": {variable: "a_1"}, "$é['x']": {variable: "é"}, "$.a": {},
	} {
		p, err := compilePath(text, new(int))
		if err != nil || p.context != want.context || p.variable != want.variable || p.text != text {
			t.Errorf("%s: %+v, %v", text, p, err)
		}
	}
}

// genPath draws the text of a path of every kind of step.
func genPath(t *rapid.T) string {
	names := rapid.SampledFrom([]string{"a", "b", "c", "it's", `\`, `"`, "é", ""})
	quoted := func() string { return quoteName(names.Draw(t, "name")) }
	ints := func() string { return fmt.Sprint(rapid.IntRange(-4, 4).Draw(t, "int")) }
	text := "$"
	for range rapid.IntRange(0, 5).Draw(t, "steps") {
		switch rapid.IntRange(0, 8).Draw(t, "kind") {
		case 0, 1:
			text += "[" + quoted() + "]"
		case 2:
			text += "[" + ints() + "]"
		case 3:
			text += "[" + ints() + "," + ints() + "]"
		case 4:
			text += "[" + quoted() + "," + quoted() + "]"
		case 5:
			text += "[" + ints() + ":" + ints() + "]"
		case 6:
			text += rapid.SampledFrom([]string{".*", "[*]", "..*", "..a", "..[0]"}).Draw(t, "wild")
		default:
			op := rapid.SampledFrom(slices.Sorted(maps.Keys(relations))).Draw(t, "operator")
			text += "[?(!(@.a " + op + " " + rapid.SampledFrom([]string{"1", "'x'", "null", `["a",1]`, "@.b", "$..c", "/a.*/i"}).Draw(t, "right") + ") || @[" + quoted() + "] && $.a)]"
		}
	}
	return text
}

// genJSON draws a value that the paths of genPath lead into.
func genJSON(t *rapid.T, depth int) any {
	kind := rapid.IntRange(0, 5).Draw(t, "kind")
	if depth == 0 {
		kind = kind % 4
	}
	switch kind {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2:
		return jsonInt(rapid.IntRange(-2, 2).Draw(t, "number"))
	case 3:
		return rapid.SampledFrom([]string{"", "a", "x"}).Draw(t, "text")
	case 4:
		a := []any{}
		for range rapid.IntRange(0, 4).Draw(t, "length") {
			a = append(a, genJSON(t, depth-1))
		}
		return a
	}
	m := map[string]any{}
	for range rapid.IntRange(0, 4).Draw(t, "members") {
		m[rapid.SampledFrom([]string{"a", "b", "c", "it's", `\`}).Draw(t, "name")] = genJSON(t, depth-1)
	}
	return m
}

func TestPathTextIsStableAndGivesTheSame(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text, root := genPath(rt), genJSON(rt, 4)
		p, err := compilePath(text, new(int))
		if err != nil {
			rt.Fatalf("%s: %v", text, err)
		}
		again, err := compilePath(p.String(), new(int))
		if err != nil || again.String() != p.String() {
			rt.Fatalf("%s is written %s, which is %v, %v", text, p, again, err)
		}
		if a, b := evaluate(t, text, root), evaluate(t, p.String(), root); a != b {
			rt.Fatalf("%s gives %s, %s gives %s", text, a, p, b)
		}
	})
}

func TestTheLoopAndTheSearchFindTheSameNode(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text, root := genPath(rt), genJSON(rt, 4)
		p, err := compilePath(text, new(int))
		if err != nil {
			rt.Fatal(err)
		}
		if p.shape != oneNode || root == nil {
			return
		}
		v, steps := p.get(root)
		general, _, found, f := p.search(&env{}, root, 0)
		if f != nil || found != (steps == len(p.steps)) || found && string(AppendJSON(nil, v)) != string(AppendJSON(nil, general)) {
			rt.Fatalf("%s: %v after %d steps, and %v, %t, %v", text, v, steps, general, found, f)
		}
	})
}

func TestAPathOfOneNodeAllocatesNothing(t *testing.T) {
	p, err := compilePath("$.store.book[-1].title", new(int))
	if err != nil {
		t.Fatal(err)
	}
	e := &env{input: mustDecode(t, store)}
	if n := testing.AllocsPerRun(100, func() { _, _, _, _ = p.find(e) }); n != 0 {
		t.Errorf("%g allocations", n)
	}
}

func TestAPathThatWouldRunForHoursFails(t *testing.T) {
	var root any = "x"
	for range 11 {
		root = map[string]any{"a": root, "b": root, "c": root}
	}
	start := time.Now()
	for _, text := range []string{"$..*..*..*..*", "$" + strings.Repeat("..[?(@..*)]", 20), "$..[?(@..* subsetof $..*)]", "$..[?(!(@.a" + strings.Repeat(" && !@.z", 10_000) + "))]"} {
		if got := evaluate(t, text, root); !strings.Contains(got, "takes more than") {
			t.Errorf("%s is found: %d bytes", text, len(got))
		}
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Error(d)
	}
}

func TestAFilterPaysForLongTextsAndLargePatterns(t *testing.T) {
	items := make([]any, 10_000)
	for i := range items {
		items[i] = map[string]any{"x": "q"}
	}
	root := map[string]any{"items": items, "text": strings.Repeat("a", 120_000)}
	start := time.Now()
	for _, filter := range []string{"$.text size 3", "$.text contains @.x", "$.text == $.text", "[1] contains $.text", "$.text =~ /(" + strings.Repeat("a?", 900) + "){100}b/"} {
		if got := evaluate(t, "$.items[?("+filter+")]", root); !strings.Contains(got, "takes more than") {
			t.Errorf("%s is found: %d bytes", filter, len(got))
		}
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Error(d)
	}
}

func TestResultPathCopiesOnlyWhatItChanges(t *testing.T) {
	root := mustDecode(t, `{"a":{"b":1},"big":{"x":[1,2,3]}}`)
	p, err := compilePath("$.a.c.d", new(int))
	if err != nil {
		t.Fatal(err)
	}
	out, ok := p.set(root, "v")
	if got := string(AppendJSON(nil, out)); !ok || got != `{"a":{"b":1,"c":{"d":"v"}},"big":{"x":[1,2,3]}}` {
		t.Error(got)
	}
	if got := string(AppendJSON(nil, root)); got != `{"a":{"b":1},"big":{"x":[1,2,3]}}` {
		t.Errorf("the input has changed: %s", got)
	}
	shared := root.(map[string]any)["big"].(map[string]any)
	shared["y"] = true // seen through both: the part is the same
	if out.(map[string]any)["big"].(map[string]any)["y"] != true {
		t.Error("a part that does not change was copied")
	}
}
