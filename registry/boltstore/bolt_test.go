package boltstore_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"drey.dev/drey/registry/boltstore"
)

// boltFile is the variable with the file that [TestBoltCheck] opens.
const boltFile = "DREY_TEST_BOLT_FILE"

// TestBoltCheck is run by [BenchmarkBoltDamage] on a damaged file, in a process of its own: it fails
// if bbolt finds the damage.
func TestBoltCheck(t *testing.T) {
	path := os.Getenv(boltFile)
	if path == "" {
		path = filled(t)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, PreLoadFreelist: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(func(tx *bbolt.Tx) error {
		var errs []error
		for err := range tx.Check() {
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkBoltDamage counts what bbolt's own check makes of damaged files, which boltstore refuses or
// opens whole ([TestOpenDamagedFile]): see decision 23. Run it with -benchtime 300x.
func BenchmarkBoltDamage(b *testing.B) {
	path := filled(b)
	valid, want := readFile(b, path), dump(b, path)
	inUse := len(bytes.TrimRight(valid, "\x00"))
	random := rand.New(rand.NewPCG(1, 1))
	var crashed, missed, wrong float64
	check := func() {
		content := bytes.Clone(valid)
		content[random.IntN(inUse)] ^= 1 << random.IntN(8)
		damaged := filepath.Join(b.TempDir(), "registry.db")
		writeFile(b, damaged, content)
		ctx, cancel := context.WithTimeout(b.Context(), 10*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestBoltCheck$")
		cmd.Env = append(os.Environ(), boltFile+"="+damaged)
		out, err := cmd.CombinedOutput()
		s, openErr := boltstore.Open(damaged)
		if openErr == nil {
			if got := objects(b, s); got != want {
				wrong++
			}
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		}
		switch {
		case ctx.Err() != nil, bytes.Contains(out, []byte("panic: ")), bytes.Contains(out, []byte("fatal error: ")), bytes.Contains(out, []byte("unexpected fault")):
			crashed++
		case err == nil && openErr != nil:
			missed++
		}
	}
	for b.Loop() {
		check()
	}
	n := float64(b.N)
	b.ReportMetric(100*crashed/n, "%bbolt-crashes")
	b.ReportMetric(100*missed/n, "%bbolt-misses")
	b.ReportMetric(100*wrong/n, "%boltstore-wrong")
}
