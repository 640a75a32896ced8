package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Answer is what can be said of an answer, whichever door it came through.
type Answer struct {
	Allowed          bool
	Code             *int
	Reason           string
	Message          *string
	Causes           []Cause
	Patch            []map[string]any
	Warnings         []string
	AuditAnnotations map[string]string
}

// Expected is the answer that a case wants, as far as it fits got: where the case has a
// regular expression and the message matches, the message is got's. "<id>" stands for the
// policy's ID.
func (c *Case) Expected(got Answer) Answer {
	want := Answer{
		Allowed: c.Want.Allowed != nil && *c.Want.Allowed, Code: c.Want.Code, Reason: c.Want.Reason, Message: c.named(c.Want.Message),
		Patch: c.Want.Patch, Warnings: c.Want.Warnings, AuditAnnotations: c.Want.AuditAnnotations,
	}
	for _, cause := range c.Want.Causes {
		want.Causes = append(want.Causes, Cause{Field: cause.Field, Reason: cause.Reason, Message: c.named(cause.Message)})
	}
	if c.Want.MessageMatches == "" {
		return want
	}
	pattern := strings.ReplaceAll(c.Want.MessageMatches, "<id>", regexp.QuoteMeta(c.ID))
	want.Message = new("a text that matches " + pattern)
	if got.Message != nil && regexp.MustCompile(pattern).MatchString(*got.Message) {
		want.Message = got.Message
	}
	return want
}

func (c *Case) named(text *string) *string {
	if text == nil {
		return nil
	}
	return new(strings.ReplaceAll(*text, "<id>", c.ID))
}

// wire is an answer as it is sent. Every member is named, so that an unknown one is found.
type wire struct {
	APIVersion string        `json:"apiVersion"`
	Kind       string        `json:"kind"`
	Response   *wireResponse `json:"response"`
}

type wireResponse struct {
	UID              string             `json:"uid"`
	Allowed          *bool              `json:"allowed"`
	PatchType        *string            `json:"patchType"`
	Patch            []byte             `json:"patch"`
	Status           *wireStatus        `json:"status"`
	AuditAnnotations *map[string]string `json:"auditAnnotations"`
	Warnings         *[]string          `json:"warnings"`
}

type wireStatus struct {
	Status  string  `json:"status"`
	Message *string `json:"message"`
	Reason  string  `json:"reason"`
	Code    *int    `json:"code"`
	Details *struct {
		Causes []wireCause `json:"causes"`
	} `json:"details"`
}

type wireCause struct {
	Reason  *string `json:"reason"`
	Message *string `json:"message"`
	Field   *string `json:"field"`
}

// DecodeAnswer reads the body of an answer to the case, and holds it to the format.
func (c *Case) DecodeAnswer(body []byte, uid string) (Answer, error) {
	var got wire
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&got); err != nil {
		return Answer{}, fmt.Errorf("decode answer %s: %w", body, err)
	}
	if err := c.checkWire(got, body, uid); err != nil {
		return Answer{}, fmt.Errorf("answer %s: %w", body, err)
	}
	answer := Answer{Allowed: *got.Response.Allowed}
	if got.Response.Warnings != nil {
		answer.Warnings = *got.Response.Warnings
	}
	if got.Response.AuditAnnotations != nil {
		answer.AuditAnnotations = *got.Response.AuditAnnotations
	}
	if status := got.Response.Status; status != nil {
		answer.Code, answer.Message, answer.Reason = status.Code, status.Message, status.Reason
		if status.Details != nil {
			answer.Causes = causes(status.Details.Causes)
		}
	}
	if got.Response.Patch == nil {
		return answer, nil
	}
	if err := json.Unmarshal(got.Response.Patch, &answer.Patch); err != nil {
		return Answer{}, fmt.Errorf("decode patch %s: %w", got.Response.Patch, err)
	}
	return answer, nil
}

func causes(sent []wireCause) []Cause {
	found := make([]Cause, 0, len(sent))
	for _, cause := range sent {
		found = append(found, Cause{Field: textOf(cause.Field), Reason: textOf(cause.Reason), Message: cause.Message})
	}
	return found
}

func textOf(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

func (c *Case) checkWire(got wire, body []byte, uid string) error {
	wantVersion, wantKind := "admission.k8s.io/v1", "AdmissionReview"
	if c.EndpointPath() == "validate_raw" {
		wantVersion, wantKind = "", ""
	}
	switch {
	case got.APIVersion != wantVersion || got.Kind != wantKind:
		return fmt.Errorf("got apiVersion %q and kind %q, want %q and %q", got.APIVersion, got.Kind, wantVersion, wantKind)
	case got.Response == nil || got.Response.Allowed == nil:
		return errors.New("response or response.allowed is missing")
	case got.Response.UID != uid:
		return fmt.Errorf("got uid %q, want %q", got.Response.UID, uid)
	case (got.Response.Patch == nil) != (got.Response.PatchType == nil):
		return errors.New("patch and patchType go together")
	case got.Response.PatchType != nil && *got.Response.PatchType != "JSONPatch":
		return fmt.Errorf("got patchType %q, want JSONPatch", *got.Response.PatchType)
	}
	for _, member := range []string{"auditAnnotations", "warnings"} {
		if !bytes.Contains(body, []byte(`"`+member+`":`)) {
			return fmt.Errorf("%s is missing, want it null where there is none", member)
		}
	}
	return nil
}
