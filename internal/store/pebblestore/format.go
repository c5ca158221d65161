package pebblestore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrLocked is in the chain of Open's error if the directory is open already, here or in another process.
var ErrLocked = errors.New("the data directory is in use")

// ErrFormat is in the chain of Open's error if the directory holds something that this version does not know.
var ErrFormat = errors.New("the data directory has a format that this version does not know")

// The format is named in a file of its own, in plain text, so that a directory is refused before Pebble has opened it:
// opening alone replays the log and rewrites files.
const (
	formatFile    = "FORMAT"
	formatName    = "cloudflow-store"
	formatVersion = 1
	formatMaxLen  = 64 // what is read of the file: a longer one is not ours
)

// lock takes the directory for this process, and says clearly if it is taken.
func lock(fs vfs.FS, dir string) (*pebble.Lock, error) {
	l, err := pebble.LockDirectory(dir, fs)
	if err == nil {
		return l, nil
	}
	// The file could not be opened: that is no lock of somebody else.
	var path *iofs.PathError
	if errors.As(err, &path) {
		return nil, fmt.Errorf("pebblestore: lock %s: %w", dir, err)
	}
	return nil, fmt.Errorf("pebblestore: %w: %s (%w); stop the cloudflow that runs there, or choose another directory", ErrLocked, dir, err)
}

// checkFormat accepts a directory of this format, and makes an empty one into such. The caller holds the lock.
func checkFormat(fs vfs.FS, dir string) error {
	text, err := readSome(fs, fs.PathJoin(dir, formatFile))
	switch {
	case err == nil:
		return knowFormat(dir, text)
	case !errors.Is(err, iofs.ErrNotExist):
		return fmt.Errorf("pebblestore: read the format of %s: %w", dir, err)
	}
	names, err := fs.List(dir)
	if err != nil {
		return fmt.Errorf("pebblestore: list %s: %w", dir, err)
	}
	for _, name := range names {
		// The file was written before the first file of Pebble, so a database without it comes from somewhere else,
		// or from a checkpoint that did not get to its end.
		if strings.HasPrefix(name, "MANIFEST-") || strings.HasPrefix(name, markerPrefix) || name == "CURRENT" {
			return fmt.Errorf("pebblestore: %w: %s holds a database without a %s file, so it is not from CloudFlow, "+
				"or an unfinished backup; choose another directory", ErrFormat, dir, formatFile)
		}
	}
	return writeFormat(fs, dir)
}

func knowFormat(dir string, text []byte) error {
	name, version, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	if n, err := strconv.Atoi(version); name == formatName && err == nil {
		if n == formatVersion {
			return nil
		}
		return fmt.Errorf("pebblestore: %w: %s has format %d, this version knows %d; use the cloudflow that wrote it, or a newer one",
			ErrFormat, dir, n, formatVersion)
	}
	return fmt.Errorf("pebblestore: %w: the file %s in %s is not CloudFlow's; choose another directory", ErrFormat, formatFile, dir)
}

// writeFormat writes the file so that a crash leaves it whole or absent.
func writeFormat(fs vfs.FS, dir string) error {
	temporary := fs.PathJoin(dir, formatFile+".new")
	f, err := fs.Create(temporary, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("pebblestore: %w", err)
	}
	_, err = fmt.Fprintf(f, "%s %d\n", formatName, formatVersion)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = fs.Rename(temporary, fs.PathJoin(dir, formatFile))
	}
	if err == nil {
		err = syncDir(fs, dir)
	}
	if err != nil {
		return fmt.Errorf("pebblestore: write the format of %s: %w", dir, err)
	}
	return nil
}

// makeDir makes the directory and those above it, and syncs each into its parent: else a crash may take away a
// directory whose files were all synced.
func makeDir(fs vfs.FS, dir string) error {
	if _, err := fs.Stat(dir); err == nil || !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	parent := fs.PathDir(dir)
	if parent != dir {
		if err := makeDir(fs, parent); err != nil {
			return err
		}
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(fs, parent)
}

func readSome(fs vfs.FS, name string) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	_, err = io.Copy(&text, io.LimitReader(f, formatMaxLen))
	return text.Bytes(), errors.Join(err, f.Close())
}
