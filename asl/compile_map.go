package asl

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const maxLabel = 40 // characters of a Label

func (c *compiler) mapState(s *state, o *fields) {
	m := &mapping{}
	s.mapping = m
	s.next = c.next(o)
	c.result(s, o)
	m.items = c.selection(o, "ItemsPath")
	m.itemsQuery = c.items(o)
	o.atMostOne("ItemSelector", "Parameters")
	m.selector = c.payload(o, "Parameters")
	if o.has("ItemSelector") {
		m.selector = c.value(o, "ItemSelector", "")
	}
	c.processor(m, o)
	m.concurrency = c.quantity(o, "MaxConcurrency", 0, maxSeconds, true)
	m.count = c.quantity(o, "ToleratedFailureCount", 0, maxSeconds, true)
	m.percentage = c.quantity(o, "ToleratedFailurePercentage", 0, 100, false)
	c.label(o)
	if m.items.none {
		o.problem("ItemsPath", "a JSONPath is expected, not null") // unlike InputPath, of which null is an empty object
	}
	c.reader(m, o)
	c.writer(m, o)
	if o.has("ItemBatcher") {
		c.batcher(m, o)
	}
	s.leaving = c.leaving(o, "")
}

// items compiles Items, which only JSONata has.
func (c *compiler) items(o *fields) expr {
	const name = "Items"
	v := o.value(name)
	if !o.has(name) {
		return nil
	}
	switch v.(type) {
	case []any, map[string]any:
	default:
		if !isExpression(v) {
			o.problem(name, "an array, an object or a JSONata expression is expected, not "+typeName(v))
		}
	}
	return c.queryTemplate(o.at(name), name, v)
}

// processor compiles ItemProcessor, or Iterator as its older name.
func (c *compiler) processor(m *mapping, o *fields) {
	name := "ItemProcessor"
	switch o.atMostOne("ItemProcessor", "Iterator") {
	case 0:
		o.missing(name)
	case 2:
		o.ignore("Iterator")
	default:
		if o.has("Iterator") {
			name = "Iterator"
		}
	}
	m.processor = &flow{}
	if !o.has(name) {
		return
	}
	p := o.object(name)
	if p == nil {
		return
	}
	p.text("Comment")
	if p.has("ProcessorConfig") {
		if config := p.object("ProcessorConfig"); config != nil {
			m.distributed = config.choice("Mode", "INLINE", "DISTRIBUTED") == "DISTRIBUTED"
			config.choice("ExecutionType", "STANDARD", "EXPRESS")
			config.done()
		}
	}
	defer func(outer bool) { c.distributed = outer }(c.distributed)
	c.distributed = c.distributed || m.distributed
	m.processor = c.inner(p)
	p.done()
}

// quantity compiles a number from low to high and its Path form.
func (c *compiler) quantity(o *fields, name string, low, high float64, whole bool) quantity {
	q := quantity{name: name, whole: whole, query: c.queryOf(o, name)}
	if q.query != nil {
		return q
	}
	o.atMostOne(name, name+"Path")
	q.path = o.reference(name+"Path", false)
	if whole {
		q.fixed = float64(o.integer(name, int64(low), int64(high), 0))
		return q
	}
	if q.fixed = o.number(name, low, 0); q.fixed > high {
		o.problem(name, "a number of at most "+strconv.FormatFloat(high, 'g', -1, 64)+" is expected")
	}
	return q
}

func (c *compiler) label(o *fields) {
	const name = "Label"
	label := o.text(name)
	switch {
	case !o.has(name):
	case label == "" || utf8.RuneCountInString(label) > maxLabel:
		o.problem(name, fmt.Sprintf("a Label has from 1 to %d characters", maxLabel))
	case strings.ContainsAny(label, "?*<>{}[]:;,\\|^~$#%&`\""), strings.ContainsFunc(label, unicode.IsSpace), strings.ContainsFunc(label, unicode.IsControl):
		o.problem(name, "a Label has none of the characters ? * < > { } [ ] : ; , \\ | ^ ~ $ # % & ` \" and no space")
	}
}

// reader compiles ItemReader. It reads from S3, which is not there when a machine runs here.
func (c *compiler) reader(m *mapping, o *fields) {
	const name = "ItemReader"
	if !o.has(name) {
		return
	}
	m.unavailable = engineFailure(errItemReader, "The ItemReader cannot be run: there is no S3 here.")
	r := o.object(name)
	if r == nil {
		return
	}
	c.speak(r)
	r.requiredText("Resource")
	c.arguments(r, name+"/")
	if r.has("ReaderConfig") {
		if config := r.object("ReaderConfig"); config != nil {
			c.speak(config)
			config.atMostOne("MaxItems", "MaxItemsPath")
			config.reference("MaxItemsPath", false)
			config.choice("InputType", "CSV", "JSON", "JSONL", "PARQUET", "MANIFEST")
			config.choice("CSVHeaderLocation", "FIRST_ROW", "GIVEN")
			config.ignore("CSVHeaders", "CSVDelimiter", "MaxItems", "ManifestType", "ItemsPointer", "Transformation")
			config.done()
		}
	}
	r.done()
}

// writer compiles ResultWriter. One without a Resource only says how the results look that become the state's output; any other writes to S3.
func (c *compiler) writer(m *mapping, o *fields) {
	const name = "ResultWriter"
	if !o.has(name) {
		return
	}
	w := o.object(name)
	if w == nil {
		return
	}
	c.speak(w)
	w.text("Resource")
	c.arguments(w, name+"/")
	transformation := ""
	if w.has("WriterConfig") {
		if config := w.object("WriterConfig"); config != nil {
			transformation = config.choice("Transformation", "NONE", "COMPACT", "FLATTEN")
			config.choice("OutputType", "JSON", "JSONL")
			config.done()
		}
	}
	w.done()
	m.flatten = transformation == "FLATTEN"
	switch {
	case m.unavailable != nil:
	case w.has("Resource"):
		m.unavailable = engineFailure(errResultWriter, "The ResultWriter cannot be run: there is no S3 here.")
	case transformation == "NONE":
		m.unavailable = engineFailure(errResultWriter, "The Transformation NONE cannot be run: iterations have no executions here to tell of.")
	}
}

func (c *compiler) batcher(m *mapping, o *fields) {
	b := o.object("ItemBatcher")
	if b == nil {
		return
	}
	c.speak(b)
	m.batch = &batcher{
		items: c.quantity(b, "MaxItemsPerBatch", 1, maxSeconds, true),
		bytes: c.quantity(b, "MaxInputBytesPerBatch", 1, maxPayload, true),
		input: c.value(b, "BatchInput", "ItemBatcher/"),
	}
	b.done()
}
