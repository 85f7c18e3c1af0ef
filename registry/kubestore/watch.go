package kubestore

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"drey.dev/drey/registry/kubestore/internal/codec"
)

// watch watches the objects of a resource. It decodes the events itself: client-go's decoder scans each
// five times, which was most of the CPU of the start of a large registry.
func (s *Store) watch(ctx context.Context, r *codec.Resource, o metav1.ListOptions) (watch.Interface, error) {
	namespace := s.options.PlatformNamespace
	o.Watch = true
	body, err := s.objects.Get().NamespaceIfScoped(namespace, namespace != "").Resource(r.Plural).VersionedParams(&o, metav1.ParameterCodec).Stream(ctx)
	if err != nil {
		return nil, err
	}
	return watch.NewStreamWatcher(newEventDecoder(r, body), apierrors.NewClientErrorReporter(http.StatusInternalServerError, "GET", "ClientWatchDecoding")), nil
}

// eventDecoder decodes the events of a watch.
type eventDecoder struct {
	resource *codec.Resource
	body     io.ReadCloser
	in       *jsontext.Decoder
	event    event
}

var _ watch.Decoder = (*eventDecoder)(nil)

// event is an event of a watch.
type event struct {
	Type   watch.EventType `json:"type"`
	Object jsontext.Value  `json:"object"`
}

// lenient accepts what encoding/json does.
var lenient = jsonv2.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// skipFields leaves out the fields of managedFields, of which the codec reads the times: they are most of
// an object.
var skipFields = jsonv2.WithUnmarshalers(jsonv2.UnmarshalFromFunc(func(in *jsontext.Decoder, _ *metav1.FieldsV1) error { return in.SkipValue() }))

func newEventDecoder(r *codec.Resource, body io.ReadCloser) *eventDecoder {
	return &eventDecoder{resource: r, body: body, in: jsontext.NewDecoder(body, lenient)}
}

// Decode implements watch.Decoder.
func (d *eventDecoder) Decode() (watch.EventType, runtime.Object, error) {
	if err := jsonv2.UnmarshalDecode(d.in, &d.event); err != nil {
		return "", nil, err
	}
	var o runtime.Object
	switch d.event.Type {
	case watch.Added, watch.Modified, watch.Deleted, watch.Bookmark:
		o = d.resource.New()
	case watch.Error:
		o = &metav1.Status{}
	default:
		return "", nil, fmt.Errorf("invalid type of a watch event: %q", d.event.Type)
	}
	if err := jsonv2.Unmarshal(bytes.TrimSpace(d.event.Object), o, lenient, skipFields); err != nil {
		return "", nil, fmt.Errorf("decode a watch event: %w", err)
	}
	o.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{}) // as client-go does for typed objects
	return d.event.Type, o, nil
}

// Close implements watch.Decoder.
func (d *eventDecoder) Close() { _ = d.body.Close() } // nothing was written
