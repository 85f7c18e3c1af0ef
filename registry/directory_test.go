package registry

import "testing"

// TestChangedID shows what becomes of an id when an object, which kubectl may annotate,
// gets another: nothing has it any more, unless another object has taken it by then.
func TestChangedID(t *testing.T) {
	object := func(name, id string) Object {
		return Object{Kind: Deployment, Metadata: Metadata{Namespace: "default", Name: name, ID: id}, Spec: []byte("{}")}
	}
	for rule, c := range map[string]struct {
		events []Event
		want   map[string]string // names by id
	}{
		"the old id is free": {
			[]Event{{Added, object("a", "1")}, {Modified, object("a", "2")}},
			map[string]string{"1": "", "2": "a"},
		},
		"every one of many is": {
			[]Event{{Added, object("a", "1")}, {Modified, object("a", "2")}, {Modified, object("a", "3")}},
			map[string]string{"1": "", "2": "", "3": "a"},
		},
		"another that has it by then keeps it": {
			[]Event{{Added, object("a", "1")}, {Added, object("b", "1")}, {Modified, object("a", "2")}},
			map[string]string{"1": "b", "2": "a"},
		},
		"also when the first is deleted": {
			[]Event{{Added, object("a", "1")}, {Added, object("b", "1")}, {Deleted, object("a", "1")}},
			map[string]string{"1": "b"},
		},
		"a deleted object has none": {
			[]Event{{Added, object("a", "1")}, {Modified, object("a", "2")}, {Deleted, object("a", "2")}},
			map[string]string{"1": "", "2": ""},
		},
	} {
		t.Run(rule, func(t *testing.T) {
			d, x := newDirectory(), NewIndex("drey-system")
			for _, e := range c.events {
				d.observe(e)
				x.observe(e)
			}
			for id, name := range c.want {
				if key, ok := d.byID(id); ok != (name != "") || key.Name != name {
					t.Errorf("the directory says that %s is the id of %+v, want %q", id, key, name)
				}
				if r, ok := x.ByID(id); ok != (name != "") || r.Name != name {
					t.Errorf("the index says that %s is the id of %+v, want %q", id, r, name)
				}
			}
		})
	}
}
