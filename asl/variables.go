package asl

// variable is the value of a variable as the state in sc sees it.
func (sc *scope) variable(string) (v any, found bool) { return nil, false }

func undefinedVariable(name string) *failure {
	return runtimeFailure("The variable '$" + name + "' is not defined.")
}
