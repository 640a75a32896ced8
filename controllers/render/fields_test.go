package render_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// changes are what a field of a spec changes in the children: the path, as flatten writes it,
// and the new value in JSON, or gone.
type changes map[string]string

// gone is the value of what is there no more.
const gone = ""

// fieldRow is what one field of a spec does.
type fieldRow[S any] struct {
	// set gives the field, and no other, a value that is not the default.
	set func(*S)
	// want is all that this changes in the children.
	want changes
	// nothing is why no child shows the field.
	nothing string
}

// fieldTable has a row for every field of the spec S of a kind of objects O.
type fieldTable[O render.Object, S any] struct {
	// base is an object with one element in each list whose elements have fields of ours.
	base func() O
	spec func(O) *S
	// children are rendered from an object.
	children func(*testing.T, O) []render.Object
	rows     map[string]fieldRow[S]
}

// fieldCase is an object with one field set, and the children that it has then.
type fieldCase struct {
	field    string
	object   render.Object
	children []render.Object
}

// aFieldTable hides the kind that a table is of.
type aFieldTable interface {
	check(t *testing.T)
	// cases are those of all rows, and the base, whose field is "".
	cases(t *testing.T) []fieldCase
}

// A field of a spec cannot be added, nor one be forgotten by those who render, unnoticed.
func TestFields(t *testing.T) {
	for kind, table := range fieldTables() {
		t.Run(kind, func(t *testing.T) { table.check(t) })
	}
}

func (f fieldTable[O, S]) check(t *testing.T) {
	t.Helper()
	want := leaves(reflect.TypeFor[S](), "")
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(f.rows))); diff != "" {
		t.Errorf("fields of the spec and rows of the table (-fields +rows):\n%s", diff)
	}
	before := flatten(t, f.children(t, f.base()))
	for field, row := range f.rows {
		t.Run(field, func(t *testing.T) {
			object := f.with(row)
			if got := differing(values(t, f.spec(f.base())), values(t, f.spec(object))); !slices.Equal(got, []string{field}) {
				t.Fatalf("the row sets %v, want %s alone", got, field)
			}
			if (row.nothing == "") == (len(row.want) == 0) {
				t.Fatal("a row has changes, or a reason to have none")
			}
			got := compare(before, flatten(t, f.children(t, object)))
			if diff := cmp.Diff(row.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("what the field changes (-want +got):\n%s", diff)
			}
		})
	}
}

func (f fieldTable[O, S]) with(row fieldRow[S]) O {
	object := f.base()
	row.set(f.spec(object))
	return object
}

func (f fieldTable[O, S]) cases(t *testing.T) []fieldCase {
	t.Helper()
	cases := make([]fieldCase, 0, 1+len(f.rows))
	cases = append(cases, fieldCase{object: f.base(), children: f.children(t, f.base())})
	for _, field := range slices.Sorted(maps.Keys(f.rows)) {
		object := f.with(f.rows[field])
		cases = append(cases, fieldCase{field: field, object: object, children: f.children(t, object)})
	}
	return cases
}

// within makes rows of a part of a spec rows of the whole.
func within[Whole, Part any](rows map[string]fieldRow[Part], prefix string, part func(*Whole, func(*Part))) map[string]fieldRow[Whole] {
	whole := make(map[string]fieldRow[Whole], len(rows))
	for field, row := range rows {
		set := func(spec *Whole) { part(spec, row.set) }
		whole[prefix+field] = fieldRow[Whole]{set: set, want: row.want, nothing: row.nothing}
	}
	return whole
}

// join makes one table of several; later rows win.
func join[S any](tables ...map[string]fieldRow[S]) map[string]fieldRow[S] {
	joined := map[string]fieldRow[S]{}
	for _, table := range tables {
		maps.Copy(joined, table)
	}
	return joined
}

// together are the changes of all.
func together(all ...changes) changes {
	union := changes{}
	for _, some := range all {
		maps.Copy(union, some)
	}
	return union
}

// ours is the package whose structs have fields of their own; what is Kubernetes's own goes
// to its children as a whole.
var ours = reflect.TypeFor[policiesv1.PolicyServer]().PkgPath()

