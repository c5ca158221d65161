package datadir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// movedFile says where the shop of a directory has gone. It is a part of a backup: what is restored from it has moved, too.
const movedFile = "MOVED.json"

// ErrMoved is in the chain of Open's error if the shop has moved elsewhere.
var ErrMoved = errors.New("the shop has moved")

// Moved says where a shop has gone, and since when its orders go on there.
type Moved struct {
	To      string    `json:"to"` // "aws"
	Stage   string    `json:"stage"`
	Account string    `json:"account"`
	Region  string    `json:"region"`
	At      time.Time `json:"at"`
}

func (m Moved) place() string {
	return fmt.Sprintf("%s, stage %s, account %s, %s", m.To, m.Stage, m.Account, m.Region)
}

// Left says whether the shop has gone to that place. ErrMoved: it has gone to another one.
func (d *Dir) Left(m Moved) (bool, error) {
	there, err := readMoved(d.Path)
	if err != nil || there == nil {
		return false, err
	}
	if m.At = there.At; *there != m {
		return false, fmt.Errorf("data directory %s: %w to %s", d.Path, ErrMoved, there.place())
	}
	return true, nil
}

// Leave writes down that the shop goes on elsewhere, durably when it returns nil: from then on Open refuses the directory to whoever would serve it. A
// repeated call for the same place changes nothing; one for another place is ErrMoved.
func (d *Dir) Leave(m Moved) error {
	left, err := d.Left(m)
	if err != nil {
		return err
	}
	if left {
		return syncDir(d.Path) // the call before may have died between its rename and its sync
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	partial := filepath.Join(d.Path, movedFile+partialSuffix)
	if err := os.Remove(partial); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeFile(partial, append(text, '\n')); err != nil {
		return err
	}
	if err := os.Rename(partial, filepath.Join(d.Path, movedFile)); err != nil {
		return err
	}
	return syncDir(d.Path)
}

// stay refuses a directory whose shop has moved: its open orders go on elsewhere, and going on here too would charge their customers twice.
func (d *Dir) stay() error {
	m, err := readMoved(d.Path)
	if err != nil || m == nil {
		return err
	}
	return fmt.Errorf("data directory %s: %w: since %s its orders go on there (%s). Serving it, or a backup from before, would charge customers a second time; "+
		"`verify --data`, `export --data` and `migrate` still read it", d.Path, ErrMoved, m.At.Format(time.RFC3339), m.place())
}

// readMoved reads where the directory's shop has gone: nil, nowhere. A file that cannot be read is an error and not nowhere.
func readMoved(path string) (*Moved, error) {
	text, err := os.ReadFile(filepath.Join(path, movedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // nowhere
	}
	var m Moved
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w, and %s does not say where to: %w", path, ErrMoved, movedFile, err)
	}
	return &m, nil
}
