package rest

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"unicode/utf8"

	"drey.dev/drey/registry"
)

// readQuery refuses a query that cannot be read: without its selector, a list
// would be of everything.
func readQuery(r *http.Request) (url.Values, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badRequest("the query %q is not readable: %v. Escape it as in a URL", r.URL.RawQuery, err)
	}
	return query, nil
}

// page cuts a list, which is ordered by name, to what ?limit= and ?continue= ask
// for. next is the continue of the page after it, empty on the last one. Who
// asks for neither gets the whole list: the original has no pages.
//
// The token is the last name of the page before: a page begins behind it, also
// when that object has gone meanwhile, so that no object which stays is missed
// or listed twice.
func page(objects []registry.Object, query url.Values) (cut []registry.Object, next string, err error) {
	if token := query.Get("continue"); token != "" {
		last, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil || !utf8.Valid(last) {
			return nil, "", badRequest("continue is %q: send back metadata.continue of the page before, or leave it out", token)
		}
		behind := sort.Search(len(objects), func(i int) bool { return objects[i].Metadata.Name > string(last) })
		objects = objects[behind:]
	}
	text := query.Get("limit")
	if text == "" {
		return objects, "", nil
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 {
		return nil, "", badRequest("limit is %q, want a whole number from 1", text)
	}
	if limit >= len(objects) {
		return objects, "", nil
	}
	return objects[:limit], base64.RawURLEncoding.EncodeToString([]byte(objects[limit-1].Metadata.Name)), nil
}
