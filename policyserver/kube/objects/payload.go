package objects

import (
	"encoding/json"
	"errors"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

// list is the payload of both lists.
type list struct {
	APIVersion    string   `json:"api_version"`
	Kind          string   `json:"kind"`
	Namespace     string   `json:"namespace"`
	LabelSelector *string  `json:"label_selector"`
	FieldSelector *string  `json:"field_selector"`
	FieldMasks    []string `json:"field_masks"`

	labels labels.Selector
	fields fieldSelector
	masks  *mask
}

// fieldSelector selects by fields. Those of a name can be judged in memory; what other
// fields there are, only the API server knows.
type fieldSelector struct {
	selector fields.Selector
	inMemory bool
}

func decodeList(payload []byte, byNamespace bool) (list, error) {
	var asked list
	if err := json.Unmarshal(payload, &asked); err != nil {
		return list{}, fmt.Errorf("decode payload: %w", err)
	}
	if err := checkKind(asked.APIVersion, asked.Kind); err != nil {
		return list{}, err
	}
	if !byNamespace {
		asked.Namespace = ""
	} else if asked.Namespace == "" {
		return list{}, errors.New("namespace is missing; want the name of a namespace")
	}
	var err error
	if asked.labels, err = labels.Parse(textOf(asked.LabelSelector)); err != nil {
		return list{}, fmt.Errorf("label_selector is %.256q: %w", textOf(asked.LabelSelector), err)
	}
	if asked.fields.selector, err = fields.ParseSelector(textOf(asked.FieldSelector)); err != nil {
		return list{}, fmt.Errorf("field_selector is %.256q: %w", textOf(asked.FieldSelector), err)
	}
	asked.fields.inMemory = true
	for _, requirement := range asked.fields.selector.Requirements() {
		if requirement.Field != "metadata.name" && requirement.Field != "metadata.namespace" {
			asked.fields.inMemory = false
		}
	}
	asked.masks = newMask(asked.FieldMasks)
	return asked, nil
}

// key tells apart what is asked of one kind.
func (l list) key() string {
	masks, _ := json.Marshal(l.FieldMasks) // texts can always be encoded
	return keyOf(l.Namespace, l.labels.String(), l.fields.selector.String(), string(masks))
}

// get is the payload of get_resource.
type get struct {
	APIVersion string `json:"api_version"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	Namespace  string `json:"namespace"`
	// DisableCache has to be there, as with upstream.
	DisableCache *bool    `json:"disable_cache"`
	FieldMasks   []string `json:"field_masks"`

	masks *mask
}

func decodeGet(payload []byte) (get, error) {
	var asked get
	if err := json.Unmarshal(payload, &asked); err != nil {
		return get{}, fmt.Errorf("decode payload: %w", err)
	}
	if err := checkKind(asked.APIVersion, asked.Kind); err != nil {
		return get{}, err
	}
	switch {
	case asked.Name == "":
		return get{}, errors.New("name is missing; want the name of an object")
	case asked.DisableCache == nil:
		return get{}, errors.New("disable_cache is missing; want true or false")
	}
	asked.masks = newMask(asked.FieldMasks)
	return asked, nil
}

func checkKind(apiVersion, kind string) error {
	switch {
	case apiVersion == "":
		return errors.New("api_version is missing; want a group and a version, such as apps/v1, or v1")
	case kind == "":
		return errors.New("kind is missing; want a kind, such as Pod")
	}
	return nil
}

// canI is the payload of can_i.
type canI struct {
	Review *struct {
		User       string      `json:"user"`
		Groups     []string    `json:"groups"`
		Attributes *attributes `json:"resource_attributes"`
	} `json:"subject_access_review"`
	DisableCache *bool `json:"disable_cache"`
}

type attributes struct {
	Verb        string `json:"verb"`
	Resource    string `json:"resource"`
	Group       string `json:"group"`
	Name        string `json:"name"`
	Namespace   string `json:"namespace"`
	Subresource string `json:"subresource"`
	Version     string `json:"version"`
}

func decodeCanI(payload []byte) (asked authorizationv1.SubjectAccessReviewSpec, uncached bool, err error) {
	var decoded canI
	if err := json.Unmarshal(payload, &decoded); err != nil {
		return asked, false, fmt.Errorf("decode payload: %w", err)
	}
	switch {
	case decoded.Review == nil:
		return asked, false, errors.New("subject_access_review is missing")
	case decoded.Review.User == "":
		return asked, false, errors.New("subject_access_review.user is missing; want the name of a user")
	case decoded.Review.Attributes == nil:
		return asked, false, errors.New("subject_access_review.resource_attributes is missing")
	case decoded.Review.Attributes.Verb == "" || decoded.Review.Attributes.Resource == "":
		return asked, false, errors.New("subject_access_review.resource_attributes: verb or resource is missing")
	case decoded.DisableCache == nil:
		return asked, false, errors.New("disable_cache is missing; want true or false")
	}
	of := decoded.Review.Attributes
	return authorizationv1.SubjectAccessReviewSpec{
		User: decoded.Review.User, Groups: decoded.Review.Groups,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: of.Verb, Resource: of.Resource, Group: of.Group, Name: of.Name,
			Namespace: of.Namespace, Subresource: of.Subresource, Version: of.Version,
		},
	}, *decoded.DisableCache, nil
}

func textOf(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}
