package cli

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// fieldError words an error of decoding an object by the field that is of another
// type than the API server takes, such as a label that YAML reads as a number. Other
// errors stay as they are.
func fieldError(err error) error {
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
	return fmt.Errorf("%s is %s: the API server takes %s", fieldPath(e.JSONPointer), kindInWords(e.JSONKind), want)
}

func kindInWords(k jsontext.Kind) string {
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

// fieldPath writes a pointer as Kubernetes writes the path of a field:
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
