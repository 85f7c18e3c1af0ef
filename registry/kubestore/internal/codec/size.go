package codec

import "drey.dev/drey/registry"

// Size returns the bytes that a custom resource counts against the quota: those of the object
// as REST shows it, and of the metadata that REST hides, such as kubectl's annotation.
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
