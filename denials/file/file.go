// Package file stores the history of denials in a file, for a drey with the embedded store: it
// has one replica.
package file

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"drey.dev/drey/denials"
)

// Store is a [denials.Store] in a file of one process.
type Store struct {
	path string
	mu   sync.Mutex
}

// New returns the store in a file, which need not exist.
func New(path string) *Store { return &Store{path: path} }

// Update implements denials.Store. The file is replaced atomically; one that cannot be read is
// replaced, too.
func (s *Store) Update(_ context.Context, change func(denials.Document) denials.Document) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, err := s.read()
	if errors.Is(err, fs.ErrPermission) {
		return err
	}
	text, err := change(before).Encode()
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(s.path), filepath.Base(s.path)+".*.tmp") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), s.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// Watch implements denials.Store. Nobody else writes the file.
func (s *Store) Watch(ctx context.Context, changed func(denials.Document)) error {
	s.mu.Lock()
	document, err := s.read()
	s.mu.Unlock()
	if err != nil {
		return err
	}
	changed(document)
	<-ctx.Done()
	return nil
}

func (s *Store) read() (denials.Document, error) {
	text, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return denials.Document{}, nil
	}
	if err != nil {
		return denials.Document{}, err
	}
	return denials.Decode(text)
}
