package memstore_test

import (
	"testing"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/memstore"
	"drey.dev/drey/registry/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(testing.TB) registry.Store { return memstore.New() })
}
