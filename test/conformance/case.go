package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// File is one file of cases.
type File struct {
	About string `yaml:"about"`
	Cases []Case `yaml:"cases"`
}

// Case is a question and its answer.
type Case struct {
	// Name is unique among all cases; what is special about the case.
	Name string `yaml:"name"`
	// Policy or Group is what is asked; neither means a policy that does not exist.
	Policy *Policy `yaml:"policy"`
	Group  *Group  `yaml:"group"`
	// Member asks a member of the group by itself.
	Member string `yaml:"member"`
	// Endpoint is validate (default), audit or validate_raw.
	Endpoint string  `yaml:"endpoint"`
	Request  Request `yaml:"request"`
	// Again asks once more, for the same answer.
	Again bool `yaml:"again"`
	// HTTP makes it a case of the server alone.
	HTTP *HTTP `yaml:"http"`
	Want Want  `yaml:"want"`

	// ID is what the policy is called in policies.yml; made from the name.
	ID string `yaml:"-"`
}

// Policy is an entry of policies.yml, but for its module.
type Policy struct {
	Module `yaml:",inline"`

	Mode            string `yaml:"mode"`
	AllowedToMutate *bool  `yaml:"allowedToMutate"`
	Message         string `yaml:"message"`
	// Further are members of the entry that policies.yml does not know.
	Further map[string]any `yaml:"further"`
}

// Module is a module with what belongs to it alone. Either Module or Guest is set.
type Module struct {
	// Module is a policy of this project, by the name of its folder.
	Module string `yaml:"module"`
	// Guest is a small program made for the case.
	Guest *Guest `yaml:"guest"`

	Settings           any      `yaml:"settings"`
	TimeoutEvalSeconds *int     `yaml:"timeoutEvalSeconds"`
	HostCapabilities   []string `yaml:"hostCapabilities"`
	// ContextAwareResources are kinds of objects, by apiVersion and kind.
	ContextAwareResources []map[string]string `yaml:"contextAwareResources"`
}

// Group is an entry of policies.yml that is a group.
type Group struct {
	Expression string            `yaml:"expression"`
	Message    string            `yaml:"message"`
	Mode       string            `yaml:"mode"`
	Members    map[string]Module `yaml:"members"`
}

// Want is the answer. A member that is not set must not be in the answer.
type Want struct {
	// Status is that of HTTP; 200 by default.
	Status int `yaml:"status"`
	// Allowed is needed where the status is 200.
	Allowed *bool   `yaml:"allowed"`
	Code    *int    `yaml:"code"`
	Reason  string  `yaml:"reason"`
	Message *string `yaml:"message"`
	// MessageMatches is a regular expression in the place of Message.
	MessageMatches   string            `yaml:"messageMatches"`
	Causes           []Cause           `yaml:"causes"`
	Patch            []map[string]any  `yaml:"patch"`
	Warnings         []string          `yaml:"warnings"`
	AuditAnnotations map[string]string `yaml:"auditAnnotations"`

	// Body and ContentType are of an answer that is no verdict. Body is needed there.
	Body        *string `yaml:"body"`
	ContentType string  `yaml:"contentType"`
}

// Cause is one of the causes of a denial.
type Cause struct {
	Field   string  `yaml:"field"`
	Reason  string  `yaml:"reason"`
	Message *string `yaml:"message"`
}

