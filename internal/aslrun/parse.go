package aslrun

import (
	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/asl/jsonata"
)

// Parse compiles a definition with everything that the language has.
func Parse(definition []byte) (*asl.Machine, error) {
	return asl.Parse(definition, asl.WithEvaluator(jsonata.Evaluator{}))
}
