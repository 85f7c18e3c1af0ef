package server

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metadatafake "k8s.io/client-go/metadata/fake"
)

// TestContacts: the contact of a namespace is its annotation, in one line and not too long, and
// is read at most once in contactTTL.
func TestContacts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scheme := metadatafake.NewTestScheme()
		if err := metav1.AddMetaToScheme(scheme); err != nil {
			t.Fatal(err)
		}
		namespace := func(name, contact string) *metav1.PartialObjectMetadata {
			return &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}, ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{"drey.dev/contact": contact}}}
		}
		client := metadatafake.NewSimpleMetadataClient(scheme, namespace("team", "#team"), namespace("lines", "a\nb"), namespace("long", strings.Repeat("x", 201)), namespace("none", ""))
		c := newContacts(client)
		for name, want := range map[string]string{"team": "#team", "lines": "", "long": "", "none": "", "missing": ""} {
			if got := c.of(name); got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
		reads := len(client.Actions())
		for range 10 {
			c.of("team")
			c.of("missing")
		}
		if n := len(client.Actions()); n != reads {
			t.Errorf("got %d reads within the TTL, want none", n-reads)
		}
		time.Sleep(contactTTL)
		c.of("team")
		if n := len(client.Actions()); n != reads+1 {
			t.Errorf("got %d reads after the TTL, want 1", n-reads)
		}
	})
}
