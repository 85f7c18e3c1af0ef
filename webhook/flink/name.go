package flink

import "strings"

// nameRole is a role in the value of a label, or in the name of a container.
type nameRole struct {
	role   Role
	mode   Mode
	flinks bool // in Flink's spelling
	suffix bool // the name ends with the role: dedup-jobmanager is a JobManager, jobmanager-client may be anything
}

// roleNames are the common spellings of the roles. job-cluster is the JobManager of an
// application in the documentation of Flink before 1.11.
var roleNames = []struct {
	name string
	role nameRole
}{
	{"jobmanager", nameRole{role: JobManager, flinks: true}}, {"job-manager", nameRole{role: JobManager}}, {"job_manager", nameRole{role: JobManager}},
	{"taskmanager", nameRole{role: TaskManager, flinks: true}}, {"task-manager", nameRole{role: TaskManager}}, {"task_manager", nameRole{role: TaskManager}},
	{"job-cluster", nameRole{role: JobManager, mode: Application}},
}

// nameRoleOf returns the role among the words of a name.
func nameRoleOf(name string) (found nameRole) {
	if len(name) < len("jobmanager") {
		return found
	}
	for _, r := range roleNames {
		i := strings.LastIndex(name, r.name)
		if i < 0 || i > 0 && !isSeparator(name[i-1]) {
			continue
		}
		switch end := i + len(r.name); {
		case end == len(name):
			r.role.suffix = true
			return r.role
		case isSeparator(name[end]) && found.role == UnknownRole:
			found = r.role
		}
	}
	return found
}

// fill sets the role and the mode that are unknown so far.
func (n *nameRole) fill(other nameRole) {
	if n.role == UnknownRole {
		n.role = other.role
	}
	if n.mode == UnknownMode {
		n.mode = other.mode
	}
}

func isSeparator(c byte) bool { return c == '-' || c == '_' || c == '.' || c == '/' }

// hasWord reports whether a name contains a word between separators.
func hasWord(name, word string) bool { return lastWord(name, word) >= 0 }

// lastWord returns the index of the last occurrence of a word between separators in a name, -1
// if there is none.
func lastWord(name, word string) int {
	for rest := name; ; {
		i := strings.LastIndex(rest, word)
		if i < 0 {
			return -1
		}
		if end := i + len(word); (i == 0 || isSeparator(name[i-1])) && (end == len(name) || isSeparator(name[end])) {
			return i
		}
		rest = name[:i+len(word)-1]
	}
}

// repositoryOf returns an image reference without tag and digest.
func repositoryOf(image string) string {
	image, _, _ = strings.Cut(image, "@")
	last := strings.LastIndexByte(image, '/') + 1
	name, _, _ := strings.Cut(image[last:], ":")
	return image[:last+len(name)]
}

// hasSegment reports whether a repository has a path segment.
func hasSegment(repository, segment string) bool {
	for s := range strings.SplitSeq(repository, "/") {
		if s == segment {
			return true
		}
	}
	return false
}
