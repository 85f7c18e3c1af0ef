package rest

import (
	"maps"
	"slices"
	"strings"
)

// toSwagger converts the OpenAPI 3.0 description to Swagger 2.0, which the generators of clients of
// Ververica Platform read. Of anyOf it has the first alternative, of several media types the schema
// of JSON. It covers what openapi.yaml uses.
func toSwagger(document map[string]any) map[string]any {
	components := object(document["components"])
	c := swagger{headers: object(components["headers"])}
	out := map[string]any{
		"swagger": "2.0", "info": document["info"], "tags": document["tags"], "basePath": "/", "schemes": []any{"http", "https"},
		"consumes": mediaTypes, "produces": mediaTypes,
		"securityDefinitions": map[string]any{"bearer": map[string]any{
			"type": "apiKey", "in": "header", "name": "Authorization", "description": "Bearer TOKEN",
		}},
		"security":    security(document["security"]),
		"definitions": each(object(components["schemas"]), c.schema),
		"parameters":  each(object(components["parameters"]), c.parameter),
		"responses":   each(object(components["responses"]), c.response),
		"paths": each(object(document["paths"]), func(item any) any {
			return eachMember(object(item), func(method string, value any) any {
				if method == "parameters" {
					return c.parameters(value)
				}
				return c.operation(object(value))
			})
		}),
	}
	return out
}

// csvType is the media type of a report.
const csvType = "text/csv"

var mediaTypes = []any{"application/json", "application/yaml"}

type swagger struct {
	headers map[string]any // that responses refer to
}

func (c swagger) operation(in map[string]any) any {
	out := maps.Clone(in)
	parameters := c.parameters(in["parameters"])
	if body := object(in["requestBody"]); body != nil {
		content := object(body["content"])
		parameters = append(parameters, map[string]any{
			"name": "body", "in": "body", "required": body["required"] == true, "schema": c.schema(object(content["application/json"])["schema"]),
		})
		consumes := []any{}
		for _, mediaType := range slices.Sorted(maps.Keys(content)) {
			consumes = append(consumes, mediaType)
		}
		out["consumes"] = consumes
		delete(out, "requestBody")
	}
	if len(parameters) > 0 {
		out["parameters"] = parameters
	}
	if s, ok := in["security"]; ok {
		out["security"] = security(s)
	}
	responses := object(in["responses"])
	if content := object(object(responses["200"])["content"]); content[csvType] != nil {
		out["produces"] = []any{csvType, "application/json"} // errors are JSON
	}
	out["responses"] = each(responses, c.response)
	return out
}

func (c swagger) parameters(in any) []any {
	list, _ := in.([]any)
	out := []any{}
	for _, p := range list {
		out = append(out, c.parameter(p))
	}
	return out
}

func (c swagger) parameter(in any) any { return c.flattened(object(in)) }

// flattened moves the members of a schema up, as parameters and headers have them in Swagger 2.0.
func (c swagger) flattened(in map[string]any) map[string]any {
	if ref, ok := in["$ref"].(string); ok {
		return map[string]any{"$ref": swaggerRef(ref)}
	}
	out := maps.Clone(in)
	delete(out, "schema")
	maps.Copy(out, object(c.schema(in["schema"])))
	return out
}

func (c swagger) response(in any) any {
	response := object(in)
	if ref, ok := response["$ref"].(string); ok {
		return map[string]any{"$ref": swaggerRef(ref)}
	}
	out := map[string]any{"description": response["description"]}
	if content := object(response["content"]); content != nil {
		body := object(content["application/json"])
		if body == nil {
			body = object(content[csvType])
		}
		out["schema"] = c.schema(body["schema"])
	}
	if headers := object(response["headers"]); headers != nil {
		out["headers"] = each(headers, func(header any) any {
			h := object(header)
			if ref, ok := h["$ref"].(string); ok {
				h = object(c.headers[ref[strings.LastIndexByte(ref, '/')+1:]])
			}
			return c.flattened(h)
		})
	}
	return out
}

func (c swagger) schema(in any) any {
	schema := object(in)
	if ref, ok := schema["$ref"].(string); ok {
		return map[string]any{"$ref": swaggerRef(ref)}
	}
	out := maps.Clone(schema)
	if alternatives, ok := schema["anyOf"].([]any); ok {
		delete(out, "anyOf")
		maps.Copy(out, object(c.schema(alternatives[0])))
	}
	if out["nullable"] == true {
		out["x-nullable"] = true
	}
	delete(out, "nullable")
	if values, ok := schema["enum"].([]any); ok {
		out["enum"] = slices.DeleteFunc(slices.Clone(values), func(v any) bool { return v == nil })
	}
	if properties := object(schema["properties"]); properties != nil {
		out["properties"] = each(properties, c.schema)
	}
	for _, name := range []string{"items", "additionalProperties"} {
		if below := object(schema[name]); below != nil {
			out[name] = c.schema(below)
		}
	}
	return out
}

// security returns the requirements of Swagger 2.0, in which a token cannot be optional.
func security(in any) []any {
	list, _ := in.([]any)
	return slices.DeleteFunc(slices.Clone(list), func(requirement any) bool { return len(object(requirement)) == 0 })
}

var swaggerRefs = strings.NewReplacer("#/components/schemas/", "#/definitions/", "#/components/", "#/")

func swaggerRef(ref string) string { return swaggerRefs.Replace(ref) }

func object(v any) map[string]any {
	o, _ := v.(map[string]any)
	return o
}

func each(in map[string]any, convert func(any) any) map[string]any {
	return eachMember(in, func(_ string, v any) any { return convert(v) })
}

func eachMember(in map[string]any, convert func(name string, v any) any) map[string]any {
	out := make(map[string]any, len(in))
	for name, v := range in {
		out[name] = convert(name, v)
	}
	return out
}
