// Package archtest holds the walls of the house: who may import whom. It reads the import clauses of every file, so a wall
// that falls is a failing test and not a review comment.
package archtest

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/utkarsh698/cloudflow/"

var (
	services = []string{"order", "inventory", "payment", "notification"}
	adapters = []string{"store/memstore", "store/pebblestore", "store/dynamostore", "bus/storebus", "bus/awsbus", "provider", "sender", "sender/snssender"}
	// foundations are what a service may build on; each of them stands on those before it.
	foundations = []string{
		"fault", "jcs", "pan", "store", "bus", "pii", "eventlog", "idempotency", "breaker", "auth", "auth/apikey", "observe",
	}
)

// imports maps each package of the root module, by its path from the root, to what its files import: production code
// and tests apart.
func imports(t *testing.T) (production, tests map[string][]string) {
	t.Helper()
	root := filepath.Join("..", "..")
	production, tests = map[string][]string{}, map[string][]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != root && (strings.HasPrefix(d.Name(), ".") || nestedModule(path) || d.Name() == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		into := production
		if strings.HasSuffix(path, "_test.go") {
			into = tests
		}
		pkg = filepath.ToSlash(pkg)
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if !slices.Contains(into[pkg], imported) {
				into[pkg] = append(into[pkg], imported)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(production) < 4 {
		t.Fatalf("found %d packages only: is this the root of the module?", len(production))
	}
	return production, tests
}

func nestedModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

// room is the path of one of our packages from internal/, "" for anything else.
func room(imported string) string {
	rest, ok := strings.CutPrefix(imported, module+"internal/")
	if !ok {
		return ""
	}
	return rest
}

func standard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

func TestWalls(t *testing.T) {
	production, _ := imports(t)

	each := func(rule string, packages []string, allowed func(imported string) bool) {
		t.Run(rule, func(t *testing.T) {
			for _, p := range packages {
				for _, imported := range production[p] {
					if !allowed(imported) {
						t.Errorf("%s imports %s", p, imported)
					}
				}
			}
		})
	}
	internal := func(rooms ...string) []string {
		var out []string
		for _, r := range rooms {
			if _, ok := production["internal/"+r]; ok {
				out = append(out, "internal/"+r)
			}
		}
		return out
	}

	each("asl imports the standard library alone, and nothing that acts", []string{"asl"}, func(imported string) bool {
		return standard(imported) && !slices.Contains([]string{"net", "net/http", "os", "sync", "math/rand"}, imported)
	})
	each("asl/jsonata imports asl and the standard library, and nothing that acts", []string{"asl/jsonata"}, func(imported string) bool {
		acts := []string{"net", "net/http", "os", "sync", "math/rand"}
		return imported == module+"asl" || standard(imported) && !slices.Contains(acts, imported)
	})
	each("a service imports foundations and the standard library, never net/http, an SDK, an adapter or another service",
		internal(services...), func(imported string) bool {
			if imported == "net/http" {
				return false
			}
			return standard(imported) || slices.Contains(foundations, room(imported))
		})
	each("a foundation stands on foundations", internal(foundations...), func(imported string) bool {
		return standard(imported) || slices.Contains(foundations, room(imported))
	})
	each("fault, jcs, pan, limit and certs stand on nothing", internal("fault", "jcs", "pan", "limit", "certs"), standard)
	each("the store port knows fault alone", internal("store"), func(imported string) bool {
		return standard(imported) || room(imported) == "fault"
	})
	each("a way to prove who calls knows auth, fault and its library", internal("auth/token"), func(imported string) bool {
		return !strings.HasPrefix(imported, module) || slices.Contains([]string{"auth", "fault"}, room(imported))
	})
	each("who reads credentials off a request knows what a key looks like, and not how a token is checked", internal("auth/caller"), func(imported string) bool {
		return standard(imported) || slices.Contains([]string{"auth", "auth/apikey", "fault"}, room(imported))
	})
	each("flow knows asl and store, never the order saga", internal("flow"), func(imported string) bool {
		return standard(imported) || imported == module+"asl" || slices.Contains([]string{"fault", "store"}, room(imported))
	})
	each("engine is the door to flow, and names of the house what a program of its own needs", []string{"engine"}, func(imported string) bool {
		return standard(imported) || slices.Contains([]string{"aslrun", "fault", "flow", "store", "store/pebblestore"}, room(imported))
	})
	each("an example imports what anybody can", []string{"examples/embed"}, func(imported string) bool {
		return standard(imported) || imported == module+"engine"
	})
	each("sagagraph draws a machine and knows nothing of what runs it", internal("sagagraph"), func(imported string) bool {
		return standard(imported) && imported != "net/http" && imported != "os" || imported == module+"asl"
	})
	each("aslrun runs a machine with what it is given: it knows asl, and no file, no network and nothing of the house", internal("aslrun"), func(imported string) bool {
		return standard(imported) && !slices.Contains([]string{"net", "net/http", "os", "sync", "math/rand", "crypto/rand"}, imported) ||
			strings.HasPrefix(imported+"/", module+"asl/")
	})
	each("apidocs reads a document and knows nothing of the house", internal("apidocs"), func(imported string) bool {
		return standard(imported) || imported == "go.yaml.in/yaml/v3"
	})
	each("export reads orders and writes nothing but rows", internal("export"), func(imported string) bool {
		return imported != "net/http" && imported != "os" && room(imported) != "httpapi" && !slices.Contains(adapters, room(imported))
	})
	each("the dashboard is a client of the interface, and knows no service and no store", internal("dashboard"), func(imported string) bool {
		return standard(imported) || slices.Contains([]string{"httpapi/apigen", "sagagraph", "loadtest", "timeline"}, room(imported))
	})
	each("timeline knows an order by the interface alone", internal("timeline"), func(imported string) bool {
		return standard(imported) && imported != "os" || room(imported) == "httpapi/apigen"
	})
	each("loadtest knows CloudFlow by its interface alone", internal("loadtest"), func(imported string) bool {
		return !strings.HasPrefix(imported, module) || slices.Contains([]string{"fault", "httpapi/apigen"}, room(imported))
	})
	for _, adapter := range adapters {
		// provider and sender implement a port that stands in its consumer, and name that consumer's types.
		port := map[string]string{"provider": "payment", "sender": "notification", "sender/snssender": "notification"}[adapter]
		each(adapter+" knows its port and its SDK", internal(adapter), func(imported string) bool {
			r := room(imported)
			return r == "" && !strings.HasPrefix(imported, module) || slices.Contains(foundations, r) || r == port || r == "awscall"
		})
	}
	each("awssecrets knows its SDK, and nothing of what its secrets are for", internal("awssecrets"), func(imported string) bool {
		return !strings.HasPrefix(imported, module) || slices.Contains([]string{"awscall", "fault"}, room(imported))
	})
	each("sfn knows order's port, the machine, the signature, and what an operator sees of an execution", internal("sfn"), func(imported string) bool {
		return !strings.HasPrefix(imported, module) || imported == module+"asl" ||
			slices.Contains([]string{"awscall", "fault", "flow", "order", "saga", "store"}, room(imported))
	})
	each("operator shows executions, and knows neither engine's store nor its SDK", internal("operator"), func(imported string) bool {
		return standard(imported) || imported == module+"asl" || slices.Contains([]string{"fault", "flow", "httpapi", "order"}, room(imported))
	})
	each("awsstage opens a stage by its names: it knows tables and adapters, and none of the house's rules or of its commands", internal("awsstage"), func(imported string) bool {
		return !strings.HasPrefix(imported, module) || slices.Contains([]string{
			"awscall", "awssecrets", "bus/awsbus", "store/dynamostore", "sfn", "saga", // the adapters
			"breaker", "idempotency", "inventory", "notification", "order", "payment", "pii", "provider", // what their tables are called
		}, room(imported))
	})
	each("invariant judges items, and asks AWS through ports of its own", internal("invariant"), func(imported string) bool {
		r := room(imported)
		return standard(imported) && imported != "net/http" && imported != "os" || imported == module+"asl" || slices.Contains(foundations, r) ||
			slices.Contains(services, r) || slices.Contains([]string{"bus/storebus", "flow", "provider", "retention"}, r)
	})
	each("awscall knows the SDK, and the house's kinds of errors", internal("awscall"), func(imported string) bool {
		return !strings.HasPrefix(imported, module) || room(imported) == "fault"
	})

	each("migrate goes by ports: it knows what the services keep, and neither a directory nor an SDK", internal("migrate"), func(imported string) bool {
		return standard(imported) && imported != "net/http" && imported != "os" || imported == "golang.org/x/sync/errgroup" || imported == module+"asl" ||
			slices.Contains(append([]string{"bus/storebus", "flow", "provider", "retention", "saga"}, append(services, foundations...)...), room(imported))
	})
	each("awslambda knows events and adapters of AWS, and nothing of the single binary", internal("awslambda"), func(imported string) bool {
		return !strings.HasPrefix(imported, "github.com/cockroachdb/") && !slices.Contains([]string{
			"store/pebblestore", "store/memstore", "bus/storebus", "datadir", "instance", "dashboard", "retention", "flow",
		}, room(imported))
	})
	each("cmd/lambda starts awslambda, with what AWS and OpenTelemetry have in the environment", []string{"cmd/lambda"}, func(imported string) bool {
		return !strings.HasPrefix(imported, module) || slices.Contains([]string{"awscall", "awslambda", "observe", "observe/trace"}, room(imported))
	})
	t.Run("cmd/lambda links neither Pebble nor what opens a directory", func(t *testing.T) {
		list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-tags", "lambda.norpc", "./cmd/lambda")
		list.Dir = filepath.Join("..", "..")
		out, err := list.Output()
		if err != nil {
			t.Fatal(err)
		}
		linked := strings.Fields(string(out))
		if !slices.Contains(linked, module+"internal/awslambda") {
			t.Fatalf("%d packages, and awslambda is none of them", len(linked))
		}
		for _, p := range linked {
			switch {
			case strings.HasPrefix(p, "github.com/cockroachdb/"), p == "net/rpc", p == "testing",
				slices.Contains([]string{"store/pebblestore", "datadir", "instance", "dashboard", "sender/smtp"}, room(p)):
				t.Errorf("it links %s", p)
			}
		}
	})
	t.Run("observe/metrics alone knows the library that counts", func(t *testing.T) {
		libraries := []string{
			"github.com/prometheus/", "go.opentelemetry.io/otel/metric", "go.opentelemetry.io/otel/sdk/metric",
			"go.opentelemetry.io/otel/exporters/prometheus", "go.opentelemetry.io/otel/exporters/otlp/otlpmetric",
		}
		for p, list := range production {
			for _, imported := range list {
				of := func(library string) bool { return strings.HasPrefix(imported, library) }
				if slices.ContainsFunc(libraries, of) && p != "internal/observe/metrics" {
					t.Errorf("%s imports %s", p, imported)
				}
			}
		}
	})
	t.Run("observe/trace alone knows the library that traces", func(t *testing.T) {
		for p, list := range production {
			for _, imported := range list {
				for _, library := range []string{"trace", "sdk/trace", "propagation", "exporters/otlp/otlptrace", "exporters/stdout/stdouttrace"} {
					path := "go.opentelemetry.io/otel/" + library
					if (imported == path || strings.HasPrefix(imported, path+"/")) && p != "internal/observe/trace" {
						t.Errorf("%s imports %s", p, imported)
					}
				}
			}
		}
	})
	t.Run("production code imports no test or simulation package", func(t *testing.T) {
		for p, list := range production {
			if simulation(p) {
				continue
			}
			for _, imported := range list {
				if strings.HasPrefix(imported, module) && simulation(imported) || imported == "testing" {
					t.Errorf("%s imports %s", p, imported)
				}
			}
		}
	})
	t.Run("the root module imports neither infra nor bench", func(t *testing.T) {
		for p, list := range production {
			for _, imported := range list {
				if strings.HasPrefix(imported, module+"infra") || strings.HasPrefix(imported, module+"bench") {
					t.Errorf("%s imports %s", p, imported)
				}
			}
		}
	})
}

// simulation reports whether a package is for tests alone. A load test is what an operator makes of a running instance.
func simulation(path string) bool {
	last := path[strings.LastIndex(path, "/")+1:]
	return strings.HasSuffix(last, "test") && last != "loadtest" || last == "simworld"
}
