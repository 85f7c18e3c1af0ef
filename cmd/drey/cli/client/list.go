package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// pageSize is the number of items per request of List.
const pageSize = 500

// List reads all pages of a list.
func List[T any](ctx context.Context, c *Client, path string, query url.Values) (items []T, total int, err error) {
	if path != "/drey/v1/usage" { // has no pages
		query.Set("limit", strconv.Itoa(pageSize))
	}
	for {
		text, _, err := c.Do(ctx, http.MethodGet, path+"?"+query.Encode(), nil)
		if err != nil {
			return nil, 0, err
		}
		var list struct {
			Metadata struct {
				Total    int
				Continue string
			}
			Items []T
		}
		if err := json.Unmarshal(text, &list); err != nil {
			return nil, 0, fmt.Errorf("unexpected response: %w; --server is not the REST API of this version of drey", err)
		}
		items, total = append(items, list.Items...), list.Metadata.Total
		if list.Metadata.Continue == "" {
			return items, total, nil
		}
		query.Set("continue", list.Metadata.Continue)
	}
}
