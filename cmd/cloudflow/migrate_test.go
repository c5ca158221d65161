package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/datadir"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/store"
)

func TestMigrateIsRefusedBeforeAnybodyIsAsked(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--data", data}, 2, `--to "" is not aws`},
		{[]string{"--data", data, "--to", "moon"}, 2, `--to "moon" is not aws`},
		{[]string{"--data", data, "--to", "aws", "--stage", "No!"}, 2, `"No!" is no stage`},
		{[]string{"--data", data, "--to", "aws", "--url", "http://127.0.0.1:1"}, 2, "not --url"},
		{[]string{"--data", data, "--to", "aws", "now"}, 2, "no argument"},
		{[]string{"--data", data, "--to", "aws"}, 1, "is no data directory"},
	} {
		invoke(t, nil, append([]string{"migrate"}, c.args...)...).exits(c.code).hints(c.says)
	}
	if _, err := os.Stat(data); err == nil {
		t.Error("the directory was made")
	}
}

// A directory that a running instance holds is not read, and one whose books are not in order is not taken along.
func TestMigrateWantsAStoppedDirectoryInOrder(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "--demo")
	invoke(t, nil, "migrate", "--data", s.data, "--to", "aws").exits(1).hints("lock")
	if code := s.end(); code != 0 {
		t.Fatal(code)
	}
	dir, err := datadir.Open(s.data, datadir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = dir.Store.Update(t.Context(), func(tx *store.Tx) error {
		tx.Add(store.Key{Table: inventory.Table, PK: "MOUSE-01", SK: "stock"}, []store.Delta{store.Inc("available", 1)})
		return nil
	})
	if err == nil {
		err = dir.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	invoke(t, nil, "migrate", "--data", s.data, "--to", "aws", "--dry-run").exits(1).hints("not in order", "1 violations", "cloudflow verify --data")
}

// Without credentials, or without the stage, it says what to do.
func TestMigrateSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "--demo")
	if code := s.end(); code != 0 {
		t.Fatal(code)
	}
	cmd := migration(t, "http://127.0.0.1:1", "--data", s.data)
	cmd.Env = slices.DeleteFunc(cmd.Env, func(v string) bool { return strings.HasPrefix(v, "AWS_ACCESS_KEY_ID=") })
	ends(t, cmd).exits(1).hints("no credentials", "AWS_PROFILE")
}
