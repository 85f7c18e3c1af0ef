package registry

// Group is the API group of drey's custom resources, and the prefix of its labels and
// annotations.
const Group = "drey.dev"
