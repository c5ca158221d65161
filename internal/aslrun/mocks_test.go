package aslrun

import (
	"strings"
	"testing"
)

func TestAMockFileIsCheckedWhole(t *testing.T) {
	for _, c := range []struct{ sentence, file, want string }{
		{"not JSON", `{`, "invalid JSON at byte 1: a member's name is expected"},
		{"no object", `[]`, "MockedResponses: an object is expected\nStateMachines: an object is expected\nthe file: an object is expected"},
		{"a member that is misspelled", `{"StateMachines":{},"MockedResponse":{}}`,
			"MockedResponses: an object is expected\nthe file: \"MockedResponse\" is not known here, only StateMachines, MockedResponses, Comment"},
		{"numbers of calls that are none", answers(`{"one":{"Return":1},"-1":{"Return":1},"3-2":{"Return":1},"1-":{"Return":1}}`),
			`MockedResponses.charge: "-1" is neither the number of a call, from 0, nor a range such as "1-3"` + "\n" +
				`MockedResponses.charge: "1-" is neither the number of a call, from 0, nor a range such as "1-3"` + "\n" +
				`MockedResponses.charge: "3-2" is neither the number of a call, from 0, nor a range such as "1-3"` + "\n" +
				`MockedResponses.charge: "one" is neither the number of a call, from 0, nor a range such as "1-3"`},
		{"a call with two responses", answers(`{"0-3":{"Return":1},"3":{"Return":2}}`), "MockedResponses.charge: call 3 has two responses"},
		{"a response that says nothing, and one that says two things", answers(`{"0":{},"1":{"Return":1,"Throw":{}}}`),
			"MockedResponses.charge.0: one of Return and Throw is expected\nMockedResponses.charge.1: one of Return and Throw is expected"},
		{"a Throw that is none", answers(`{"0":{"Throw":{"error":"E","Cause":1}}}`),
			"MockedResponses.charge.0.Throw.Cause: a string is expected\nMockedResponses.charge.0.Throw: \"error\" is not known here, only Error, Cause"},
		{"a delay that is none", answers(`{"0":{"Return":1,"DelaySeconds":"5"},"1":{"Return":1,"DelaySeconds":-1},"2":{"Return":1,"DelaySeconds":1e300}}`),
			"MockedResponses.charge.0.DelaySeconds: a number of seconds is expected, from 0 to 1000000000\n" +
				"MockedResponses.charge.1.DelaySeconds: a number of seconds is expected, from 0 to 1000000000\n" +
				"MockedResponses.charge.2.DelaySeconds: a number of seconds is expected, from 0 to 1000000000"},
		{"a state's mock that is no name", `{"StateMachines":{"order":{"TestCases":{"T":{"Charge":{}}}}},"MockedResponses":{}}`,
			"StateMachines.order.TestCases.T.Charge: the name of one of MockedResponses is expected"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			if _, err := ParseMocks([]byte(c.file)); err == nil || err.Error() != c.want {
				t.Errorf("%v\nwant\n%s", err, c.want)
			}
		})
	}
}

func TestATestCaseIsFoundByItsName(t *testing.T) {
	const cases = `{"TestCases":{"Happy":{"A":"a"},"Sad":{"A":"b"}}}`
	one := `{"StateMachines":{"order":` + cases + `},"MockedResponses":{"a":{"0":{"Return":1}}}}`
	two := strings.Replace(one, `{"order":`, `{"refund":{"TestCases":{"Only":{}}},"order":`, 1)
	for _, c := range []struct{ sentence, file, machine, name, want string }{
		{"by the machine's name", two, "order", "Happy", ""},
		{"of the only machine, whatever its name", one, "elsewhere", "Happy", ""},
		{"the only one needs no name", two, "refund", "", ""},
		{"of several machines it must be one", two, "elsewhere", "Happy", `StateMachines has no "elsewhere", only order, refund; a machine is called as its file, without the extension`},
		{"it must be there", one, "order", "Mad", `StateMachines.order has no test case "Mad", only Happy, Sad`},
		{"and so must what it names", one, "order", "Sad", `StateMachines.order.TestCases.Sad.A names "b", and MockedResponses has only a`},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			mocks, err := ParseMocks([]byte(c.file))
			if err != nil {
				t.Fatal(err)
			}
			_, err = mocks.TestCase(c.machine, c.name)
			if got := message(err); got != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
		})
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// A mock file may be anything: it is refused, or it answers.
func FuzzParseMocks(f *testing.F) {
	f.Add(answers(`{"0":{"Return":1},"1-3":{"Throw":{"Error":"E","Cause":null}},"4":{"Return":null,"DelaySeconds":1.5}}`))
	f.Add(`{"StateMachines":{},"MockedResponses":{"a":{"0-2":{},"-":1}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		mocks, err := ParseMocks([]byte(text))
		if err != nil {
			if strings.TrimSpace(err.Error()) == "" {
				t.Error("it is refused without a word")
			}
			return
		}
		test, err := mocks.TestCase("order", "T")
		if err != nil {
			return
		}
		for range 3 {
			if n, response := test.call("Charge"); response == nil && test.missing("Charge", n) == nil {
				t.Error("a call has neither a response nor an error")
			}
		}
	})
}
