package manifest

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// FieldError rewords an error of decoding an object if a field has another type than
// the API server accepts, such as a label that YAML reads as a number. Other errors
// are returned unchanged.
func FieldError(err error) error {
	e, ok := errors.AsType[*jsonv2.SemanticError](err)
	if !ok || e.JSONPointer == "" || e.GoType == nil {
		return err
	}
	var want string
	switch e.GoType.Kind() {
	case reflect.String:
		want = "a string"
		if strings.ContainsRune("0tf", rune(e.JSONKind)) {
			want += "; put it in quotes"
		}
	case reflect.Slice:
		want = "a list"
	case reflect.Bool:
		want = "true or false"
	default:
		want = "an object"
	}
	return fmt.Errorf("%s is %s: the API server takes %s", fieldPath(e.JSONPointer), kindName(e.JSONKind), want)
}

func kindName(k jsontext.Kind) string {
	switch k {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case 't', 'f':
		return "a boolean"
	}
	return "null"
}

var (
	fieldName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*$`)
	listIndex = regexp.MustCompile(`^[0-9]+$`)
)

// fieldPath formats a JSON pointer as Kubernetes formats a field path:
// spec.containers[0].name, metadata.labels[version].
func fieldPath(pointer jsontext.Pointer) string {
	var b strings.Builder
	before := ""
	for token := range pointer.Tokens() {
		isKey := before == "labels" || before == "annotations"
		switch {
		case isKey, listIndex.MatchString(token), !fieldName.MatchString(token):
			fmt.Fprintf(&b, "[%s]", token)
		case b.Len() == 0:
			b.WriteString(token)
		default:
			b.WriteString("." + token)
		}
		before = token
	}
	return b.String()
}
