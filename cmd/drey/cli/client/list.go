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
	query.Set("limit", strconv.Itoa(pageSize))
	for {
		p, err := get[T](ctx, c, path, query)
		if err != nil {
			return nil, 0, err
		}
		items, total = append(items, p.Items...), p.Metadata.Total
		if p.Metadata.Continue == "" {
			return items, total, nil
		}
		query.Set("continue", p.Metadata.Continue)
	}
}

// Items reads a list without pages.
func Items[T any](ctx context.Context, c *Client, path string, query url.Values) ([]T, error) {
	p, err := get[T](ctx, c, path, query)
	return p.Items, err
}

// page is a list, or a part of it.
type page[T any] struct {
	Metadata struct {
		Total    int
		Continue string
	}
	Items []T
}

func get[T any](ctx context.Context, c *Client, path string, query url.Values) (p page[T], err error) {
	text, _, err := c.Do(ctx, http.MethodGet, path+"?"+query.Encode(), nil)
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return p, fmt.Errorf("unexpected response: %w; --server is not the REST API of this version of drey", err)
	}
	return p, nil
}
