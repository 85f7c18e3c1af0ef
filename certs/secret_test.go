package certs

import (
	"bytes"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"drey.dev/drey/certs/rotation"
)

// full returns material with both CAs and a leaf.
func full(t testing.TB) rotation.Material {
	t.Helper()
	var m rotation.Material
	var err error
	for _, step := range []rotation.Step{rotation.Bootstrap, rotation.StageCA} {
		if m, err = simulated.Apply(m, rotation.Observed{}, step, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// TestSecretRoundTrip: encoded material decodes to itself, and other keys are kept.
func TestSecretRoundTrip(t *testing.T) {
	m := full(t)
	s := newSecret("drey-system")
	s.Data = map[string][]byte{"note": []byte("kept")}
	s, err := encode(s, m)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decode(s.Data)
	if err != nil {
		t.Fatal(err)
	}
	if !rotation.SameBundle(got.Bundle, m.Bundle) || !got.Leaf.Leaf.Equal(m.Leaf.Leaf) || !got.CA.Key.Equal(m.CA.Key) || !got.CA.Cert.Equal(m.CA.Cert) || !got.Next.Key.Equal(m.Next.Key) || !got.Next.Cert.Equal(m.Next.Cert) {
		t.Errorf("got %+v, want %+v", got, m)
	}
	if string(s.Data["note"]) != "kept" {
		t.Error("other data of the Secret is lost")
	}
	m.Next = nil
	if s, err = encode(s, m); err != nil || s.Data[nextCAKey] != nil {
		t.Errorf("the key of a promoted CA is still in the Secret: %v", err)
	}
}

// TestDecodeDamagedPart: a damaged key of the Secret is named in the error, and the others
// are decoded.
func TestDecodeDamagedPart(t *testing.T) {
	for part, c := range map[string]struct {
		text string
		left func(rotation.Material) bool
	}{
		corev1.TLSCertKey: {"x", func(m rotation.Material) bool {
			return m.Leaf == nil && m.CA != nil && m.Next != nil && len(m.Bundle) == 2
		}},
		corev1.TLSPrivateKeyKey: {"", func(m rotation.Material) bool {
			return m.Leaf == nil && m.CA != nil && m.Next != nil && len(m.Bundle) == 2
		}},
		caKey: {"x", func(m rotation.Material) bool {
			return m.Leaf != nil && m.CA == nil && m.Next != nil && len(m.Bundle) == 2
		}},
		nextCAKey: {"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", func(m rotation.Material) bool {
			return m.Leaf != nil && m.CA != nil && m.Next == nil && len(m.Bundle) == 2
		}},
		caCert: {"x", func(m rotation.Material) bool {
			return m.Leaf != nil && m.CA == nil && m.Next == nil && len(m.Bundle) == 0
		}},
	} {
		t.Run(part, func(t *testing.T) {
			s, err := encode(newSecret("drey-system"), full(t))
			if err != nil {
				t.Fatal(err)
			}
			s.Data[part] = []byte(c.text)
			got, err := decode(s.Data)
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("got %v, want an error that names %s", err, part)
			}
			if !c.left(got) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// FuzzSecret: arbitrary data is decoded without a panic, has a next step, and survives
// encoding.
func FuzzSecret(f *testing.F) {
	s, err := encode(newSecret("drey-system"), full(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey], s.Data[caCert], s.Data[caKey], s.Data[nextCAKey])
	f.Add([]byte("x"), []byte(nil), []byte("-----BEGIN"), []byte("-----BEGIN PRIVATE KEY-----\n\n-----END PRIVATE KEY-----\n"), []byte("x"))
	f.Fuzz(func(t *testing.T, cert, key, ca, caPrivate, next []byte) {
		m, _ := decode(map[string][]byte{corev1.TLSCertKey: cert, corev1.TLSPrivateKeyKey: key, caCert: ca, caKey: caPrivate, nextCAKey: next})
		if _, err := simulated.Apply(m, rotation.Observed{}, simulated.Plan(m, rotation.Observed{}, time.Now()).Step, time.Now()); err != nil {
			t.Fatal(err)
		}
		s, err := encode(newSecret("drey-system"), m)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decode(s.Data)
		if err != nil {
			t.Fatalf("encoded material cannot be decoded: %v", err)
		}
		if !bytes.Equal(encodeCerts(again.Bundle), encodeCerts(m.Bundle)) || (again.CA == nil) != (m.CA == nil) || (again.Leaf == nil) != (m.Leaf == nil) {
			t.Errorf("got %+v, want %+v", again, m)
		}
	})
}
