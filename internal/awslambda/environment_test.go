package awslambda

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// environment is a complete one.
func environment(handler string, change map[string]string) func(string) string {
	return func(name string) string {
		if v, ok := change[name]; ok {
			return v
		}
		switch name {
		case EnvHandler:
			return handler
		case EnvAuth:
			return authNone
		case EnvIssuer, EnvAudience, EnvKeys:
			return ""
		}
		return "x"
	}
}

func TestReadEnvironment(t *testing.T) {
	for _, h := range Handlers {
		t.Run(h+" wants what it needs, by name, and no more", func(t *testing.T) {
			if _, err := ReadEnvironment(environment(h, nil)); err != nil {
				t.Fatal(err)
			}
			for name, need := range needs {
				if name == EnvHandler {
					continue
				}
				_, err := ReadEnvironment(environment(h, map[string]string{name: ""}))
				if required := need[h]; required != (err != nil) || err != nil && !strings.Contains(err.Error(), name) {
					t.Errorf("without %s: %v", name, err)
				}
			}
		})
	}
	for rule, change := range map[string]map[string]string{
		"a function that there is not": {EnvHandler: "other"},
		"no function":                  {EnvHandler: ""},
		"another way to tell callers":  {EnvAuth: "basic"},
		"an issuer without keys":       {EnvIssuer: "https://issuer.example"},
		"keys that come in the clear":  {EnvIssuer: "i", EnvAudience: "a", EnvKeys: "http://issuer.example/keys"},
		"keys without an issuer":       {EnvKeys: "https://issuer.example/keys"},
	} {
		t.Run(rule+" is refused", func(t *testing.T) {
			if _, err := ReadEnvironment(environment(Authorizer, change)); err == nil {
				t.Error("taken")
			}
		})
	}
	t.Run("a stage without a provider has no table of its own for it", func(t *testing.T) {
		e, err := ReadEnvironment(environment(PaymentHandler, map[string]string{envTable + "PROVIDER": ""}))
		if _, there := e.tables()["provider-intents"]; err != nil || there {
			t.Errorf("%v, %v", e.tables(), err)
		}
	})
}

// infra is what the deployment's source says, read as text: it is another module, and only its literals count here.
func infra(t *testing.T, file string) (*ast.File, string) {
	t.Helper()
	path := filepath.Join("..", "..", "infra", file)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := parser.ParseFile(token.NewFileSet(), path, text, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f, string(text)
}

// literals are the values of the string constants and the literals in a file.
func literals(f *ast.File) (all []string) {
	ast.Inspect(f, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil {
				all = append(all, s)
			}
		}
		return true
	})
	return all
}

// constants are the string constants of some files, by name.
func constants(files ...*ast.File) map[string]string {
	all := map[string]string{}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok {
				for i, name := range spec.Names {
					if i < len(spec.Values) {
						if lit, ok := spec.Values[i].(*ast.BasicLit); ok {
							if s, err := strconv.Unquote(lit.Value); err == nil {
								all[name.Name] = s
							}
						}
					}
				}
			}
			return true
		})
	}
	return all
}

// What infra gives the functions is what they read, and the other way round.
func TestInfraGivesWhatIsRead(t *testing.T) {
	saga, sagaText := infra(t, "saga.go")
	api, _ := infra(t, "api.go")
	functions, _ := infra(t, "functions.go")
	database, _ := infra(t, "database.go")
	openapi, openapiText := infra(t, "openapi.go")
	names := constants(saga, api, functions, database, openapi)

	t.Run("every variable", func(t *testing.T) {
		given := map[string]bool{}
		for _, f := range []*ast.File{saga, api, functions} {
			for _, s := range literals(f) {
				if strings.HasPrefix(s, "CLOUDFLOW_") && !strings.HasSuffix(s, "_") {
					given[s] = true
				}
			}
		}
		for variable := range tables { // infra makes these of the tables' names
			if name := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(variable, envTable)), "_", "-"); slices.Contains(literals(database), name) {
				given[variable] = true
			}
		}
		if got, want := slices.Sorted(maps.Keys(given)), slices.Sorted(maps.Keys(needs)); !slices.Equal(got, want) {
			t.Errorf("infra gives %v\nread are   %v", got, want)
		}
	})
	t.Run("every table of every function", func(t *testing.T) {
		rows := regexp.MustCompile(`name: (\w+), does:`).FindAllStringSubmatchIndex(sagaText, -1)
		if len(rows) != len(Handlers)-1 {
			t.Fatalf("%d functions, the authorizer apart", len(rows))
		}
		for i, row := range rows {
			handler, end := names[sagaText[row[2]:row[3]]], len(sagaText)
			if i+1 < len(rows) {
				end = rows[i+1][0]
			}
			var got, want []string
			for _, m := range regexp.MustCompile(`\{table: (\w+)`).FindAllStringSubmatch(sagaText[row[0]:end], -1) {
				got = append(got, envTable+strings.ToUpper(strings.ReplaceAll(names[m[1]], "-", "_")))
			}
			for variable := range tables {
				if _, ours := needs[variable][handler]; ours {
					want = append(want, variable)
				}
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%s: infra gives %v, read are %v", handler, got, want)
			}
		}
	})
	t.Run("every path of every function", func(t *testing.T) {
		got := map[string][]string{}
		for _, m := range regexp.MustCompile(`\{"(/[^"]*)", (\w+), (?:customer|operator|nobody)\}`).FindAllStringSubmatch(openapiText, -1) {
			got[names[m[2]]] = append(got[names[m[2]]], m[1])
		}
		if len(got) != len(paths) {
			t.Errorf("%v", got)
		}
		for handler, list := range got {
			if a, b := slices.Sorted(slices.Values(list)), slices.Sorted(slices.Values(paths[handler])); !slices.Equal(a, b) {
				t.Errorf("%s: infra sends %v, it has %v", handler, a, b)
			}
		}
	})
	t.Run("operators' paths are signed, and no others", func(t *testing.T) {
		for _, m := range regexp.MustCompile(`\{"(/[^"]*)", \w+, (\w+)\}`).FindAllStringSubmatch(openapiText, -1) {
			if (m[2] == "operator") != strings.HasPrefix(m[1], adminPaths) {
				t.Errorf("%s is for %s", m[1], m[2])
			}
		}
	})
}
