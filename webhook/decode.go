package webhook

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	jsonv2 "github.com/go-json-experiment/json"

	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/scan"
)

// decoder decodes reviews into memory that it uses again. T is the type of the object.
//
// A scanner reads the usual forms of a review, several times as fast as package json. Any other
// form, and any invalid one, is decoded by package json, whose errors have a position. See
// docs/explanation/decisions/003-json-decoding.md.
type decoder[T any] struct {
	scanner     scan.Scanner
	review      review[T]
	request     request[T]
	object, old T
	patch       []byte // memory for the patch of an answer
}

// scannable is a type that a scanner can read.
type scannable interface {
	scan(*scan.Scanner)

	// reset empties the value, and keeps the memory of its lists and maps.
	reset()
}

// decoders hold decoders of one type.
type decoders[T any] struct{ pool sync.Pool }

func (p *decoders[T]) get() *decoder[T] {
	if d, ok := p.pool.Get().(*decoder[T]); ok {
		return d
	}
	return new(decoder[T])
}

// put returns a decoder. Its request must not be used any more.
func (p *decoders[T]) put(d *decoder[T]) {
	d.reset()
	p.pool.Put(d)
}

// reset empties a decoder for the next review. It frees the memory of long lists.
func (d *decoder[T]) reset() {
	d.scanner.Reset(nil)
	d.review, d.request = review[T]{}, request[T]{}
	if object, ok := any(&d.object).(scannable); ok {
		object.reset()
		any(&d.old).(scannable).reset()
	}
}

// decode decodes a review with a request, which is valid until reset and aliases body. Its
// errors are for the client.
func (d *decoder[T]) decode(body []byte) (*request[T], error) {
	r := &d.review
	if !d.scan(body) {
		r = new(review[T])
		if err := jsonv2.Unmarshal(body, r, decodeOptions); err != nil {
			return nil, fmt.Errorf("invalid AdmissionReview: %w", err)
		}
	}
	req, err := r.valid()
	if err == nil {
		req.patch = d.patch[:0]
	}
	return req, err
}

// valid returns the request of a review that has all that a webhook needs.
func (r *review[T]) valid() (*request[T], error) {
	switch {
	case r.Kind != "AdmissionReview":
		return nil, fmt.Errorf("invalid kind %q: want AdmissionReview", r.Kind)
	case r.APIVersion != "admission.k8s.io/v1":
		return nil, fmt.Errorf("unsupported apiVersion %q: want admission.k8s.io/v1", r.APIVersion)
	case r.Request == nil:
		return nil, errors.New("invalid AdmissionReview: no request")
	case r.Request.UID == "":
		return nil, errors.New("invalid AdmissionReview: no request.uid")
	case r.Request.Object == nil && r.Request.Operation == "CREATE":
		return nil, errors.New("invalid AdmissionReview: CREATE without object")
	case (r.Request.Object == nil || r.Request.OldObject == nil) && r.Request.Operation == "UPDATE":
		return nil, errors.New("invalid AdmissionReview: UPDATE without object or oldObject")
	}
	return r.Request, nil
}

// scan reads a review into d.review. It returns false if package json has to decode it.
func (d *decoder[T]) scan(body []byte) bool {
	if _, ok := any(&d.object).(scannable); !ok {
		return false
	}
	s, r := &d.scanner, &d.review
	s.Reset(body)
	for more := s.Object(); more; more = s.NextMember() {
		switch string(s.Name()) {
		case "apiVersion":
			r.APIVersion = s.Text()
		case "kind":
			r.Kind = s.Text()
		case "request":
			d.scanRequest(s)
		default:
			s.Skip()
		}
	}
	return s.End()
}

func (d *decoder[T]) scanRequest(s *scan.Scanner) {
	if s.Null() {
		d.review.Request, d.request = nil, request[T]{}
		return
	}
	r := &d.request
	d.review.Request = r
	for more := s.Object(); more; more = s.NextMember() {
		switch string(s.Name()) {
		case "uid":
			r.UID = s.Text()
		case "kind":
			r.Kind.scan(s)
		case "subResource":
			r.SubResource = s.Text()
		case "name":
			r.Name = s.Text()
		case "namespace":
			r.Namespace = s.Text()
		case "operation":
			r.Operation = s.Text()
		case "dryRun":
			r.DryRun = s.Bool()
		case "userInfo":
			r.UserInfo = s.Raw()
		case "object":
			r.Object = scanObject(s, &d.object, r.Object)
		case "oldObject":
			r.OldObject = scanObject(s, &d.old, r.OldObject)
		default:
			s.Skip()
		}
	}
}

// scanObject reads an object or null into memory. Like package json, it merges an object with
// that of an earlier member of the same name.
func scanObject[T any](s *scan.Scanner, into, earlier *T) *T {
	o := any(into).(scannable)
	if earlier == nil {
		o.reset()
	}
	if s.Null() {
		return nil
	}
	o.scan(s)
	return into
}

