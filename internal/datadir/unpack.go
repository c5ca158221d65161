package datadir

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/utkarsh698/cloudflow/internal/pii"
)

// ErrBackup is in the chain of the error of whatever reads a backup that is incomplete, damaged or none.
var ErrBackup = errors.New("not a whole backup")

// maxManifest bounds what is read of a manifest: 100 bytes a file, of which a store of a terabyte has some ten thousand.
const maxManifest = 16 << 20

// partialSuffix is behind the name of a directory that is being filled. It is renamed when all of it is on the disk.
const partialSuffix = ".partial"

// Unpack reads what Backup wrote into dir, which must not exist or be empty. The directory appears whole, checked against its manifest
// and synced, or not at all: until then it is dir.partial, which an error removes and a crash leaves to the next call. ErrBackup: the
// archive ended early, a byte of it has changed, or it names a file that no backup has.
func Unpack(r io.Reader, dir string) (m Manifest, err error) {
	err = fill(dir, func(partial string) error {
		m, err = unpack(tar.NewReader(r), partial)
		return err
	})
	return m, err
}

// fill makes dir by a function that fills the empty directory it is given.
func fill(dir string, content func(partial string) error) (err error) {
	if err := vacant(dir); err != nil {
		return err
	}
	partial := filepath.Clean(dir) + partialSuffix
	if err := os.RemoveAll(partial); err != nil {
		return err
	}
	if err := os.MkdirAll(partial, 0o700); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(partial))
		}
	}()
	for _, part := range []string{storeDir, providerDir} {
		if err := os.Mkdir(filepath.Join(partial, part), 0o700); err != nil {
			return err
		}
	}
	if err := content(partial); err != nil {
		return err
	}
	for _, part := range []string{storeDir, providerDir, "."} {
		if err := syncDir(filepath.Join(partial, part)); err != nil {
			return err
		}
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Rename(partial, dir); err != nil {
		return err
	}
	return syncDir(filepath.Dir(filepath.Clean(dir)))
}

// vacant refuses a directory in which there is something.
func vacant(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case len(entries) > 0:
		return fmt.Errorf("%s is not empty; name a directory that does not exist yet", dir)
	}
	return nil
}

// Vacant says whether Unpack or Restore would take the directory: before something is fetched for it.
func Vacant(dir string) error { return vacant(dir) }

func unpack(archive *tar.Reader, into string) (Manifest, error) {
	var manifest, sum []byte
	found := map[string]File{}
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Manifest{}, fmt.Errorf("%w: the archive ended early: %w", ErrBackup, err)
		}
		_, twice := found[h.Name]
		switch {
		case h.Typeflag != tar.TypeReg || twice:
			return Manifest{}, fmt.Errorf("%w: the archive holds %q twice, or as something else than a file", ErrBackup, h.Name)
		case h.Name == manifestFile && h.Size <= maxManifest:
			manifest, err = io.ReadAll(archive)
		case h.Name == manifestSumFile && h.Size <= maxManifest:
			sum, err = io.ReadAll(archive)
		case partName.MatchString(h.Name):
			found[h.Name], err = take(archive, into, h.Name)
		default:
			return Manifest{}, fmt.Errorf("%w: the archive holds %q, which no backup has", ErrBackup, h.Name)
		}
		if err != nil {
			return Manifest{}, fmt.Errorf("%w: %s: %w", ErrBackup, h.Name, err)
		}
	}
	if manifest == nil || sum == nil {
		return Manifest{}, fmt.Errorf("%w: the archive ended early, before its manifest", ErrBackup)
	}
	m, err := parseManifest(manifest, sum)
	if err == nil {
		err = m.compare(found)
	}
	if err == nil {
		err = checkKeys(filepath.Join(into, contactKeysFile))
	}
	for name, text := range map[string][]byte{manifestFile: manifest, manifestSumFile: sum} {
		if err == nil {
			err = writeFile(filepath.Join(into, name), text)
		}
	}
	return m, err
}

