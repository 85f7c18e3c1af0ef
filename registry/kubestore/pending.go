package kubestore

import (
	"context"
	"errors"
	"maps"

	"k8s.io/apimachinery/pkg/types"

	"drey.dev/drey/registry"
)

// unseen is what this process wrote and the watch has not brought yet, although
// the writer waited for it: reads of such a kind ask the API server.
type unseen struct {
	version map[registry.Kind]uint64
	gone    map[registry.Kind]map[types.UID]bool
}

// lags reports whether the mirror lacks a write of this process.
func (s *Store) lags(kind registry.Kind) bool {
	if s.seen[kind] < s.unseen.version[kind] {
		return true
	}
	for uid := range s.unseen.gone[kind] {
		if s.records[uid] != nil {
			return true
		}
	}
	return false
}

// await waits until something is true of the mirror, which it asks under its
// lock.
func (s *Store) await(ctx context.Context, reached func() bool) error {
	for {
		s.mu.RLock()
		done, changed := reached(), s.changed
		s.mu.RUnlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// awaitWrite waits until the watch has brought what was written.
func (s *Store) awaitWrite(ctx context.Context, kind registry.Kind, version uint64) {
	s.awaitBrought(ctx, kind, func() bool { return s.seen[kind] >= version }, func() {
		if s.unseen.version == nil {
			s.unseen.version = map[registry.Kind]uint64{}
		}
		s.unseen.version[kind] = max(s.unseen.version[kind], version)
	})
}

func (s *Store) awaitGone(ctx context.Context, kind registry.Kind, uid types.UID) {
	isGone := func() bool { rec := s.records[uid]; return rec == nil || rec.object.GetDeletionTimestamp() != nil }
	s.awaitBrought(ctx, kind, isGone, func() {
		if s.unseen.gone == nil {
			s.unseen.gone = map[registry.Kind]map[types.UID]bool{}
		}
		if s.unseen.gone[kind] == nil {
			s.unseen.gone[kind] = map[types.UID]bool{}
		}
		maps.DeleteFunc(s.unseen.gone[kind], func(uid types.UID, _ bool) bool { return s.records[uid] == nil })
		s.unseen.gone[kind][uid] = true
	})
}

// awaitBrought waits a while for the watch, and else makes a note that it lags.
// What was written is written: that its author has gone by now changes nothing.
// When the watch lags already, there is no point in waiting.
func (s *Store) awaitBrought(ctx context.Context, kind registry.Kind, reached func() bool, note func()) {
	s.mu.Lock()
	if s.lags(kind) {
		note()
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	bounded, cancel := context.WithTimeout(ctx, watchPatience)
	defer cancel()
	err := s.await(bounded, reached)
	if err == nil || s.closed.Load() {
		return
	}
	s.mu.Lock()
	note()
	s.mu.Unlock()
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.WarnContext(ctx, "the API server's watch is slow: reads ask it directly until it has caught up")
	}
}
