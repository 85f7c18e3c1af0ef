package boltstore_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/boltstore"
	"drey.dev/drey/registry/storetest"
)

// TestOpenForeignFile: another file is refused with a remedy.
func TestOpenForeignFile(t *testing.T) {
	valid := readFile(t, filled(t))
	bolt := filepath.Join(t.TempDir(), "other.db")
	db, err := bbolt.Open(bolt, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for rule, c := range map[string]struct {
		content []byte
		says    string
	}{
		"no bytes":                  {nil, "the file is empty"},
		"zeros":                     {make([]byte, 64<<10), "not a registry of drey"},
		"text":                      {bytes.Repeat([]byte("targets:\n"), 4000), "not a registry of drey"},
		"a short text":              {[]byte("targets:\n"), "not a registry of drey"},
		"its first page":            {valid[:4096], "truncated"},
		"all but the last page":     {valid[:len(bytes.TrimRight(valid, "\x00"))&^4095], "truncated"},
		"zeros in the first page":   {splice(valid, 0, make([]byte, 4096)), "not a registry of drey"},
		"zeros in the second page":  {splice(valid, 4096, make([]byte, 4096)), "page 1"},
		"the first page twice":      {splice(valid, 4096, valid[:4096]), "page 1"},
		"a bbolt file of another's": {readFile(t, bolt), "header"},
	} {
		t.Run(strings.ReplaceAll(rule, " ", "_"), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "registry.db")
			writeFile(t, path, c.content)
			_, err := boltstore.Open(path)
			damage, ok := errors.AsType[*boltstore.DamageError](err)
			if !ok {
				t.Fatalf("got error %v, want a DamageError", err)
			}
			for _, part := range []string{path, c.says, "drey restore --data-dir " + filepath.Dir(path)} {
				if !strings.Contains(damage.Error(), part) {
					t.Errorf("it does not say %q: %v", part, damage)
				}
			}
			if !bytes.Equal(readFile(t, path), c.content) {
				t.Error("the file was changed")
			}
			if _, err := boltstore.Check(path); err == nil {
				t.Error("Check finds nothing wrong with it")
			}
		})
	}
}

// TestOpenDamagedFile: a damaged file is refused, or has all objects. TestOpenDamagedFiles has more.
func TestOpenDamagedFile(t *testing.T) { openDamaged(t, 150, 4) }

// TestOpenDamagedFiles is [TestOpenDamagedFile] with ten times the files and a random seed, in
// make test-full.
func TestOpenDamagedFiles(t *testing.T) { openDamaged(t, 1500, rand.Uint64()) }