func (k *kindName) scan(s *scan.Scanner) {
	if s.Null() {
		k.Kind = ""
		return
	}
	for more := s.Object(); more; more = s.NextMember() {
		if string(s.Name()) == "kind" {
			k.Kind = s.Text()
		} else {
			s.Skip()
		}
	}
}

func (p *pod) scan(s *scan.Scanner) {
	for more := s.Object(); more; more = s.NextMember() {
		switch string(s.Name()) {
		case "metadata":
			p.Metadata.scan(s)
		case "spec":
			p.Spec.scan(s)
		default:
			s.Skip()
		}
	}
}

func (l *labeled) scan(s *scan.Scanner) {
	for more := s.Object(); more; more = s.NextMember() {
		if string(s.Name()) == "metadata" {
			l.Metadata.scan(s)
		} else {
			s.Skip()
		}
	}
}

func (c *custom) scan(s *scan.Scanner) {
	for more := s.Object(); more; more = s.NextMember() {
		switch string(s.Name()) {
		case "metadata":
			c.Metadata.scan(s)
		case "spec":
			c.Spec = s.Raw()
		default:
			s.Skip()
		}
	}
}

func (w *workload) scan(s *scan.Scanner) {
	for more := s.Object(); more; more = s.NextMember() {
		switch string(s.Name()) {
		case "metadata":
			w.Metadata.scan(s)
		case "spec":
			w.scanSpec(s)
		default:
			s.Skip()
		}
	}
}

func (w *workload) scanSpec(s *scan.Scanner) {
	job := &w.Spec.JobTemplate.Spec
	if s.Null() {
		w.Spec.Template.reset()
		job.Template.reset()
		return
	}
	for more := s.Object(); more; more = s.NextMember() {
		switch string(s.Name()) {
		case "template":
			w.Spec.Template.scanOrNull(s)
		case "jobTemplate":
			scanMember(s, "spec", job.Template.reset, func() { scanMember(s, "template", job.Template.reset, func() { job.Template.scanOrNull(s) }) })
		default:
			s.Skip()
		}
	}
}

// scanMember reads one member of an object by read. It calls reset for null.
func scanMember(s *scan.Scanner, name string, reset, read func()) {
	if s.Null() {
		reset()
		return
	}
	for more := s.Object(); more; more = s.NextMember() {
		if string(s.Name()) == name {
			read()
		} else {
			s.Skip()
		}
	}
}

func (p *pod) scanOrNull(s *scan.Scanner) {
	if s.Null() {
		p.reset()
		return
	}
	p.scan(s)
}

func (m *metadata) scan(s *scan.Scanner) {
	if s.Null() {
		m.reset()
		return
	}
	for more := s.Object(); more; more = s.NextMember() {
		switch string(s.Name()) {
		case "name":
			m.Name = s.Text()
		case "generateName":
			m.GenerateName = s.Text()
		case "uid":
			m.UID = s.Text()
		case "labels":
			m.Labels = scanMap(s, m.Labels)
		case "annotations":
			m.Annotations = scanMap(s, m.Annotations)
		case "ownerReferences":
			m.OwnerReferences = scanList(s, m.OwnerReferences, (*ownerReference).scan)
		case "deletionTimestamp":
			m.Deletion = s.Text()
		case "managedFields":
			m.ManagedFields = scanList(s, m.ManagedFields, (*manager).scan)
		default:
			s.Skip()
		}
	}
}

func (m *manager) scan(s *scan.Scanner) {
	scanMember(s, "manager", func() {}, func() { m.Manager = s.Text() })
}

func (n *named) scan(s *scan.Scanner) {
	scanMember(s, "name", func() {}, func() { n.Name = s.Text() })
}

func (o *ownerReference) scan(s *scan.Scanner) {
	if s.Null() {
		return
	}
	for more := s.Object(); more; more = s.NextMember() {
		switch string(s.Name()) {
		case "apiVersion":
			o.APIVersion = s.Text()
		case "kind":
			o.Kind = s.Text()
		case "name":
			o.Name = s.Text()
		case "uid":
			o.UID = s.Text()
		case "controller":
			o.Controller = s.Bool()
		default:
			s.Skip()
		}
	}
}

func (p *podSpec) scan(s *scan.Scanner) {
	if s.Null() {
		p.reset()
		return
	}
	for more := s.Object(); more; more = s.NextMember() {
		switch string(s.Name()) {
		case "containers":
			p.Containers = scanList(s, p.Containers, (*container).scan)
		case "initContainers":
			p.InitContainers = scanList(s, p.InitContainers, (*container).scan)
		case "volumes":
			p.Volumes = scanList(s, p.Volumes, (*named).scan)
		default:
			s.Skip()
		}
	}
}

func (c *container) scan(s *scan.Scanner) {
	if s.Null() {
		return
	}
	hasEnv := false
	for more := s.Object(); more; more = s.NextMember() {
		switch string(s.Name()) {
		case "name":
			c.Name = s.Text()
		case "image":
			c.Image = s.Text()
		case "command":
			c.Command = s.Texts()
		case "args":
			c.Args = s.Texts()
		case "restartPolicy":
			c.RestartPolicy = s.Text()
		case "env":
			c.Env.scan(s, c.expands())
			hasEnv = !c.expands()
		default:
			s.Skip()
		}
	}
	if hasEnv && c.expands() { // the command line comes after the variables
		s.Fail()
	}
}

