package kubestore

import (
	"context"
	"errors"
	"maps"

	"github.com/google/uuid"

	"drey.dev/drey/registry"
)

// pendingWrites are writes of this process that the watch has not delivered within
// cacheSyncTimeout. Reads of their kinds are consistent reads until it has.
type pendingWrites struct {
	versions map[registry.Kind]uint64 // the highest resourceVersion written
	deleted  map[registry.Kind]map[uuid.UUID]bool
}

// hasPending reports whether the cache lacks a write of this process.
func (s *Store) hasPending(kind registry.Kind) bool {
	if s.received[kind] < s.pending.versions[kind] {
		return true
	}
	for uid := range s.pending.deleted[kind] {
		if s.records[uid] != nil {
			return true
		}
	}
	return false
}

// wait waits until a condition on the cache holds. The condition is evaluated under its lock.
func (s *Store) wait(ctx context.Context, condition func() bool) error {
	for {
		s.mu.RLock()
		done, changed := condition(), s.changed
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

// waitForVersion waits until the cache has a written resourceVersion.
func (s *Store) waitForVersion(ctx context.Context, kind registry.Kind, version uint64) {
	s.waitForCache(ctx, kind, func() bool { return s.received[kind] >= version }, func() {
		if s.pending.versions == nil {
			s.pending.versions = map[registry.Kind]uint64{}
		}
		s.pending.versions[kind] = max(s.pending.versions[kind], version)
	})
}

// waitForDeletion waits until the cache lacks an object, or has it as terminating.
func (s *Store) waitForDeletion(ctx context.Context, kind registry.Kind, uid uuid.UUID) {
	isDeleted := func() bool { rec := s.records[uid]; return rec == nil || rec.terminating }
	s.waitForCache(ctx, kind, isDeleted, func() {
		if s.pending.deleted == nil {
			s.pending.deleted = map[registry.Kind]map[uuid.UUID]bool{}
		}
		if s.pending.deleted[kind] == nil {
			s.pending.deleted[kind] = map[uuid.UUID]bool{}
		}
		maps.DeleteFunc(s.pending.deleted[kind], func(uid uuid.UUID, _ bool) bool { return s.records[uid] == nil })
		s.pending.deleted[kind][uid] = true
	})
}

// waitForCache waits up to cacheSyncTimeout for the watch to deliver a write, and records the
// write as pending otherwise. It returns no error, because the write is durable. If the watch
// is behind already, it does not wait.
func (s *Store) waitForCache(ctx context.Context, kind registry.Kind, condition func() bool, record func()) {
	s.mu.Lock()
	if s.hasPending(kind) {
		record()
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	bounded, cancel := context.WithTimeout(ctx, cacheSyncTimeout)
	defer cancel()
	err := s.wait(bounded, condition)
	if err == nil || s.closed.Load() {
		return
	}
	s.mu.Lock()
	record()
	s.mu.Unlock()
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.WarnContext(ctx, "watch is behind: consistent reads until it has caught up", "kind", kind)
	}
}
