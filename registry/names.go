package registry

// names keeps one copy of each of a few names that many objects have. What comes
// decoded from a store has copies of its own.
type names map[string]string

func (n names) one(name string) string {
	if kept, ok := n[name]; ok {
		return kept
	}
	n[name] = name
	return name
}
