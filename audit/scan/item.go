package scan

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/tidwall/gjson"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// item is an object as an API server listed it. What a scan looks at is read; the rest goes to
// policy servers as it came, since decoding an object and encoding it again takes longer than
// everything else that a scan does with it.
type item struct {
	namespace, name string
	uid             types.UID
	resourceVersion string
	labels          map[string]string
	// text is the whole object, in JSON.
	text []byte
}

// page is an answer to a list request.
type page struct {
	items gjson.Result
	// next asks for the page that follows; "" when there is none.
	next string
}

// errNoList is of an answer to a list request that is something else.
var errNoList = errors.New("the answer is no list in JSON")

// parsePage reads an answer to a list request.
func parsePage(answer []byte) (page, error) {
	if !gjson.ValidBytes(answer) {
		return page{}, errNoList
	}
	list := gjson.Parse(strings.ToValidUTF8(string(answer), "\uFFFD"))
	items := list.Get("items")
	next := list.Get("metadata.continue").String()
	switch {
	case items.IsArray():
		return page{items, next}, nil
	case items.Raw == "null": // as Go writes a list without a first item
		return page{next: next}, nil
	default:
		return page{}, errNoList
	}
}

// each calls found with each object, which is of a kind, until there is an error.
func (p page) each(kind schema.GroupVersionKind, found func(*item) error) error {
	head, err := json.Marshal(struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}{kind.GroupVersion().String(), kind.Kind})
	if err != nil {
		return fmt.Errorf("encode kind %s: %w", kind, err)
	}
	p.items.ForEach(func(_, value gjson.Result) bool {
		if err = errNoList; value.IsObject() {
			err = found(newItem(value, head[:len(head)-1]))
		}
		return err == nil
	})
	return err
}

// newItem reads an object. Items of a list need not say what they are: head is the begin of an
// object that does.
func newItem(object gjson.Result, head []byte) *item {
	made := &item{text: make([]byte, 0, len(head)+len(object.Raw)+len(",}"))}
	made.text = append(made.text, head...)
	object.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "apiVersion", "kind":
			return true
		case "metadata":
			made.read(value)
		}
		made.text = append(made.text, ',')
		made.text = append(made.text, key.Raw...)
		made.text = append(made.text, ':')
		made.text = append(made.text, value.Raw...)
		return true
	})
	made.text = append(made.text, '}')
	return made
}

func (i *item) read(metadata gjson.Result) {
	metadata.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "namespace":
			i.namespace = value.String()
		case "name":
			i.name = value.String()
		case "uid":
			i.uid = types.UID(value.String())
		case "resourceVersion":
			i.resourceVersion = value.String()
		case "labels":
			i.readLabels(value)
		}
		return true
	})
}

func (i *item) readLabels(labels gjson.Result) {
	if !labels.IsObject() {
		return
	}
	i.labels = map[string]string{}
	labels.ForEach(func(label, value gjson.Result) bool {
		i.labels[label.Str] = value.String()
		return true
	})
}

// metadata is what is read of the object.
func (i *item) metadata() *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: i.namespace, Name: i.name, UID: i.uid, ResourceVersion: i.resourceVersion, Labels: i.labels}}
}

// whole decodes all of the object.
func (i *item) whole() (*unstructured.Unstructured, error) {
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(i.text); err != nil {
		return nil, fmt.Errorf("decode %s/%s: %w", i.namespace, i.name, err)
	}
	return object, nil
}