// compare holds what was found against the manifest.
func (m Manifest) compare(found map[string]File) error {
	for _, want := range m.Files {
		got, ok := found[want.Name]
		if want.SHA256 == "" {
			got.SHA256 = ""
		}
		switch {
		case !ok:
			return fmt.Errorf("%w: %s is missing", ErrBackup, want.Name)
		case got.Size != want.Size:
			return fmt.Errorf("%w: %s has %d bytes, the manifest says %d", ErrBackup, want.Name, got.Size, want.Size)
		case got != want:
			return fmt.Errorf("%w: %s has changed: its SHA-256 is not what the manifest says", ErrBackup, want.Name)
		}
		delete(found, want.Name)
	}
	for name := range found {
		return fmt.Errorf("%w: the manifest does not name %s", ErrBackup, name)
	}
	return nil
}

// take writes a file of a backup into a directory, synced, and says what it was.
func take(content io.Reader, into, name string) (f File, err error) {
	out, err := os.OpenFile(filepath.Join(into, filepath.FromSlash(name)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return File{}, err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, sum), content)
	if err == nil {
		err = out.Sync()
	}
	return File{Name: name, Size: n, SHA256: hex.EncodeToString(sum.Sum(nil))}, errors.Join(err, out.Close())
}

func checkKeys(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	if err = errors.Join(pii.CheckCopy(f), f.Close()); err != nil {
		return fmt.Errorf("%w: %s: %w; if an erasure in it was interrupted, repeat that", ErrBackup, contactKeysFile, err)
	}
	return nil
}

// Restore makes a data directory of a backup, which it leaves as it is: target must not exist or be empty, and appears whole or not at
// all, as with Unpack. ErrBackup: the backup is incomplete or damaged.
func Restore(ctx context.Context, backup, target string) (m Manifest, err error) {
	if m, err = ReadManifest(backup); err != nil {
		return m, err
	}
	return m, fill(target, func(partial string) error {
		found := make(map[string]File, len(m.Files))
		for _, f := range m.Files {
			if err := ctx.Err(); err != nil {
				return err
			}
			in, err := os.Open(filepath.Join(backup, filepath.FromSlash(f.Name)))
			if errors.Is(err, os.ErrNotExist) {
				continue // compare says it
			}
			if err != nil {
				return err
			}
			found[f.Name], err = take(in, partial, f.Name)
			if err = errors.Join(err, in.Close()); err != nil {
				return err
			}
		}
		if err := m.compare(found); err != nil {
			return err
		}
		return checkKeys(filepath.Join(partial, contactKeysFile))
	})
}

// ReadManifest reads the manifest of a backup: ErrBackup if it is none.
func ReadManifest(backup string) (Manifest, error) {
	text, err := os.ReadFile(filepath.Join(backup, manifestFile))
	if errors.Is(err, os.ErrNotExist) {
		return Manifest{}, fmt.Errorf("%w: %s has no %s", ErrBackup, backup, manifestFile)
	}
	if err != nil {
		return Manifest{}, err
	}
	sum, err := os.ReadFile(filepath.Join(backup, manifestSumFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return Manifest{}, err
	}
	return parseManifest(text, sum)
}

// EraseIn destroys a customer's contact key in a backup, durably when it returns nil. The backup stays whole: its manifest has no sum of
// the keys. A customer who has no key there is no error; a repeat finishes what a crash has interrupted.
func EraseIn(backup, customerID string) error {
	if _, err := ReadManifest(backup); err != nil {
		return err
	}
	path := filepath.Join(backup, contactKeysFile)
	if _, err := os.Stat(path); err != nil { // opening it would make a new one
		return fmt.Errorf("%w: %w", ErrBackup, err)
	}
	keys, err := pii.OpenKeyFile(path)
	if err != nil {
		return err
	}
	return errors.Join(keys.Erase(customerID), keys.Close())
}

func writeFile(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
