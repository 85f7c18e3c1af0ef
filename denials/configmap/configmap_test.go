package configmap

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"drey.dev/drey/denials"
)

const namespace = "drey-system"

var resource = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

// stored returns the ConfigMap with a document of a revision, or with other content.
func stored(t *testing.T, revision int64, content []byte) *corev1.ConfigMap {
	t.Helper()
	if content == nil {
		var err error
		if content, err = (denials.Document{Revision: revision}).Encode(); err != nil {
			t.Fatal(err)
		}
	}
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: Name}, BinaryData: map[string][]byte{key: content, "other": []byte("x")}}
}

func next(d denials.Document) denials.Document { d.Revision++; return d }

// TestUpdate checks the document after an update, and that a conflicting write is repeated with the
// document of the other replica.
func TestUpdate(t *testing.T) {
	conflict := apierrors.NewConflict(resource.GroupResource(), Name, errors.New("changed"))
	for rule, c := range map[string]struct {
		before *corev1.ConfigMap
		verb   string // of requests that fail
		err    error
		fails  int // requests
		want   string
	}{
		"no ConfigMap":                        {nil, "", nil, 0, "revision 1 <nil>"},
		"ConfigMap":                           {stored(t, 4, nil), "", nil, 0, "revision 5 <nil>"},
		"ConfigMap without data":              {&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: Name}}, "", nil, 0, "revision 1 <nil>"},
		"document that is not readable":       {stored(t, 0, []byte("no gzip")), "", nil, 0, "revision 1 <nil>"},
		"write of another replica":            {stored(t, 4, nil), "update", conflict, 1, "revision 6 <nil>"},
		"write of another replica, each time": {stored(t, 4, nil), "update", conflict, 100, "changed"},
		"creation by another replica":         {nil, "create", apierrors.NewAlreadyExists(resource.GroupResource(), Name), 1, "revision 2 <nil>"},
		"namespace that does not exist":       {nil, "create", apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, namespace), 1, `namespace "drey-system" does not exist: create it, or set --namespace: `},
		"forbidden read":                      {stored(t, 4, nil), "get", apierrors.NewForbidden(resource.GroupResource(), Name, errors.New("no right")), 1, "no right"},
		"API server unavailable":              {stored(t, 4, nil), "update", apierrors.NewServiceUnavailable("etcd is down"), 1, "etcd is down"},
	} {
		t.Run(rule, func(t *testing.T) {
			client := fake.NewClientset()
			if c.before != nil {
				client = fake.NewClientset(c.before)
			}
			fails := c.fails
			client.PrependReactor(c.verb, "configmaps", func(a clienttesting.Action) (bool, runtime.Object, error) {
				if fails == 0 {
					return false, nil, nil
				}
				fails--
				switch other := stored(t, 5, nil); {
				case apierrors.IsConflict(c.err):
					return true, nil, errors.Join(c.err, client.Tracker().Update(resource, other, namespace))
				case apierrors.IsAlreadyExists(c.err):
					return true, nil, errors.Join(c.err, client.Tracker().Create(resource, stored(t, 1, nil), namespace))
				}
				return true, nil, c.err
			})
			s := &Store{client.CoreV1().ConfigMaps(namespace), namespace}
			err := s.Update(t.Context(), next)
			got := fmt.Sprint(err)
			if err == nil {
				d, errRead := s.Read(t.Context())
				got = fmt.Sprintf("revision %d %v", d.Revision, errRead)
			}
			if !strings.Contains(got, c.want) {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if err == nil && c.before != nil && c.before.BinaryData != nil {
				found, err := s.client.Get(t.Context(), Name, metav1.GetOptions{})
				if err != nil || string(found.BinaryData["other"]) != "x" {
					t.Errorf("another key: %v, %v", found.BinaryData, err)
				}
			}
		})
	}
}

// TestRead checks what readers without a watch get.
func TestRead(t *testing.T) {
	for rule, c := range map[string]struct {
		before *corev1.ConfigMap
		fail   error
		want   string
	}{
		"ConfigMap":    {stored(t, 4, nil), nil, "4 <nil>"},
		"no ConfigMap": {nil, nil, "0 <nil>"},
		"not readable": {stored(t, 0, []byte("no gzip")), nil, "0 history of denials is not readable"},
		"forbidden":    {nil, apierrors.NewForbidden(resource.GroupResource(), Name, errors.New("no right")), "no right"},
	} {
		client := fake.NewClientset()
		if c.before != nil {
			client = fake.NewClientset(c.before)
		}
		client.PrependReactor("get", "*", func(clienttesting.Action) (bool, runtime.Object, error) { return c.fail != nil, nil, c.fail })
		d, err := (&Store{client.CoreV1().ConfigMaps(namespace), namespace}).Read(t.Context())
		if got := fmt.Sprint(d.Revision, " ", err); !strings.Contains(got, c.want) {
			t.Errorf("%s: got %s, want %s", rule, got, c.want)
		}
	}
}
