package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Request is what is asked. Without File, Object and Raw it is about some Pod.
type Request struct {
	// File is an AdmissionReview in the folder of requests.
	File string `yaml:"file"`
	// Object is that of an admission request whose other members follow from it.
	Object map[string]any `yaml:"object"`
	// With sets members of the request, or takes them away by null.
	With map[string]any `yaml:"with"`
	// Raw is the request of validate_raw, any value.
	Raw yaml.Node `yaml:"raw"`
}

// HTTP is a request as it is sent. What is not set follows from the case.
type HTTP struct {
	Method string `yaml:"method"`
	Path   string `yaml:"path"`
	// Query is that of the URL, without the question mark.
	Query string `yaml:"query"`
	// ContentType is application/json by default; "none" leaves the header out.
	ContentType string `yaml:"contentType"`
	// Body is sent as it is.
	Body *string `yaml:"body"`
	// PadTo adds spaces to the body until it has that many bytes.
	PadTo int `yaml:"padTo"`
}

func (r *Request) check(raw, http bool) error {
	hasRaw := !r.Raw.IsZero()
	switch {
	case hasRaw && (r.File != "" || r.Object != nil || r.With != nil):
		return errors.New("request.raw goes with nothing else")
	case r.File != "" && r.Object != nil:
		return errors.New("want either request.file or request.object")
	case hasRaw != raw && !http:
		return errors.New("request.raw belongs to the endpoint validate_raw")
	}
	return nil
}

// somePod is the object of cases to which the object does not matter.
var somePod = map[string]any{
	"apiVersion": "v1", "kind": "Pod",
	"metadata": map[string]any{"name": "web", "namespace": "team"},
	"spec":     map[string]any{"containers": []any{map[string]any{"name": "web", "image": "registry.example/web:1"}}},
}

// Document is what policies are asked about: the request of an AdmissionReview, or that of
// validate_raw. files are the larger requests.
func (c *Case) Document(files fs.FS) (json.RawMessage, error) {
	switch {
	case !c.Request.Raw.IsZero():
		var value any
		if err := c.Request.Raw.Decode(&value); err != nil {
			return nil, fmt.Errorf("decode request.raw: %w", err)
		}
		return json.Marshal(value)
	case c.Request.File != "":
		return c.fromFile(files)
	default:
		return c.Request.changed(c.inline())
	}
}

func (c *Case) fromFile(files fs.FS) (json.RawMessage, error) {
	text, err := fs.ReadFile(files, c.Request.File)
	if err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	var review struct {
		Request json.RawMessage `json:"request"`
	}
	if err := json.Unmarshal(text, &review); err != nil {
		return nil, fmt.Errorf("decode %s: %w", c.Request.File, err)
	}
	if c.Request.With == nil {
		return review.Request, nil // byte by byte
	}
	var request map[string]any
	if err := json.Unmarshal(review.Request, &request); err != nil {
		return nil, fmt.Errorf("decode %s: %w", c.Request.File, err)
	}
	return c.Request.changed(request)
}

// inline is an admission request for the creation of the object.
func (c *Case) inline() map[string]any {
	object := c.Request.Object
	if object == nil {
		object = somePod
	}
	apiVersion, _ := object["apiVersion"].(string)
	kind, _ := object["kind"].(string)
	group, version := path.Split(apiVersion)
	group = strings.TrimSuffix(group, "/")
	request := map[string]any{
		"uid":         "uid-of-" + c.ID,
		"kind":        map[string]any{"group": group, "version": version, "kind": kind},
		"resource":    map[string]any{"group": group, "version": version, "resource": strings.ToLower(kind) + "s"},
		"requestKind": map[string]any{"group": group, "version": version, "kind": kind},
		"operation":   "CREATE",
		"userInfo":    map[string]any{"username": "jane", "groups": []any{"system:authenticated"}},
		"object":      object,
		"oldObject":   nil,
		"dryRun":      false,
	}
	if metadata, is := object["metadata"].(map[string]any); is {
		request["name"], request["namespace"] = metadata["name"], metadata["namespace"]
	}
	return request
}

func (r *Request) changed(request map[string]any) (json.RawMessage, error) {
	changed := maps.Clone(request)
	maps.Copy(changed, r.With)
	maps.DeleteFunc(changed, func(_ string, value any) bool { return value == nil })
	return json.Marshal(changed)
}

// Body is a document as it is sent to the case's endpoint.
func (c *Case) Body(document json.RawMessage) []byte {
	var body []byte
	switch {
	case c.HTTP != nil && c.HTTP.Body != nil:
		body = []byte(*c.HTTP.Body)
	case c.EndpointPath() == "validate_raw":
		body = fmt.Appendf(nil, `{"request":%s}`, document)
	default:
		body = fmt.Appendf(nil, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":%s}`, document)
	}
	if c.HTTP != nil && len(body) < c.HTTP.PadTo {
		body = append(body, strings.Repeat(" ", c.HTTP.PadTo-len(body))...)
	}
	return body
}

// EndpointPath is the first element of the path, without slashes.
func (c *Case) EndpointPath() string {
	if c.Endpoint == "" {
		return "validate"
	}
	return c.Endpoint
}
