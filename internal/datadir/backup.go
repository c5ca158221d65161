package datadir

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
)

// A backup is a directory with the same parts as a data directory, and two files beside them: the manifest, which names every file with
// its length and its SHA-256, and the manifest's own sum in the form of sha256sum. Both come last on the way, so a backup without them is
// one that did not come to its end.
const (
	manifestFile    = "manifest.json"
	manifestSumFile = "manifest.sha256"

	backupFormat  = "cloudflow-backup"
	backupVersion = 1

	// checkpointDir is where the stores' copies stand while they are sent. Open removes what a crash has left of it.
	checkpointDir = "backup.tmp"

	bufferBytes = 256 << 10 // of an archive are written at a time
)

// A Manifest says what a backup holds.
type Manifest struct {
	Format    string    `json:"format"`
	Version   int       `json:"version"`
	CreatedAt time.Time `json:"created_at"` // when the copy was begun: what was acknowledged before is in it
	Files     []File    `json:"files"`
}

// A File of a backup. That of the contact keys has no sum: an erasure in a backup changes it, and each of its records has its own.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256,omitempty"`
}

// partName is what a backup's files are called. Nothing else is read from an archive, or written for it.
var partName = regexp.MustCompile(`^(?:(?:` + storeDir + `|` + providerDir + `)/[A-Za-z0-9_-][A-Za-z0-9._-]*|` +
	regexp.QuoteMeta(sagaKeysFile) + `|` + regexp.QuoteMeta(movedFile) + `|` + regexp.QuoteMeta(contactKeysFile) + `)$`)

// Backup writes a copy of the open directory to w, as a tar (POSIX ustar) of a backup's files, while orders go on. The two stores are
// copied at one moment: what ours says the provider did is in its ledger, and the other way round. What was acknowledged before
// the call is in the copy. The keys are read last and from memory: an erasure that was answered before then is in the copy too.
//
// One at a time: fault.Unavailable while another is under way. Nothing was written to w if the stores could not be copied.
func (d *Dir) Backup(ctx context.Context, w io.Writer) (err error) {
	if !d.copying.TryLock() {
		return fault.New(fault.Unavailable, "A backup is under way. One is made at a time.").With("retry_after_seconds", 10)
	}
	defer d.copying.Unlock()
	buffer := bufio.NewWriterSize(w, bufferBytes)
	b := &backup{w: tar.NewWriter(buffer), ctx: ctx, manifest: Manifest{Format: backupFormat, Version: backupVersion}}
	b.manifest.CreatedAt = d.now().UTC().Truncate(time.Millisecond)
	temporary := filepath.Join(d.Path, checkpointDir)
	defer func() {
		if err = errors.Join(err, os.RemoveAll(temporary)); err != nil {
			err = fmt.Errorf("backup of %s: %w", d.Path, err)
		}
	}()
	if err := d.checkpoint(temporary); err != nil {
		return err
	}
	for _, part := range []string{storeDir, providerDir} {
		if err := b.directory(filepath.Join(temporary, part), part); err != nil {
			return err
		}
	}
	if err := b.file(filepath.Join(d.Path, sagaKeysFile), sagaKeysFile); err != nil {
		return err
	}
	if err := b.file(filepath.Join(d.Path, movedFile), movedFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	keys := d.ContactKeys.Copy()
	if err := b.add(contactKeysFile, int64(len(keys)), bytes.NewReader(keys)); err != nil {
		return err
	}
	if err := b.end(); err != nil {
		return err
	}
	return buffer.Flush()
}

// checkpoint copies both stores. Ours is first, and the provider does nothing meanwhile: it is asked before we write down what it did, so
// its ledger may not be behind our book; and were it ahead, money would have been captured for orders that the copy does not know.
func (d *Dir) checkpoint(into string) error {
	if err := os.Mkdir(into, 0o700); err != nil {
		return err
	}
	return d.Provider.Still(func() error {
		if err := d.Store.Checkpoint(filepath.Join(into, storeDir)); err != nil {
			return err
		}
		return d.Provider.Checkpoint(filepath.Join(into, providerDir))
	})
}

// A backup is an archive that is being written.
type backup struct {
	w        *tar.Writer
	ctx      context.Context
	manifest Manifest
}

func (b *backup) directory(path, name string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := b.file(filepath.Join(path, e.Name()), name+"/"+e.Name()); err != nil {
			return err
		}
	}
	return nil
}

func (b *backup) file(path, name string) error {
	if !partName.MatchString(name) {
		return fmt.Errorf("%s has no place in a backup", name)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		err = b.add(name, info.Size(), f)
	}
	return errors.Join(err, f.Close())
}

// add writes a file of that size, and what it is into the manifest.
func (b *backup) add(name string, size int64, content io.Reader) error {
	if err := b.ctx.Err(); err != nil {
		return err
	}
	if err := b.header(name, size); err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := io.Copy(b.w, io.TeeReader(io.LimitReader(content, size), sum)); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	f := File{Name: name, Size: size, SHA256: hex.EncodeToString(sum.Sum(nil))}
	if name == contactKeysFile {
		f.SHA256 = ""
	}
	b.manifest.Files = append(b.manifest.Files, f)
	return nil
}

func (b *backup) header(name string, size int64) error {
	return b.w.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: b.manifest.CreatedAt.Truncate(time.Second), Format: tar.FormatUSTAR,
	})
}

// end writes the manifest and its sum.
func (b *backup) end() error {
	text, err := json.MarshalIndent(b.manifest, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if err := b.text(manifestFile, text); err != nil {
		return err
	}
	if err := b.text(manifestSumFile, sumLine(text)); err != nil {
		return err
	}
	return b.w.Close()
}

func (b *backup) text(name string, content []byte) error {
	if err := b.header(name, int64(len(content))); err != nil {
		return err
	}
	_, err := b.w.Write(content)
	return err
}

// sumLine is what `sha256sum manifest.json` prints.
func sumLine(manifest []byte) []byte {
	sum := sha256.Sum256(manifest)
	return []byte(hex.EncodeToString(sum[:]) + "  " + manifestFile + "\n")
}

// parseManifest reads a manifest and holds it against its sum.
func parseManifest(text, sum []byte) (Manifest, error) {
	var m Manifest
	if !bytes.Equal(sum, sumLine(text)) {
		return m, fmt.Errorf("%w: %s is not what %s says", ErrBackup, manifestFile, manifestSumFile)
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("%w: %s: %w", ErrBackup, manifestFile, err)
	}
	if m.Format != backupFormat || m.Version != backupVersion {
		return m, fmt.Errorf("%w: it has the format %q, version %d; this cloudflow knows version %d of %q", ErrBackup, m.Format, m.Version, backupVersion, backupFormat)
	}
	for _, f := range m.Files {
		if !partName.MatchString(f.Name) || (f.SHA256 == "") != (f.Name == contactKeysFile) {
			return m, fmt.Errorf("%w: %s names %q", ErrBackup, manifestFile, f.Name)
		}
	}
	for _, part := range []string{sagaKeysFile, contactKeysFile} {
		if !slices.ContainsFunc(m.Files, func(f File) bool { return f.Name == part }) {
			return m, fmt.Errorf("%w: %s names no %s", ErrBackup, manifestFile, part)
		}
	}
	return m, nil
}
