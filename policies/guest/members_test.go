package guest_test

import (
	"encoding/json"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policies/guest"
)

func TestContainersHaveNothingButWhatIsAskedFor(t *testing.T) {
	tests := map[string]struct{ kind, object, want string }{
		"lists and members": {
			"Pod", ` {"spec": {"nodeName":"n","containers":[{"name":"a","env":[{"name":"x"}],"image":"i"},{"image":"j"}],"os":{"name":"linux"},"initContainers":[]}}`,
			`{"initContainers":[],"containers":[{"name":"a","image":"i"},{"image":"j"}],"os":{"name":"linux"}}`,
		},
		"a name with an escape":    {"Pod", `{"spec":{"containers":[{"\u0069mage":"i"}]}}`, `{"containers":[{"image":"i"}]}`},
		"the first of two":         {"Pod", `{"spec":{"containers":[{"image":"i","image":"j"}]}}`, `{"containers":[{"image":"i"}]}`},
		"null in the place of one": {"Pod", `{"spec":{"containers":null,"initContainers":[{"image":null}]}}`, `{"initContainers":[{}]}`},
		"a list that is none":      {"Pod", `{"spec":{"containers":{"image":"i"}}}`, `{"containers":{"image":"i"}}`},
		"a container that is none": {"Pod", `{"spec":{"containers":[1,"x",[],{"image":[2]}]}}`, `{"containers":[1,"x",[],{"image":[2]}]}`},
		"a specification that is none": {
			"Pod", `{"spec":[1]}`, `[1]`,
		},
		"no specification":         {"Pod", `{}`, ``},
		"a kind that runs no Pods": {"ConfigMap", `{"spec":{"containers":[]}}`, ``},
		"a template":               {"Job", `{"spec":{"template":{"spec":{"ephemeralContainers":[{"name":"e","x":1}]}}}}`, `{"ephemeralContainers":[{"name":"e"}]}`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := guest.Request{Kind: guest.Kind{Kind: tc.kind}, Object: json.RawMessage(tc.object)}.Containers([]string{"name", "image"}, "os")
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

// What cannot be decoded is not let through.
func TestDecodeContainersNamesTheKind(t *testing.T) {
	for object, want := range map[string]string{
		`{"spec":[]}`:                           "decode Pod: json: cannot unmarshal array into Go value of type struct { Containers []struct { Image string } }",
		`{"spec":{"containers":[{"image":1}]}}`: "decode Pod: json: cannot unmarshal number into Go struct field .Containers.Image of type string",
		`[]`:                                    "decode Pod: got [], want an object",
	} {
		var spec struct{ Containers []struct{ Image string } }
		err := guest.Request{Kind: guest.Kind{Kind: "Pod"}, Object: json.RawMessage(object)}.DecodeContainers(&spec, "image")
		if err == nil || err.Error() != want {
			t.Errorf("%s: got  %v\nwant %s", object, err, want)
		}
	}
}
