package awsstage_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/awsstage"
	"github.com/utkarsh698/cloudflow/internal/awsstage/awsstagetest"
	"github.com/utkarsh698/cloudflow/internal/awstest"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/store"
)

func TestStage(t *testing.T) {
	t.Parallel()
	emulator := awstest.Start(t)
	awsstagetest.Make(t, emulator, "dev")

	t.Run("a stage is opened by its name, with its keys", func(t *testing.T) {
		s, err := awsstage.Open(t.Context(), emulator.Config(), "dev")
		if err != nil {
			t.Fatal(err)
		}
		if s.String() != "dev / "+awstest.Account+" / "+awstest.Region || s.Keys == nil || s.Provider == nil {
			t.Errorf("%s: %+v", s, s)
		}
		if err := s.Machine.Start(t.Context(), order.Start{Execution: "ord-1", OrderID: "ord-1", Currency: "USD"}); err != nil {
			t.Error(err)
		}
		if status, ended, err := s.Machine.Status(t.Context(), "ord-1"); err != nil || status != asl.StatusRunning || !ended.IsZero() {
			t.Errorf("%s, %v, %v", status, ended, err)
		}
		for table := range awsstage.TableNames("dev") {
			if it, err := s.Store.Get(t.Context(), store.Key{Table: table, PK: "none", SK: "none"}, store.Strong); err != nil || it != nil {
				t.Errorf("%s: %v, %v", table, it, err)
			}
		}
		if err := s.Queue.Send(t.Context(), []byte("x")); err != nil {
			t.Error(err)
		}
		if n, err := s.Queue.CountWaiting(t.Context()); err != nil || n != 1 {
			t.Errorf("%d messages wait, %v", n, err)
		}
	})
	t.Run("who only looks needs no keys, and starts nothing", func(t *testing.T) {
		proxy := awstest.NewProxy(t, emulator.URL)
		s, err := awsstage.Look(t.Context(), proxy.Config(), "dev")
		if err != nil || s.Keys != nil || proxy.Asked("GetSecretValue") != 0 {
			t.Fatalf("%+v, %v", s, err)
		}
		if err := s.Machine.Start(t.Context(), order.Start{Execution: "ord-2", OrderID: "ord-2", Currency: "USD"}); err == nil {
			t.Error("it was started")
		}
	})
	t.Run("a stage that is not there is named, with what to do", func(t *testing.T) {
		_, err := awsstage.Look(t.Context(), emulator.Config(), awsstage.Production)
		var none *types.ResourceNotFoundException
		if !errors.As(err, &none) || !strings.Contains(err.Error(), "no table cloudflow-orders") || !strings.Contains(err.Error(), "--stage") {
			t.Error(err)
		}
	})
	t.Run("a permission that is missing is named", func(t *testing.T) {
		proxy := awstest.NewProxy(t, emulator.URL)
		denied := awstest.Trouble{Status: 400, Body: `{"__type":"AccessDeniedException","message":"User: jane is not authorized to perform: dynamodb:DescribeTable"}`}
		proxy.Trouble("DescribeTable", denied)
		if _, err := awsstage.Look(t.Context(), proxy.Config(), "dev"); err == nil || !strings.Contains(err.Error(), "dynamodb:DescribeTable") {
			t.Error(err)
		}
	})
	t.Run("a stage whose payments are not simulated has no book", func(t *testing.T) {
		client := dynamodb.NewFromConfig(emulator.Config())
		if _, err := client.DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: aws.String("cloudflow-dev-provider")}); err != nil {
			t.Fatal(err)
		}
		if s, err := awsstage.Look(t.Context(), emulator.Config(), "dev"); err != nil || s.Provider != nil {
			t.Errorf("%+v, %v", s, err)
		}
	})
	t.Run("what is no name of a stage is asked of nobody", func(t *testing.T) {
		for _, name := range []string{"", "d", "Dev", "a-b", "1dev", strings.Repeat("a", 17)} {
			if _, err := awsstage.Open(t.Context(), aws.Config{}, name); err == nil {
				t.Errorf("%q was taken", name)
			}
		}
	})
}

// The deployment is another module: it is read as text, and only its literals count.
func TestNamesAreThoseOfTheDeployment(t *testing.T) {
	t.Parallel()
	source := func(file string) string {
		text, err := os.ReadFile(filepath.Join("..", "..", "infra", file))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	find := func(text, pattern string) (all []string) {
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			all = append(all, m[1])
		}
		slices.Sort(all)
		return all
	}
	t.Run("tables", func(t *testing.T) {
		database := source("database.go")
		constants := map[string]string{}
		for _, m := range regexp.MustCompile(`(?m)^\t(\w+) += "([a-z-]+)"$`).FindAllStringSubmatch(database, -1) {
			constants[m[1]] = m[2]
		}
		var deployed []string
		for _, name := range find(database, `\{name: (\w+)`) {
			deployed = append(deployed, "cloudflow-dev-"+constants[name])
		}
		ours := []string{"cloudflow-dev-provider"}
		for _, name := range awsstage.TableNames("dev") {
			ours = append(ours, name)
		}
		slices.Sort(deployed)
		slices.Sort(ours)
		if !slices.Equal(deployed, ours) {
			t.Errorf("ours are %q, deployed are %q", ours, deployed)
		}
	})
	t.Run("queues, machine and keys", func(t *testing.T) {
		for file, literals := range map[string][]string{
			"messaging.go": {`"Notifications", "notifications", m.deadLetters`, `"NotificationDeadLetters", "notifications-dlq", nil`},
			"saga.go":      {`StateMachineName:        str(c.name("saga"))`},
			"database.go":  {`c.name("saga-keys")`},
		} {
			for _, literal := range literals {
				if !strings.Contains(source(file), literal) {
					t.Errorf("infra/%s has no %s", file, literal)
				}
			}
		}
	})
	t.Run("stages", func(t *testing.T) {
		config := source("config.go")
		if got := find(config, `const production = "(\w+)"`); !slices.Equal(got, []string{awsstage.Production}) {
			t.Errorf("production is %q", got)
		}
		if got := find(config, `return ("cloudflow-".*)`); !slices.Equal(got, []string{`"cloudflow-" + c.Stage + "-" + of`, `"cloudflow-" + of`}) {
			t.Errorf("names are made so: %q", got)
		}
		if awsstage.Name("prod", "x") != "cloudflow-x" || awsstage.Name("dev", "x") != "cloudflow-dev-x" {
			t.Error("and ours otherwise")
		}
		pattern := regexp.MustCompile(find(config, "stagePattern += regexp.MustCompile\\(`(.*)`\\)")[0])
		for _, name := range []string{"", "d", "de", "Dev", "a-b", "1dev", "dev1", strings.Repeat("a", 16), strings.Repeat("a", 17), "a\n"} {
			if (awsstage.CheckStage(name) == nil) != pattern.MatchString(name) {
				t.Errorf("%q is a stage to one of the two", name)
			}
		}
	})
}
