package server

import (
	"context"
	"strings"
	"sync"
	"time"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"

	webhookconfig "drey.dev/drey/webhook/config"
)

const (
	contactTimeout = 500 * time.Millisecond // of a read, within the timeout of a webhook
	contactTTL     = 30 * time.Second
	maxContacts    = 1000 // cached
)

// contacts reads the contacts that namespaces state by [webhookconfig.AnnotationContact]. Only
// denials need them, so they are read on demand, and cached.
type contacts struct {
	client metadata.Interface

	mu     sync.Mutex
	cached map[string]cachedContact
}

type cachedContact struct {
	contact string
	read    time.Time
}

func newContacts(client metadata.Interface) *contacts {
	return &contacts{client: client, cached: map[string]cachedContact{}}
}

// of returns the contact of a namespace; empty if it states none, or cannot be read.
func (c *contacts) of(namespace string) string {
	c.mu.Lock()
	found, ok := c.cached[namespace]
	c.mu.Unlock()
	if ok && time.Since(found.read) < contactTTL {
		return found.contact
	}
	ctx, cancel := context.WithTimeout(context.Background(), contactTimeout)
	defer cancel()
	object, err := c.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}).Get(ctx, namespace, metav1.GetOptions{})
	contact := found.contact
	if err == nil {
		contact = object.Annotations[webhookconfig.AnnotationContact]
	}
	if len(contact) > webhookconfig.MaxContact || strings.ContainsFunc(contact, unicode.IsControl) {
		contact = ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.cached) >= maxContacts {
		clear(c.cached)
	}
	c.cached[namespace] = cachedContact{contact, time.Now()}
	return contact
}
