package registry

import "fmt"

// DefaultQuota is a quota of 32 MiB for each platform namespace. A Deployment of Ververica
// Platform has 2 to 20 KB.
const DefaultQuota = 32 << 20

// sizeOverhead is what an object counts beside its texts: maps, times and index entries.
const sizeOverhead = 1 << 10

// Size is what o counts against the quota of its platform namespace, in bytes: its texts
// and an overhead of 1 KiB.
func (o Object) Size() int64 {
	m := o.Metadata
	n := sizeOverhead + len(o.Spec) + len(m.Name) + len(m.DisplayName)
	for _, texts := range []map[string]string{m.Labels, m.Annotations} {
		for k, v := range texts {
			n += len(k) + len(v)
		}
	}
	return int64(n)
}

// usage is the bytes in use of each platform namespace: of the objects that the store's
// watch has shown, and of the writes in flight. The lock of the directory guards it.
type usage struct {
	stored   map[string]int64
	inFlight map[string]int64
	growth   map[Key]int64 // of writes in flight, by object
}

func newUsage() usage {
	return usage{make(map[string]int64), make(map[string]int64), make(map[Key]int64)}
}

// changed counts an object whose size changes by n. A write of it is in flight no longer.
func (u *usage) changed(key Key, n int64) {
	add(u.stored, key.Namespace, n)
	u.landed(key, u.growth[key])
}

func (u *usage) started(key Key, n int64) {
	add(u.growth, key, n)
	add(u.inFlight, key.Namespace, n)
}

func (u *usage) landed(key Key, n int64) {
	n = min(n, u.growth[key])
	add(u.growth, key, -n)
	add(u.inFlight, key.Namespace, -n)
}

// add adds n to a sum, and drops what is zero.
func add[K comparable](sums map[K]int64, key K, n int64) {
	if n == 0 {
		return
	}
	if sums[key] += n; sums[key] == 0 {
		delete(sums, key)
	}
}

// reserve refuses a write by which o grows beyond the quota of its platform namespace. was
// is its size before, 0 if it is new. The growth counts until the watch shows the object
// or release is called, which is after the write.
func (r *Registry) reserve(o Object, was int64) (release func(), err error) {
	return r.reserveBytes(o, o.Size()-was)
}

func (r *Registry) reserveBytes(o Object, n int64) (release func(), err error) {
	key := o.Key()
	if r.quota <= 0 || n <= 0 || key.Namespace == Everywhere {
		return func() {}, nil
	}
	stored, known := int64(0), false
	if r.stored != nil { // before the lock, which the store's watch takes under its own
		stored, known = r.stored(key.Namespace), true
	}
	d := r.directory
	d.mu.Lock()
	defer d.mu.Unlock()
	if !known {
		stored = d.usage.stored[key.Namespace]
	}
	used := stored + d.usage.inFlight[key.Namespace]
	if used+n > r.quota {
		return nil, refuse(ReasonQuotaExceeded, "%s takes %s more, and platform namespace %s uses %s of its quota of %s: delete objects in it or make them smaller, "+
			"or raise the flag --platform-namespace-quota of drey serve", describe(key), sizeText(n), quote(key.Namespace), sizeText(used), sizeText(r.quota))
	}
	d.usage.started(key, n)
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.usage.landed(key, n)
	}, nil
}

func sizeText(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}
