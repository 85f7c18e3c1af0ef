package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"io"
	"math/bits"
)

// tree validates a bbolt file. bbolt itself panics on wrong sizes, offsets and page numbers. tree
// checks each, and visits no page twice, so it terminates for any file.
//
// The format is that of bbolt's internal/common: pages with a header of 16 bytes. The first two are
// the meta pages, with the roots of the last two transactions.
type tree struct {
	path     string
	file     io.ReaderAt
	pageSize uint64
	root     uint64 // page of the root bucket
	freelist uint64 // page of the freelist
	pages    uint64 // number of pages
	used     []bool // by page
}

const (
	pageHeader    = 16
	elementHeader = 16
	bucketHeader  = 16

	branchPage   = 0x01
	leafPage     = 0x02
	metaPage     = 0x04
	freelistPage = 0x10

	metaSize    = 64
	metaMagic   = 0xED0CDAED
	metaVersion = 2
)

var order = binary.NativeEndian

// openTree reads the meta pages. If one is damaged, bbolt would use the other, and so silently drop
// the last transaction.
func openTree(path string, file io.ReaderAt, size int64) (*tree, error) {
	switch {
	case size == 0:
		return nil, damaged(path, "the file is empty")
	case size < 2<<10:
		return nil, damaged(path, "not a registry of drey, or truncated: it has %d bytes", size)
	}
	t := &tree{path: path, file: file}
	first, err := t.meta(0)
	if err != nil {
		return nil, err
	}
	t.pageSize = uint64(order.Uint32(first[8:]))
	if t.pageSize < 1<<9 || t.pageSize > 1<<24 || bits.OnesCount64(t.pageSize) != 1 {
		return nil, damaged(path, "invalid page size %d", t.pageSize)
	}
	second, err := t.meta(1)
	if err != nil {
		return nil, err
	}
	txid := func(meta []byte) uint64 { return order.Uint64(meta[48:]) }
	last := first
	if txid(second) > txid(first) {
		last = second
	}
	t.root, t.freelist, t.pages = order.Uint64(last[16:]), order.Uint64(last[32:]), order.Uint64(last[40:])
	if t.pages > uint64(size)/t.pageSize {
		return nil, damaged(path, "truncated: it has %d bytes, but %d pages of %d bytes are in use", size, t.pages, t.pageSize)
	}
	t.used = make([]bool, t.pages)
	return t, nil
}

// meta reads a meta page.
func (t *tree) meta(id uint64) ([]byte, error) {
	page := make([]byte, pageHeader+metaSize)
	if _, err := t.file.ReadAt(page, int64(id*t.pageSize)); errors.Is(err, io.EOF) { //nolint:gosec // at most 16 MiB
		return nil, damaged(t.path, "truncated")
	} else if err != nil {
		return nil, err
	}
	meta := page[pageHeader:]
	if order.Uint32(meta) != metaMagic && id == 0 {
		return nil, damaged(t.path, "not a registry of drey, or the first page is lost")
	}
	sum := fnv.New64a()
	_, _ = sum.Write(meta[:metaSize-8])
	if order.Uint32(meta) != metaMagic || order.Uint32(meta[4:]) != metaVersion || order.Uint64(meta[metaSize-8:]) != sum.Sum64() ||
		order.Uint64(page) != id || order.Uint16(page[8:]) != metaPage {
		return nil, damaged(t.path, "the checksum of meta page %d does not match", id)
	}
	return meta, nil
}

// page is a page with its overflow pages.
type page struct {
	flags uint16
	count int
	bytes []byte
}

func newPage(b []byte) page {
	return page{order.Uint16(b[8:]), int(order.Uint16(b[10:])), b}
}

// page reads a page, and marks it as used.
func (t *tree) page(id uint64) (page, error) {
	if id < 2 || id >= t.pages {
		return page{}, damaged(t.path, "reference to page %d, out of the range 2 to %d", id, t.pages-1)
	}
	at := int64(id * t.pageSize) //nolint:gosec // below the file's size
	b := make([]byte, t.pageSize)
	if _, err := t.file.ReadAt(b, at); err != nil {
		return page{}, err
	}
	overflow := uint64(order.Uint32(b[12:]))
	if order.Uint64(b) != id || overflow >= t.pages-id {
		return page{}, damaged(t.path, "page %d has an invalid header", id)
	}
	for i := id; i <= id+overflow; i++ {
		if t.used[i] {
			return page{}, damaged(t.path, "page %d is used twice", i)
		}
		t.used[i] = true
	}
	if overflow > 0 {
		b = make([]byte, (overflow+1)*t.pageSize)
		if _, err := t.file.ReadAt(b, at); err != nil {
			return page{}, err
		}
	}
	return newPage(b), nil
}