// leaves are the paths of the fields of a type that have no fields of ours in them, sorted.
// What is in a list or a map has the path of any element: rules[].scope.
func leaves(of reflect.Type, prefix string) []string {
	var paths []string
	eachField(of, func(field reflect.StructField, name string) {
		kind, path := field.Type, prefix+name
		for kind.Kind() == reflect.Pointer || kind.Kind() == reflect.Slice || kind.Kind() == reflect.Map {
			if kind.Kind() != reflect.Pointer && isOurs(kind.Elem()) {
				path += "[]"
			}
			kind = kind.Elem()
		}
		switch {
		case name == "":
			paths = append(paths, leaves(kind, prefix)...)
		case isOurs(kind):
			paths = append(paths, leaves(kind, path+".")...)
		default:
			paths = append(paths, strings.TrimSuffix(prefix+name, "."))
		}
	})
	slices.Sort(paths)
	return paths
}

func isOurs(kind reflect.Type) bool {
	return kind.Kind() == reflect.Struct && kind.PkgPath() == ours
}

// eachField calls back with every field of a struct and its name on the wire, which is "" for
// one whose own fields stand in its place.
func eachField(of reflect.Type, call func(field reflect.StructField, name string)) {
	for field := range of.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		call(field, name)
	}
}

// values has the values of a spec by the paths that leaves gives, in JSON.
func values(t *testing.T, spec any) map[string]string {
	t.Helper()
	all := map[string][]any{}
	collect(reflect.ValueOf(spec), "", all)
	encoded := make(map[string]string, len(all))
	for path, found := range all {
		content, err := json.Marshal(found)
		if err != nil {
			t.Fatalf("encode %s: %v", path, err)
		}
		encoded[path] = string(content)
	}
	return encoded
}

func collect(of reflect.Value, prefix string, all map[string][]any) {
	switch {
	case of.Kind() == reflect.Pointer && isOurs(of.Type().Elem()):
		if !of.IsNil() {
			collect(of.Elem(), prefix, all)
		}
	case of.Kind() == reflect.Slice && isOurs(of.Type().Elem()):
		for i := range of.Len() {
			collect(of.Index(i), prefix+"[]", all)
		}
	case of.Kind() == reflect.Map && isOurs(of.Type().Elem()):
		keys := of.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, key := range keys {
			collect(of.MapIndex(key), prefix+"[]", all)
		}
	case isOurs(of.Type()):
		eachField(of.Type(), func(field reflect.StructField, name string) {
			path := prefix
			if name != "" {
				path = strings.TrimPrefix(prefix+"."+name, ".")
			}
			collect(of.FieldByIndex(field.Index), path, all)
		})
	default:
		all[prefix] = append(all[prefix], of.Interface())
	}
}

// differing are the paths whose values differ, sorted.
func differing(before, after map[string]string) []string {
	return slices.Sorted(maps.Keys(compare(before, after)))
}

// compare is what becomes different.
func compare(before, after map[string]string) changes {
	changed := changes{}
	for path, value := range after {
		if old, ok := before[path]; !ok || old != value {
			changed[path] = value
		}
	}
	for path := range before {
		if _, ok := after[path]; !ok {
			changed[path] = gone
		}
	}
	return changed
}

// The tests above are worth what leaves finds.
func TestLeaves(t *testing.T) {
	type inner = policiesv1.ContextAwareGroupMember
	got := leaves(reflect.TypeFor[inner](), "")
	want := []string{"contextAwareResources[].apiVersion", "contextAwareResources[].kind", "module", "settings", "timeoutEvalSeconds"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("leaves (-want +got):\n%s", diff)
	}
	member := inner{ContextAwareResources: []policiesv1.ContextAwareResource{{Kind: "Pod"}}}
	if got, want := slices.Sorted(maps.Keys(values(t, &member))), got; !slices.Equal(got, want) {
		t.Errorf("values are at %v, leaves at %v", got, want)
	}
	if got := differing(map[string]string{"a": "1", "b": "1", "c": "1"}, map[string]string{"a": "1", "b": "2", "d": "1"}); fmt.Sprint(got) != "[b c d]" {
		t.Errorf("got differences %v", got)
	}
}
