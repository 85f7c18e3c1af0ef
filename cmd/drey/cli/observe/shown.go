package observe

import (
	"maps"
	"reflect"
	"slices"
)

// shown has the items that a command has printed, and prints each later state once.
type shown[T any] struct {
	key      func(T) string
	print    func(value T, deleted bool) error
	compared func(T) T // the part of a value that is printed; nil: all

	known map[string]T // by key
}

func newShown[T any](items []T, key func(T) string, printItem func(T, bool) error) *shown[T] {
	s := &shown[T]{key: key, print: printItem, known: make(map[string]T, len(items))}
	for _, item := range items {
		s.known[key(item)] = item
	}
	return s
}

func (s *shown[T]) has(value T) bool {
	_, ok := s.known[s.key(value)]
	return ok
}

// change prints a value that has changed.
func (s *shown[T]) change(value T, deleted bool) error {
	key := s.key(value)
	before, ok := s.known[key]
	if deleted {
		delete(s.known, key)
		if !ok {
			return nil
		}
		return s.print(value, true)
	}
	s.known[key] = value
	if ok && s.equal(before, value) {
		return nil
	}
	return s.print(value, false)
}

func (s *shown[T]) equal(a, b T) bool {
	if s.compared != nil {
		a, b = s.compared(a), s.compared(b)
	}
	return reflect.DeepEqual(a, b)
}

// replace prints how a list differs from what was printed.
func (s *shown[T]) replace(items []T) error {
	present := make(map[string]bool, len(items))
	for _, item := range items {
		present[s.key(item)] = true
		if err := s.change(item, false); err != nil {
			return err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(s.known)) {
		if present[key] {
			continue
		}
		if err := s.change(s.known[key], true); err != nil {
			return err
		}
	}
	return nil
}