// element is an entry of a branch or a leaf.
type element struct {
	child      uint64 // of a branch
	isBucket   bool   // of a leaf, as value
	key, value []byte
}

// elements returns the elements of a branch or a leaf.
func (t *tree) elements(p page) ([]element, error) {
	list := make([]element, p.count)
	for i := range list {
		at := pageHeader + i*elementHeader
		if at+elementHeader > len(p.bytes) {
			return nil, damaged(t.path, "a page has more elements than it can hold")
		}
		head, rest := p.bytes[at:at+elementHeader], p.bytes[at:]
		var pos, keySize, valueSize uint64
		if p.flags == branchPage {
			pos, keySize = uint64(order.Uint32(head)), uint64(order.Uint32(head[4:]))
			list[i].child = order.Uint64(head[8:])
		} else {
			pos, keySize, valueSize = uint64(order.Uint32(head[4:])), uint64(order.Uint32(head[8:])), uint64(order.Uint32(head[12:]))
			flags := order.Uint32(head)
			list[i].isBucket = flags == 1
			if flags > 1 {
				return nil, damaged(t.path, "an element has the flags %x", flags)
			}
		}
		if keySize == 0 || pos+keySize+valueSize > uint64(len(rest)) {
			return nil, damaged(t.path, "an element exceeds its page")
		}
		list[i].key, list[i].value = rest[pos:pos+keySize], rest[pos+keySize:pos+keySize+valueSize]
	}
	return list, nil
}

// buckets returns the buckets by name, as bbolt encodes them.
func (t *tree) buckets() (map[string][]byte, error) {
	root, err := t.page(t.root)
	if err != nil {
		return nil, err
	}
	found := map[string][]byte{}
	return found, t.walk(root, func(e element) error {
		if !e.isBucket || len(e.value) < bucketHeader {
			return damaged(t.path, "bucket %q is invalid", e.key)
		}
		found[string(e.key)] = e.value
		return nil
	})
}

// each calls visit with every key and value of a bucket, in order.
func (t *tree) each(bucket []byte, visit func(key, value []byte) error) error {
	var p page
	if root := order.Uint64(bucket); root != 0 {
		var err error
		if p, err = t.page(root); err != nil {
			return err
		}
	} else { // an inline bucket
		if len(bucket) < bucketHeader+pageHeader {
			return damaged(t.path, "an inline bucket is truncated")
		}
		if p = newPage(bucket[bucketHeader:]); p.flags != leafPage {
			return damaged(t.path, "an inline bucket has the flags %x", p.flags)
		}
	}
	return t.walk(p, func(e element) error {
		if e.isBucket {
			return damaged(t.path, "%q is not an object", e.key)
		}
		return visit(e.key, e.value)
	})
}

// walk calls visit with each element of the leaves below a page, in order.
func (t *tree) walk(p page, visit func(element) error) error {
	var last []byte
	inLeaf := false // last is the key of a leaf: keys must increase
	next := func(key []byte, leaf bool) error {
		if c := bytes.Compare(last, key); c > 0 || c == 0 && inLeaf {
			return damaged(t.path, "keys are out of order")
		}
		last, inLeaf = key, leaf
		return nil
	}
	var descend func(page) error
	descend = func(p page) error {
		if p.flags != leafPage && (p.flags != branchPage || p.count == 0) {
			return damaged(t.path, "a page with the flags %x and %d elements instead of a branch or a leaf", p.flags, p.count)
		}
		list, err := t.elements(p)
		if err != nil {
			return err
		}
		for _, e := range list {
			if err := next(e.key, p.flags == leafPage); err != nil {
				return err
			}
			if p.flags == leafPage {
				err = visit(e)
			} else if child, childErr := t.page(e.child); childErr != nil {
				err = childErr
			} else {
				err = descend(child)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return descend(p)
}

// accountFor returns an error unless each page is either used or free.
func (t *tree) accountFor() error {
	p, err := t.page(t.freelist)
	if err != nil {
		return err
	}
	ids, count := p.bytes[pageHeader:], uint64(p.count) //nolint:gosec // of 16 bits
	if count == 0xFFFF {                                // or more: the first entry is the count
		count, ids = order.Uint64(ids), ids[8:]
	}
	if p.flags != freelistPage || count > uint64(len(ids))/8 {
		return damaged(t.path, "the freelist is invalid")
	}
	for i := range count {
		id := order.Uint64(ids[8*i:])
		if id < 2 || id >= t.pages || t.used[id] {
			return damaged(t.path, "page %d is both free and used, or does not exist", id)
		}
		t.used[id] = true
	}
	for id := uint64(2); id < t.pages; id++ {
		if !t.used[id] {
			return damaged(t.path, "page %d is neither free nor used", id)
		}
	}
	return nil
}
