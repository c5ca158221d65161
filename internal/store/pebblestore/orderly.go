package pebblestore

import (
	"errors"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// An orderly file system syncs the directory before a marker is made in it. Pebble writes a new MANIFEST, syncs it, then
// makes the marker that names it, and syncs the directory only after that: a crash in between may leave the marker
// without the MANIFEST, and then the store cannot be opened, though all its data is there. File systems whose journal
// keeps the order of a directory's entries do not let that happen; the port's promise should not hang on them.
// TestCrashBeforeEveryWrite found it.
type orderly struct{ vfs.FS }

// markerPrefix begins the names of the files with which Pebble says what is current.
const markerPrefix = "marker."

func (o orderly) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(o.PathBase(name), markerPrefix) {
		if err := syncDir(o.FS, o.PathDir(name)); err != nil {
			return nil, err
		}
	}
	return o.FS.Create(name, category)
}

// Unwrap returns the file system within.
func (o orderly) Unwrap() vfs.FS { return o.FS }

// syncDir makes the entries of the directory durable.
func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