// openDamaged opens copies of a file, each with other damage, which follows from the seed.
func openDamaged(t *testing.T, rounds int, seed uint64) {
	t.Helper()
	path := filled(t)
	valid, want := readFile(t, path), dump(t, path)
	random := rand.New(rand.NewPCG(seed, 0))
	inUse := len(bytes.TrimRight(valid, "\x00"))
	refused := 0
	for range rounds {
		content := bytes.Clone(valid)
		var did string
		switch random.IntN(5) {
		case 0:
			at := random.IntN(len(content))
			content, did = content[:at], fmt.Sprintf("cut off at %d", at)
		case 1:
			at, length := random.IntN(inUse), 1+random.IntN(512)
			clear(content[at:min(at+length, len(content))])
			did = fmt.Sprintf("%d zeros at %d", length, at)
		case 2:
			from, to := random.IntN(inUse/4096), random.IntN(inUse/4096)
			copy(content[to*4096:], valid[from*4096:(from+1)*4096])
			did = fmt.Sprintf("page %d in the place of %d", from, to)
		default:
			at, bit := random.IntN(inUse), random.IntN(8)
			content[at] ^= 1 << bit
			did = fmt.Sprintf("bit %d of byte %d", bit, at)
		}
		damaged := filepath.Join(t.TempDir(), "registry.db")
		writeFile(t, damaged, content)
		s, err := boltstore.Open(damaged)
		if err != nil {
			refused++
			if _, ok := errors.AsType[*boltstore.DamageError](err); !ok && !strings.Contains(err.Error(), "schema version") {
				t.Errorf("seed %d, %s: got error %v, want a DamageError", seed, did, err)
			}
			continue
		}
		if got := objects(t, s); got != want {
			t.Errorf("seed %d, %s: it was opened with other content:\n%s\nwant\n%s", seed, did, got, want)
		}
		if random.IntN(8) == 0 { // free pages are used now
			if _, err := s.Create(t.Context(), storetest.Target("default", "later", strings.Repeat("x", 9000))); err != nil {
				t.Errorf("seed %d, %s: write: %v", seed, did, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Errorf("seed %d, %s: close: %v", seed, did, err)
		}
		if _, err := boltstore.Check(damaged); err != nil {
			t.Errorf("seed %d, %s: after it was opened: %v", seed, did, err)
		}
	}
	t.Logf("%d damaged files: %d refused, %d opened whole", rounds, refused, rounds-refused)
	if refused == 0 || refused == rounds {
		t.Errorf("%d of %d were refused: nothing was tested", refused, rounds)
	}
}

// TestObjectDamagedWhileOpen: the error names an object that is damaged while the file is open.
func TestObjectDamagedWhileOpen(t *testing.T) {
	path := filled(t)
	s := open(t, path)
	content := readFile(t, path)
	flipAll(t, path, content, []byte(`"namespace":"flink-007"`))
	key := registry.Key{Kind: registry.DeploymentTarget, Namespace: "team-a", Name: "target-007"}
	update := storetest.Target(key.Namespace, key.Name, "flink-007")
	for call, err := range map[string]error{
		"get":    second(s.Get(t.Context(), key, registry.Cached)),
		"list":   second(s.List(t.Context(), key.Kind, "", registry.Cached)),
		"update": second(s.Update(t.Context(), update, 1)),
		"delete": s.Delete(t.Context(), key, 1),
	} {
		if err == nil || !strings.Contains(err.Error(), `DeploymentTarget "target-007" in platform namespace "team-a" has the checksum`) || !strings.Contains(err.Error(), "drey restore") {
			t.Errorf("%s: got error %v, want one that names the object and says what to do", call, err)
		}
	}
	if _, err := s.Get(t.Context(), registry.Key{Kind: registry.DeploymentTarget, Namespace: "team-a", Name: "target-008"}, registry.Cached); err != nil {
		t.Errorf("another object: %v", err)
	}
	if _, err := s.Create(t.Context(), storetest.Target("default", "new", "staging")); err != nil {
		t.Errorf("another write: %v", err)
	}
}

// TestFileTruncatedWhileOpen: a truncation of the open file is an error, not a crash.
func TestFileTruncatedWhileOpen(t *testing.T) {
	path := filled(t)
	s, err := boltstore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 4096); err != nil {
		t.Fatal(err)
	}
	for call, err := range map[string]error{
		"list":   second(s.List(t.Context(), registry.DeploymentTarget, "", registry.Cached)),
		"create": second(s.Create(t.Context(), storetest.Target("default", "new", "staging"))),
		"again":  second(s.Create(t.Context(), storetest.Target("default", "newer", "staging"))),
		"backup": s.Backup(&bytes.Buffer{}),
	} {
		if err == nil {
			t.Errorf("%s: no error", call)
		}
	}
	_ = s.Close() // it says again that the file is damaged
}

// filled makes a file with objects of several kinds, large ones and a branch
// among them, and free pages.
func filled(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "registry.db")
	s, err := boltstore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		o := storetest.Target("team-a", fmt.Sprintf("target-%03d", i), fmt.Sprintf("flink-%03d", i))
		mustCreate(t, s, o)
		if i%3 == 0 {
			o.Kind, o.Metadata.Namespace = registry.Deployment, "team-b"
			o.Spec = json.RawMessage(fmt.Sprintf(`{"text":%q}`, strings.Repeat("y", 300*i)))
			mustCreate(t, s, o)
		}
	}
	mustCreate(t, s, registry.Object{Kind: registry.Namespace, Metadata: registry.Metadata{Namespace: "team-a", Name: "team-a"}, Spec: json.RawMessage(`{}`)})
	for i := range 10 {
		if err := s.Delete(t.Context(), registry.Key{Kind: registry.DeploymentTarget, Namespace: "team-a", Name: fmt.Sprintf("target-%03d", 10+2*i)}, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustCreate(t testing.TB, s registry.Store, o registry.Object) {
	t.Helper()
	if _, err := s.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

// dump is all that a file has, as text.
func dump(t testing.TB, path string) string {
	t.Helper()
	s, err := boltstore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	return objects(t, s)
}

func objects(t testing.TB, s registry.Store) string {
	t.Helper()
	var all []registry.Object
	for _, kind := range []registry.Kind{registry.DeploymentTarget, registry.Deployment, registry.SessionCluster, registry.Namespace} {
		list, err := s.List(t.Context(), kind, "", registry.Cached)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, list...)
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// flipAll flips a bit in each place of the file that has text: old copies of a
// page have it, too.
func flipAll(t testing.TB, path string, content, text []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for at := 0; ; at++ {
		i := bytes.Index(content[at:], text)
		if i < 0 {
			return
		}
		at += i
		if _, err := f.WriteAt([]byte{text[0] ^ 4}, int64(at)); err != nil {
			t.Fatal(err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func splice(content []byte, at int, with []byte) []byte {
	content = bytes.Clone(content)
	copy(content[at:], with)
	return content
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func writeFile(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
