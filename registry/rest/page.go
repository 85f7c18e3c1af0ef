package rest

import (
	"encoding/hex"
	"net/http"
	"net/url"
	"sort"
	"strconv"

	"drey.dev/drey/registry"
)

// readQuery parses the query. It must not ignore errors: a list without its selector is complete.
func readQuery(r *http.Request) (url.Values, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badRequest("the query %q is not valid: %v: escape it as in a URL", r.URL.RawQuery, err)
	}
	return query, nil
}

// checkQuery refuses parameters of the Kubernetes API without which a request means something
// else, and which this API does not have. Other unknown parameters are ignored.
func checkQuery(method string, r *http.Request) error {
	if r.URL.RawQuery == "" {
		return nil
	}
	query, err := readQuery(r)
	if err != nil {
		return err
	}
	if method != http.MethodGet {
		if query.Get("dryRun") != "" {
			return badRequest("dryRun is not supported: nothing was written; omit it to write")
		}
		return nil
	}
	if query.Get("fieldSelector") != "" {
		return badRequest("fieldSelector is not supported: GET an object by its name, or select by labelSelector")
	}
	if isTrue(query, "watch") {
		return badRequest("watch is not supported: GET again for the present state")
	}
	return nil
}

// isTrue reports whether a parameter is present, as the Kubernetes API reads booleans: only
// false and 0 are false.
func isTrue(query url.Values, name string) bool {
	value := query.Get(name)
	return query.Has(name) && value != "false" && value != "0"
}

// page returns the page of a list, ordered by name, that ?limit= and ?continue= select, and the
// token of the next page, "" on the last one. The default is the whole list: Ververica Platform
// has no pages.
//
// The token is the last name of the previous page. Pages neither skip nor repeat an object that
// exists throughout, also if the object of the token is deleted.
func page(objects []registry.Object, query url.Values) (cut []registry.Object, next string, err error) {
	if token := query.Get("continue"); token != "" {
		last, err := hex.DecodeString(token)
		if err != nil {
			return nil, "", badRequest("continue is %q, which is not a token: use metadata.continue of the previous page, or omit it", token)
		}
		first := sort.Search(len(objects), func(i int) bool { return objects[i].Metadata.Name > string(last) })
		objects = objects[first:]
	}
	text := query.Get("limit")
	if text == "" {
		return objects, "", nil
	}
	parsed, err := strconv.ParseInt(text, 10, 32)
	if err != nil || parsed < 1 {
		return nil, "", badRequest("limit is %q: use an integer from 1 to 2147483647", text)
	}
	limit := int(parsed)
	if limit >= len(objects) {
		return objects, "", nil
	}
	return objects[:limit], hex.EncodeToString([]byte(objects[limit-1].Metadata.Name)), nil
}
