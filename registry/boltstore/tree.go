package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"io"
	"math/bits"
)

// tree reads a bbolt file without bbolt, which trusts every size, offset and
// page number in the file and crashes on a wrong one. It trusts none, and uses
// no page twice, so that it ends with an answer whatever the file holds.
//
// The format is that of bbolt's internal/common: pages with a header of 16
// bytes, the first two with the roots of the two last transactions.
type tree struct {
	path     string
	file     io.ReaderAt
	pageSize uint64
	root     uint64 // page of the bucket that holds the buckets
	freelist uint64 // page that lists the free pages
	pages    uint64 // how many there are
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

// openTree reads the file's first two pages. bbolt would fall back to the one
// if the other is damaged, and so lose the last transaction without a word.
func openTree(path string, file io.ReaderAt, size int64) (*tree, error) {
	switch {
	case size == 0:
		return nil, damaged(path, "it is empty")
	case size < 2<<10:
		return nil, damaged(path, "it is no registry of drey's, or cut off: it has %d bytes", size)
	}
	t := &tree{path: path, file: file}
	first, err := t.meta(0)
	if err != nil {
		return nil, err
	}
	t.pageSize = uint64(order.Uint32(first[8:]))
	if t.pageSize < 1<<9 || t.pageSize > 1<<24 || bits.OnesCount64(t.pageSize) != 1 {
		return nil, damaged(path, "its page size is %d", t.pageSize)
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
		return nil, damaged(path, "it is cut off: it has %d bytes, and %d pages of %d bytes are in use", size, t.pages, t.pageSize)
	}
	t.used = make([]bool, t.pages)
	return t, nil
}

// meta reads one of the first two pages.
func (t *tree) meta(id uint64) ([]byte, error) {
	page := make([]byte, pageHeader+metaSize)
	if _, err := t.file.ReadAt(page, int64(id*t.pageSize)); errors.Is(err, io.EOF) { //nolint:gosec // at most 16 MiB
		return nil, damaged(t.path, "it is cut off")
	} else if err != nil {
		return nil, err
	}
	meta := page[pageHeader:]
	if order.Uint32(meta) != metaMagic && id == 0 {
		return nil, damaged(t.path, "it is no registry of drey's, or its first page is lost")
	}
	sum := fnv.New64a()
	_, _ = sum.Write(meta[:metaSize-8])
	if order.Uint32(meta) != metaMagic || order.Uint32(meta[4:]) != metaVersion || order.Uint64(meta[metaSize-8:]) != sum.Sum64() ||
		order.Uint64(page) != id || order.Uint16(page[8:]) != metaPage {
		return nil, damaged(t.path, "page %d, which says where everything is, has another checksum than its content", id)
	}
	return meta, nil
}

// page is one page, with those that it flows over into.
type page struct {
	flags uint16
	count int
	bytes []byte
}

func newPage(b []byte) page {
	return page{order.Uint16(b[8:]), int(order.Uint16(b[10:])), b}
}

// page reads a page, once.
func (t *tree) page(id uint64) (page, error) {
	if id < 2 || id >= t.pages {
		return page{}, damaged(t.path, "it refers to page %d, and pages 2 to %d can be", id, t.pages-1)
	}
	at := int64(id * t.pageSize) //nolint:gosec // below the file's size
	b := make([]byte, t.pageSize)
	if _, err := t.file.ReadAt(b, at); err != nil {
		return page{}, err
	}
	overflow := uint64(order.Uint32(b[12:]))
	if order.Uint64(b) != id || overflow >= t.pages-id {
		return page{}, damaged(t.path, "page %d has the header of another", id)
	}
	for i := id; i <= id+overflow; i++ {
		if t.used[i] {
			return page{}, damaged(t.path, "page %d is in use twice", i)
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

// elements are those of a branch or a leaf.
func (t *tree) elements(p page) ([]element, error) {
	list := make([]element, p.count)
	for i := range list {
		at := pageHeader + i*elementHeader
		if at+elementHeader > len(p.bytes) {
			return nil, damaged(t.path, "a page has more elements than fit into it")
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
			return nil, damaged(t.path, "an element is not within its page")
		}
		list[i].key, list[i].value = rest[pos:pos+keySize], rest[pos+keySize:pos+keySize+valueSize]
	}
	return list, nil
}

// buckets are what the root holds: by name, what bbolt keeps of each.
func (t *tree) buckets() (map[string][]byte, error) {
	root, err := t.page(t.root)
	if err != nil {
		return nil, err
	}
	found := map[string][]byte{}
	return found, t.walk(root, func(e element) error {
		if !e.isBucket || len(e.value) < bucketHeader {
			return damaged(t.path, "%q is not readable", e.key)
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
	} else { // a small one is kept where the page number would be
		if len(bucket) < bucketHeader+pageHeader {
			return damaged(t.path, "a bucket is cut off")
		}
		if p = newPage(bucket[bucketHeader:]); p.flags != leafPage {
			return damaged(t.path, "a small bucket has the flags %x", p.flags)
		}
	}
	return t.walk(p, func(e element) error {
		if e.isBucket {
			return damaged(t.path, "%q is not an object", e.key)
		}
		return visit(e.key, e.value)
	})
}

// walk calls visit with what is in the leaves under a page, in order.
func (t *tree) walk(p page, visit func(element) error) error {
	var last []byte
	inLeaf := false // last is a key of a leaf: the next one must be greater
	next := func(key []byte, leaf bool) error {
		if c := bytes.Compare(last, key); c > 0 || c == 0 && inLeaf {
			return damaged(t.path, "its keys are out of order")
		}
		last, inLeaf = key, leaf
		return nil
	}
	var descend func(page) error
	descend = func(p page) error {
		if p.flags != leafPage && (p.flags != branchPage || p.count == 0) {
			return damaged(t.path, "a page with the flags %x and %d elements is where a branch or a leaf should be", p.flags, p.count)
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

// accountFor fails unless each page is either in use or free.
func (t *tree) accountFor() error {
	p, err := t.page(t.freelist)
	if err != nil {
		return err
	}
	ids, count := p.bytes[pageHeader:], uint64(p.count) //nolint:gosec // of 16 bits
	if count == 0xFFFF {                                // and more: the first entry says how many
		count, ids = order.Uint64(ids), ids[8:]
	}
	if p.flags != freelistPage || count > uint64(len(ids))/8 {
		return damaged(t.path, "its list of free pages is not readable")
	}
	for i := range count {
		id := order.Uint64(ids[8*i:])
		if id < 2 || id >= t.pages || t.used[id] {
			return damaged(t.path, "page %d is free and in use, or does not exist", id)
		}
		t.used[id] = true
	}
	for id := uint64(2); id < t.pages; id++ {
		if !t.used[id] {
			return damaged(t.path, "page %d is lost: neither free nor in use", id)
		}
	}
	return nil
}
