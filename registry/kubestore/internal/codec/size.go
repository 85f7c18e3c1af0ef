package codec

import "drey.dev/drey/registry"

// Size is registry.Object.Size of an object as REST shows it, and the metadata that REST
// hides: kubectl's copy of the object in an annotation is as large as the spec.
func Size(o Object, view registry.Object) int64 {
	n := view.Size()
	for k, v := range o.GetAnnotations() {
		if isHidden(k) {
			n += int64(len(k) + len(v))
		}
	}
	for _, f := range o.GetFinalizers() {
		n += int64(len(f))
	}
	for _, r := range o.GetOwnerReferences() {
		n += int64(len(r.APIVersion) + len(r.Kind) + len(r.Name) + len(r.UID))
	}
	return n
}
