package boltstore_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"go.etcd.io/bbolt"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/boltstore"
	"drey.dev/drey/registry/storetest"
)

// TestUpgradeSchema1: a file of schema 1 is upgraded, with all objects.
func TestUpgradeSchema1(t *testing.T) {
	want := varied(60)
	path := schema1(t, want, nil)
	contents, err := boltstore.Check(path)
	if err != nil || !maps.Equal(contents, count(want)) {
		t.Errorf("before: Check finds %v, %v, want %v", contents, err, count(want))
	}
	if v := schemaOf(t, path); v != "1" {
		t.Errorf("Check left schema %q, want it to change nothing", v)
	}

	s := open(t, path)
	if got := objects(t, s); got != text(t, want) {
		t.Errorf("got  %s\nwant %s", got, text(t, want))
	}
	key := want[0].Key()
	if err := s.Delete(t.Context(), key, want[0].Metadata.ResourceVersion); err != nil {
		t.Error(err)
	}
	mustCreate(t, s, storetest.Target("default", "new", "staging"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	contents, err = boltstore.Check(path)
	if err != nil || !maps.Equal(contents, count(want)) { // one less, one more
		t.Errorf("after: Check finds %v, %v, want %v", contents, err, count(want))
	}
	if v := schemaOf(t, path); v != "2" {
		t.Errorf("it has schema %q, want 2", v)
	}
}

// TestUpgradeSchema1Empty: an empty file of schema 1 is upgraded.
func TestUpgradeSchema1Empty(t *testing.T) {
	path := schema1(t, nil, nil)
	if got := dump(t, path); got != "null" {
		t.Errorf("it has %s, want nothing", got)
	}
	if contents, err := boltstore.Check(path); err != nil || contents.String() != "no objects" || schemaOf(t, path) != "2" {
		t.Errorf("Check finds %v, %v in schema %q", contents, err, schemaOf(t, path))
	}
}

// TestUpgradeSchema1Damaged: a damaged file of schema 1 is not changed.
func TestUpgradeSchema1Damaged(t *testing.T) {
	text := func(o registry.Object) string { return string(jsonOf(t, o)) }
	object := storetest.Target("default", "b", "staging")
	for rule, value := range map[string]string{
		"cut off":                text(object)[:60],
		"no bytes":               "",
		"no JSON":                "target: b",
		"a bit flipped":          strings.Replace(text(object), `"kind"`, `"kinl"`, 1),
		"another object's":       text(storetest.Target("default", "c", "staging")),
		"another namespace's":    text(storetest.Target("team", "b", "staging")),
		"a version of no size":   strings.Replace(text(object), `"resourceVersion":0`, `"resourceVersion":99999999999`, 1),
		"a record of a checksum": "\x01\x02\x03\x04" + text(object),
	} {
		t.Run(strings.ReplaceAll(rule, " ", "_"), func(t *testing.T) {
			if value == text(object) {
				t.Fatal("it is not damaged: nothing is tested")
			}
			path := schema1(t, varied(10), map[registry.Key]string{object.Key(): value})
			before := readFile(t, path)
			for call, err := range map[string]error{
				"Open":  second(boltstore.Open(path)),
				"Check": second(boltstore.Check(path)),
			} {
				damage, ok := errors.AsType[*boltstore.DamageError](err)
				if !ok || !strings.Contains(damage.Error(), `DeploymentTarget "b" in platform namespace "default"`) {
					t.Errorf("%s: got error %v, want a DamageError that names the object", call, err)
				}
			}
			if !bytes.Equal(readFile(t, path), before) {
				t.Error("the file was changed")
			}
		})
	}
}

// TestUpgradeKilled: an upgrade is atomic when the process is killed.
func TestUpgradeKilled(t *testing.T) {
	if path := os.Getenv("DREY_TEST_MIGRATE"); path != "" {
		migrateAndWait(path)
	}
	want := varied(3000)
	original := readFile(t, schema1(t, want, nil))
	const rounds = 16
	var whole time.Duration // of the migration of the first round
	left := map[string]int{}
	for round := range rounds {
		path := filepath.Join(t.TempDir(), "registry.db")
		writeFile(t, path, original)
		cmd := exec.Command(os.Args[0], "-test.run=^TestUpgradeKilled$")
		cmd.Env = append(os.Environ(), "DREY_TEST_MIGRATE="+path)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, 1)); err != nil { // it begins
			t.Fatal(err)
		}
		begun := time.Now()
		if round > 0 { // the next one is killed at once, the last one near the end
			time.Sleep(whole * time.Duration(round-1) / rounds)
		} else if _, err := io.ReadFull(out, make([]byte, 1)); err != nil { // it has ended
			t.Fatal(err)
		} else {
			whole = time.Since(begun)
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()

		v := schemaOf(t, path)
		left[v]++
		if contents, err := boltstore.Check(path); err != nil || !maps.Equal(contents, count(want)) {
			t.Errorf("left at schema %s: Check finds %v, %v, want %v", v, contents, err, count(want))
		}
		if got := dump(t, path); got != text(t, want) {
			t.Errorf("left at schema %s: it was opened with other content", v)
		}
	}
	t.Logf("killed within %v: left at schema %v", whole, left)
	if left["1"] == 0 || left["2"] == 0 {
		t.Errorf("files were left at %v: nothing was tested", left)
	}
}

// migrateAndWait is the process that is killed. It says when it begins, and
// when it has ended.
func migrateAndWait(path string) {
	fmt.Print(".")
	if _, err := boltstore.Open(path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print(".")
	time.Sleep(time.Minute)
	os.Exit(1)
}

// schema1 makes a file as the first drey wrote it: of objects, and of values
// that are whatever they are.
func schema1(t testing.TB, all []registry.Object, values map[registry.Key]string) string {
	t.Helper()
	kept := maps.Clone(values)
	if kept == nil {
		kept = map[registry.Key]string{}
	}
	for _, o := range all {
		kept[o.Key()] = string(jsonOf(t, o))
	}
	path := filepath.Join(t.TempDir(), "registry.db")
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		header, err := tx.CreateBucket([]byte("drey"))
		if err != nil {
			return err
		}
		for key, value := range kept {
			b, err := tx.CreateBucketIfNotExists([]byte(key.Kind))
			if err != nil {
				return err
			}
			if err := b.Put([]byte(key.Namespace+"\x00"+key.Name), []byte(value)); err != nil {
				return err
			}
		}
		return header.Put([]byte("schema"), []byte("1"))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// schemaOf is the schema that a file has.
func schemaOf(t testing.TB, path string) (v string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_ = db.View(func(tx *bbolt.Tx) error {
		v = string(tx.Bucket([]byte("drey")).Get([]byte("schema")))
		return nil
	})
	return v
}

// varied are objects of two kinds in the order in which [objects] lists them,
// with what is easily lost: versions, odd specs, long ones.
func varied(n int) []registry.Object {
	var all []registry.Object
	for i := range n {
		o := storetest.Target("default", fmt.Sprintf("target-%06d", i), fmt.Sprint("flink-", i))
		o.Metadata.ResourceVersion = int32(1 + i%5)
		all = append(all, o)
	}
	for i := range n / 5 {
		o := storetest.Target("team-a", fmt.Sprintf("deployment-%06d", i), "")
		o.Kind, o.Metadata.DisplayName, o.Metadata.ResourceVersion = registry.Deployment, "Eichhörnchen <&>", 7
		o.Spec = json.RawMessage(fmt.Sprintf(`{"z":12345678901234567890.10,"a":{"text":"\u00fc<&>%s","null":null}}`, strings.Repeat("y", i%20*100)))
		all = append(all, o)
	}
	return all
}

func count(all []registry.Object) boltstore.Contents {
	contents := boltstore.Contents{}
	for _, o := range all {
		contents[o.Kind]++
	}
	return contents
}

func text(t testing.TB, all []registry.Object) string {
	t.Helper()
	b, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func jsonOf(t testing.TB, o registry.Object) []byte {
	t.Helper()
	b, err := jsonv2.Marshal(o, jsontext.PreserveRawStrings(true))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
