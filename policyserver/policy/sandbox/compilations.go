package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Compilations is what a Runtime has compiled.
type Compilations struct {
	// Compiled counts modules that were compiled, FromCache those of them for which the
	// directory of Config.CacheDir had the machine code already.
	Compiled, FromCache uint64
	// Took is how long all of them took together, found ones included.
	Took time.Duration
}

// compilations counts them. The compiler does not say whether it found a module in its
// cache: it keeps a file for each that it did not find, and files are never taken away.
// Of two compilations that end at the same time the wrong one may be taken for the one
// that left the file; the sums are right all the same.
type compilations struct {
	dir string // "" for none

	mutex  sync.Mutex
	counts Compilations
	files  int // that were accounted for
}

// open begins with the files that earlier processes left.
func (c *compilations) open(dir string) (err error) {
	c.dir = dir
	c.files, err = countFiles(dir)
	return err
}

// add counts a module that has just been compiled.
func (c *compilations) add(took time.Duration) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.counts.Compiled++
	c.counts.Took += took
	if c.dir == "" {
		return nil
	}
	files, err := countFiles(c.dir)
	switch {
	case err != nil:
		return err
	case files > c.files:
		c.files++
	default:
		c.counts.FromCache++
	}
	return nil
}

// countFiles counts the modules in a compilation cache, without those that are being
// written. The compiler makes a directory of its own for each of its versions.
func countFiles(dir string) (files int, err error) {
	if dir == "" {
		return 0, nil
	}
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // it got its name while the directory was read
			return nil
		}
		if err == nil && !entry.IsDir() && !strings.HasSuffix(path, ".tmp") {
			files++
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("read compilation cache: %w", err)
	}
	return files, nil
}

// Compilations is what there was until now.
func (r *Runtime) Compilations() Compilations {
	r.compilations.mutex.Lock()
	defer r.compilations.mutex.Unlock()
	return r.compilations.counts
}