// expands reports whether the command line may refer to variables.
func (c *container) expands() bool {
	refers := func(word string) bool { return strings.IndexByte(word, '$') >= 0 }
	return slices.ContainsFunc(c.Command, refers) || slices.ContainsFunc(c.Args, refers)
}

// scan reads the variables of Flink, and with expands those whose value may be a part of a start
// of Flink. Unlike UnmarshalJSONFrom it leaves out all others, which recognition does not read.
func (v *variables) scan(s *scan.Scanner, expands bool) {
	if len(*v) > 0 { // of an earlier member, which UnmarshalJSONFrom keeps or replaces
		s.Fail()
		return
	}
	if s.Null() {
		return
	}
	for more := s.Array(); more; more = s.NextElement() {
		var name, value []byte
		if s.Null() {
			continue
		}
		for more := s.Object(); more; more = s.NextMember() {
			switch string(s.Name()) {
			case "name":
				name = s.RawText()
			case "value":
				value = s.RawText()
			default:
				s.Skip()
			}
		}
		if bytes.IndexByte(name, '\\') >= 0 {
			s.Fail()
		}
		if isFlinkVariable(name) || expands && mayStart(s, value) {
			*v = append(*v, variable{s.Unquote(name), s.Unquote(value)})
		}
	}
}

// isFlinkVariable reports whether recognition reads a variable by its name, in JSON.
func isFlinkVariable(name []byte) bool {
	if bytes.HasPrefix(name, []byte(`"FLINK_`)) || string(name) == `"ROLE"` {
		return true
	}
	return len(name) > 2 && slices.ContainsFunc(imageVariables, func(v string) bool { return string(name[1:len(name)-1]) == v })
}

// mayStart reports whether a value, in JSON, may be a part of a start of Flink. It decodes few
// values.
func mayStart(s *scan.Scanner, value []byte) bool {
	const longestRole = len("standalone-job")
	switch {
	case len(value) <= 2:
		return false
	case bytes.IndexByte(value, '\\') >= 0:
		return containsAny(value, ".sh", "org.apache.flink.", `\u`) && flink.MayStart(s.Unquote(value))
	case len(value) > 2+longestRole && !containsAny(value, ".sh", "org.apache.flink."):
		return false
	}
	return flink.MayStart(string(value[1 : len(value)-1]))
}

func containsAny(text []byte, parts ...string) bool {
	return slices.ContainsFunc(parts, func(part string) bool { return bytes.Contains(text, []byte(part)) })
}

// scanMap reads an object of strings, or null, into a map.
func scanMap(s *scan.Scanner, into map[string]string) map[string]string {
	if s.Null() {
		clear(into)
		return into
	}
	for more := s.Object(); more; more = s.NextMember() {
		if into == nil {
			into = make(map[string]string)
		}
		key := s.Key()
		into[key] = s.Text()
	}
	return into
}

// scanList reads an array, or null, into the memory of a list.
func scanList[E any](s *scan.Scanner, into []E, read func(*E, *scan.Scanner)) []E {
	into = into[:0]
	if s.Null() {
		return into
	}
	for more := s.Array(); more; more = s.NextElement() {
		var zero E
		if n := len(into); n == cap(into) {
			into = slices.Grow(into, n) // append leaves four times a long list as garbage
		}
		into = append(into, zero)
		read(&into[len(into)-1], s)
	}
	return into
}

func (p *pod) reset() {
	*p = pod{
		Metadata: p.Metadata, Spec: p.Spec,
		containers: emptyList(p.containers), volumes: emptyList(p.volumes), envs: emptyList(p.envs),
	}
	p.Metadata.reset()
	p.Spec.reset()
}

func (w *workload) reset() {
	w.Metadata.reset()
	w.Spec.Template.reset()
	w.Spec.JobTemplate.Spec.Template.reset()
}

func (l *labeled) reset() { l.Metadata.reset() }

func (c *custom) reset() {
	c.Metadata.reset()
	c.Spec = nil
}

func (m *metadata) reset() {
	*m = metadata{
		Labels: emptyMap(m.Labels), Annotations: emptyMap(m.Annotations), OwnerReferences: emptyList(m.OwnerReferences), ManagedFields: emptyList(m.ManagedFields),
		owners: emptyList(m.owners),
	}
}

func (p *podSpec) reset() {
	*p = podSpec{Containers: emptyList(p.Containers), InitContainers: emptyList(p.InitContainers), Volumes: emptyList(p.Volumes)}
}

// mostKept is the length of the largest map or list whose memory is used again.
const mostKept = 64

func emptyMap(m map[string]string) map[string]string {
	if len(m) > mostKept {
		return nil
	}
	clear(m)
	return m
}

func emptyList[E any](list []E) []E {
	if cap(list) > mostKept {
		return nil
	}
	clear(list)
	return list[:0]
}
