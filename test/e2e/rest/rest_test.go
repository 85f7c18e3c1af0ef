// Package rest plays the conformance suite of the REST API over HTTP: against
// the drey of this tree, which it starts, or against the server at DREY_URL,
// with the token in DREY_TOKEN if it asks for one. Every answer is validated
// against the OpenAPI document that the server itself serves.
//
// It is a module of its own for the sake of the validator, which nothing else
// needs.
package rest

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/exchange"
)

// goldens are the exchanges that registry/rest is tested with as well.
const goldens = "../../../registry/rest/testdata/*.http"

var server struct {
	sync.Once
	url, token string
	err        error
	running    *drey.Drey
	dir        string
}

func TestMain(m *testing.M) {
	code := m.Run()
	if server.running != nil {
		if err := server.running.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = cmp.Or(code, 1)
		}
		_ = os.RemoveAll(server.dir) // what is left in a temporary directory does no harm
	}
	os.Exit(code)
}

// target returns the server that the tests are about, and a token for it.
func target(t testing.TB) (url, token string) {
	t.Helper()
	server.Do(func() {
		server.url, server.token = os.Getenv("DREY_URL"), os.Getenv("DREY_TOKEN")
		if server.url != "" {
			return
		}
		if server.dir, server.err = os.MkdirTemp("", "drey-rest-"); server.err != nil {
			return
		}
		program := filepath.Join(server.dir, "drey")
		if out, err := exec.Command("go", "build", "-C", "../../..", "-o", program, "./cmd/drey").CombinedOutput(); err != nil {
			server.err = fmt.Errorf("build drey: %w\n%s", err, out)
			return
		}
		if server.running, server.err = drey.Start(context.Background(), drey.Options{Program: program, DataDir: server.dir}); server.err == nil {
			server.url = server.running.REST
		}
	})
	if server.err != nil {
		t.Fatal(server.err)
	}
	return server.url, server.token
}

func TestExchanges(t *testing.T) {
	url, token := target(t)
	files, err := filepath.Glob(goldens)
	if err != nil || len(files) == 0 {
		t.Fatalf("no exchanges found: %v", err)
	}
	description := describe(t, url)
	seen := 0
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".http"), func(t *testing.T) {
			(&exchange.Player{URL: url, Token: token, Check: func(e exchange.Exchange) error {
				seen++
				return description.validate(e)
			}}).Play(t, file)
		})
	}
	t.Logf("%d exchanges with %s", seen, url)
	description.reportUnused(t)
}
