package rest

import (
	"bytes"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"drey.dev/drey/registry"
)

// fieldValue returns the value of a header field that is a list: its lines, joined by commas.
func fieldValue(r *http.Request, name string) string {
	return strings.Join(r.Header.Values(name), ",")
}

// matches reports whether an If-None-Match header lists the tag.
func matches(header, tag string) bool {
	for part := range strings.SplitSeq(header, ",") {
		part = strings.TrimPrefix(strings.TrimSpace(part), "W/")
		if part == tag || part == "*" {
			return true
		}
	}
	return false
}

var (
	// tagsPattern matches a list of entity tags, as RFC 9110 defines it, and ETags of [etag]
	// without quotes. openapi.yaml has it too.
	tagsPattern = regexp.MustCompile(`^[ \t,]*(?:` + tagPattern.String() + `[ \t]*(?:,[ \t,]*` + tagPattern.String() + `[ \t]*)*)(?:,[ \t,]*)?$`)
	tagPattern  = regexp.MustCompile(`(?:(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"|[^", \t.*]+[.][1-9][0-9]{0,8})`)

	// ownTagPattern matches an ETag of [etag], also without quotes. Compressing proxies weaken ETags,
	// which still identify a version.
	ownTagPattern = regexp.MustCompile(`^(?:W/)?"?([^", .]+)[.]([1-9][0-9]{0,8})"?$`)
)

// readTags returns the revisions in a header field that lists entity tags, nil without the field.
// Tags of other servers identify no object. star reports that the field is *.
func readTags(r *http.Request, name string) (star bool, revisions []registry.Revision, err error) {
	header := strings.TrimSpace(fieldValue(r, name))
	switch {
	case header == "":
		return false, nil, nil
	case header == "*":
		return true, nil, nil
	case !tagsPattern.MatchString(header):
		return false, nil, badRequest("the %s header is %q, which is not a list of ETags: use the ETag in the response with the object, or omit it", name, header)
	}
	revisions = []registry.Revision{}
	for _, tag := range tagPattern.FindAllString(header, -1) {
		if parts := ownTagPattern.FindStringSubmatch(tag); parts != nil {
			version, _ := strconv.ParseInt(parts[2], 10, 32) // at most 9 digits
			revisions = append(revisions, registry.Revision{ID: parts[1], Version: int32(version)})
		}
	}
	return false, revisions, nil
}

// readPrecondition returns what If-Match and If-None-Match require, as in RFC 9110, section 13.1.
func readPrecondition(r *http.Request) (p registry.Precondition, err error) {
	if p.Exists, p.AnyOf, err = readTags(r, "If-Match"); err != nil {
		return p, err
	}
	p.Absent, p.NoneOf, err = readTags(r, "If-None-Match")
	return p, err
}

// deleteOptions is the body of a DELETE, as clients of the Kubernetes API send it. Objects of the
// registry have no dependents and no grace period, so the other options change nothing.
type deleteOptions struct {
	Preconditions preconditions `json:"preconditions"`
	DryRun        []string      `json:"dryRun"`
}

type preconditions struct {
	UID             string  `json:"uid"`
	ResourceVersion version `json:"resourceVersion"`
}

// readDeleteOptions returns the options in the body of a DELETE, which may be empty.
func readDeleteOptions(r *http.Request) (deleteOptions, error) {
	var options deleteOptions
	if len(bytes.TrimSpace(infoOf(r).body)) == 0 {
		return options, nil
	}
	text, err := readBody(r)
	if err != nil {
		return options, err
	}
	if string(bytes.TrimSpace(text.json)) == "null" {
		return options, nil
	}
	if err := text.decode(&options); err != nil {
		return options, err
	}
	if len(options.DryRun) > 0 {
		return options, badRequest("dryRun is not supported: nothing was deleted; omit it to delete")
	}
	return options, nil
}

// readDeletion returns the precondition of a DELETE, of its header and its body.
func readDeletion(r *http.Request) (registry.Precondition, error) {
	p, err := readPrecondition(r)
	if err != nil {
		return p, err
	}
	options, err := readDeleteOptions(r)
	p.ID, p.Version = options.Preconditions.UID, int32(options.Preconditions.ResourceVersion)
	return p, err
}
