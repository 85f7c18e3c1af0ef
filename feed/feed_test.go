package feed

import "testing"

// TestSubscription: a subscription gets the newest change of each key, once.
func TestSubscription(t *testing.T) {
	var f Feed[string, int]
	f.Publish("before", Change[int]{Value: 1})
	s := f.Subscribe()
	f.Publish("b", Change[int]{Value: 1})
	f.Publish("a", Change[int]{Value: 2})
	f.Publish("b", Change[int]{Value: 3, Deleted: true})
	<-s.Ready()
	got := s.Take()
	if len(got) != 2 || got[0] != (Change[int]{Value: 2}) || got[1] != (Change[int]{Value: 3, Deleted: true}) {
		t.Errorf("changes: %+v", got)
	}
	if more := s.Take(); len(more) != 0 {
		t.Errorf("taken twice: %+v", more)
	}
	s.Close()
	f.Publish("c", Change[int]{Value: 1})
	if late := s.Take(); len(late) != 0 {
		t.Errorf("after Close: %+v", late)
	}
}