// Load reads all case files of a folder. The count is that of the cases as they are
// written, taken in another way than by decoding.
func Load(folder fs.FS) (cases []Case, err error) {
	names, err := fs.Glob(folder, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list case files: %w", err)
	}
	taken := map[string]string{}
	for _, name := range names {
		text, err := fs.ReadFile(folder, name)
		if err != nil {
			return nil, fmt.Errorf("read cases: %w", err)
		}
		file, err := decode(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, next := range file.Cases {
			next.ID = identify(strings.TrimSuffix(path.Base(name), ".yaml"), next.Name)
			if earlier, is := taken[next.ID]; is {
				return nil, fmt.Errorf("%s: case %q has the name of one of %s", name, next.Name, earlier)
			}
			taken[next.ID] = name
			cases = append(cases, next)
		}
	}
	return cases, nil
}

// Count is the number of cases that the files of a folder hold, by their text alone.
func Count(folder fs.FS) (int, error) {
	names, err := fs.Glob(folder, "*.yaml")
	if err != nil {
		return 0, fmt.Errorf("list case files: %w", err)
	}
	count := 0
	for _, name := range names {
		text, err := fs.ReadFile(folder, name)
		if err != nil {
			return 0, fmt.Errorf("read cases: %w", err)
		}
		count += len(caseLine.FindAll(text, -1))
	}
	return count, nil
}

var caseLine = regexp.MustCompile(`(?m)^- name: `)

func decode(text []byte) (File, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	var file File
	if err := decoder.Decode(&file); err != nil {
		return File{}, fmt.Errorf("decode cases: %w", err)
	}
	if file.About == "" || len(file.Cases) == 0 {
		return File{}, errors.New("about or cases are missing")
	}
	for _, next := range file.Cases {
		if err := next.check(); err != nil {
			return File{}, fmt.Errorf("case %q: %w", next.Name, err)
		}
	}
	return file, nil
}

var notInID = regexp.MustCompile(`[^a-z0-9]+`)

// identify makes a policy ID out of the names of a file and of a case in it.
func identify(file, name string) string {
	return strings.Trim(notInID.ReplaceAllString(strings.ToLower(file+"."+name), "-"), "-")
}

// Waits says whether the case may end at a timeout only.
func (c *Case) Waits() bool {
	if c.Policy != nil {
		return c.Policy.TimeoutEvalSeconds != nil
	}
	if c.Group != nil {
		for _, member := range c.Group.Members {
			if member.TimeoutEvalSeconds != nil {
				return true
			}
		}
	}
	return c.HTTP != nil && c.HTTP.Query != ""
}

// ServerOnly says whether the case is about HTTP alone.
func (c *Case) ServerOnly() bool { return c.HTTP != nil }

func (c *Case) check() error {
	switch {
	case c.Name == "":
		return errors.New("it has no name")
	case c.Policy != nil && c.Group != nil:
		return errors.New("it has both policy and group")
	case c.Policy == nil && c.Group == nil && c.HTTP == nil:
		return errors.New("it has neither policy nor group; only a case with http can do without")
	case c.Member != "" && c.Group == nil:
		return errors.New("it asks a member of no group")
	}
	switch c.Endpoint {
	case "", "validate", "audit", "validate_raw":
	default:
		return fmt.Errorf("endpoint is %q, want validate, audit or validate_raw", c.Endpoint)
	}
	if err := c.checkModules(); err != nil {
		return err
	}
	if err := c.Request.check(c.Endpoint == "validate_raw", c.HTTP != nil); err != nil {
		return err
	}
	return c.Want.check(c.HTTP != nil)
}

func (c *Case) checkModules() error {
	if c.Policy != nil {
		return c.Policy.check()
	}
	if c.Group != nil {
		for name, member := range c.Group.Members {
			if err := member.check(); err != nil {
				return fmt.Errorf("member %s: %w", name, err)
			}
		}
	}
	return nil
}

func (m *Module) check() error {
	if (m.Module == "") == (m.Guest == nil) {
		return errors.New("want either module or guest")
	}
	if m.Guest != nil {
		return m.Guest.check()
	}
	return nil
}

func (w *Want) check(http bool) error {
	verdict := w.Status == 0 || w.Status == 200
	switch {
	case verdict && w.Allowed == nil:
		return errors.New("it wants nothing: want.allowed is missing")
	case verdict && (w.Body != nil || w.ContentType != ""):
		return errors.New("want.body is for answers that are no verdict")
	case !verdict && !http:
		return errors.New("want.status is for cases with http")
	case !verdict && w.Body == nil:
		return errors.New("it wants too little: want.body is missing")
	case !verdict && w.Allowed != nil:
		return errors.New("want.allowed is for status 200")
	case w.Message != nil && w.MessageMatches != "":
		return errors.New("want either message or messageMatches")
	}
	_, err := regexp.Compile(w.MessageMatches)
	return err
}
