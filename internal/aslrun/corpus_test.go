package aslrun_test

import (
	"context"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/corpustest"
)

// TestCorpus feeds everything that was recorded on AWS to what the command line runs. Nothing looks at a case's name.
func TestCorpus(t *testing.T) {
	folder := corpustest.Folder(t)
	corpustest.Judge(t, folder, "cases", judgeCase)
	corpustest.Judge(t, folder, "cases_services", judgeCase)
	corpustest.Judge(t, folder, "cases_teststate", judgeTestState)
	corpustest.Judge(t, folder, "validators", judgeFixture)
}

// judgeFixture compares the verdict on a validator's fixture.
func judgeFixture(_ context.Context, c *corpustest.Case) error {
	_, err := corpustest.Parse(c.DefinitionText(), *c.Valid)
	return err
}

// judgeCase runs an execution, or compares the verdict on a definition.
func judgeCase(ctx context.Context, c *corpustest.Case) error {
	valid := c.Kind == "execution" || c.Expected.Creation == "OK"
	m, err := corpustest.Parse(c.DefinitionText(), valid)
	switch {
	case !valid && c.Express() && err != nil:
		return corpustest.ErrNotApplicable // there is no machine type
	case err != nil || c.Kind != "execution":
		return err
	}
	test, err := c.TestCase()
	if err != nil {
		return err
	}
	result, err := c.Step(ctx, m, test, c.Context(), c.Input)
	if err != nil {
		return err
	}
	return c.Compare(result)
}
