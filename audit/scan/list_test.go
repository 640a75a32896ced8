package scan

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// listing is a Lister by a function.
type listing func(resource schema.GroupVersionResource, namespace string, options metav1.ListOptions) ([]byte, error)

func (l listing) List(_ context.Context, resource schema.GroupVersionResource, namespace string, options metav1.ListOptions) ([]byte, error) {
	return l(resource, namespace, options)
}

func TestListGoesOnWhenItsTokenExpires(t *testing.T) {
	expired := func(next string) error {
		err := apierrors.NewResourceExpired("too old")
		err.ErrStatus.Continue = next
		return err
	}
	cases := map[string]struct {
		token   string
		err     error
		want    []string
		wantErr bool
	}{
		"the API server offers another token": {token: "old", err: expired("new"), want: []string{"old", "new"}},
		"it offers none":                      {token: "old", err: expired(""), want: []string{"old"}, wantErr: true},
		"there was no token":                  {err: expired("new"), want: []string{""}, wantErr: true},
		"another error":                       {token: "old", err: errors.New("connection refused"), want: []string{"old"}, wantErr: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var tokens []string
			s := &Scanner{config: Config{Objects: listing(func(_ schema.GroupVersionResource, _ string, options metav1.ListOptions) ([]byte, error) {
				tokens = append(tokens, options.Continue)
				if len(tokens) == 1 {
					return nil, tc.err
				}
				return pageOf(t), nil
			})}}
			_, err := s.page(t.Context(), pods.GVR, "team-a", metav1.ListOptions{Continue: tc.token})
			if (err != nil) != tc.wantErr {
				t.Errorf("error = %v", err)
			}
			if diff := cmp.Diff(tc.want, tokens); diff != "" {
				t.Errorf("tokens (-want +got):\n%s", diff)
			}
		})
	}
}

func TestListGoesOnToTheLastPage(t *testing.T) {
	pages := map[string]string{
		"":       `{"metadata":{"continue":"second"},"items":[{"metadata":{"name":"a"}},{"metadata":{"name":"b"}}]}`,
		"second": `{"metadata":{"continue":"third"},"items":[]}`,
		"third":  `{"metadata":{"continue":""},"items":[{"metadata":{"name":"c"}}]}`,
	}
	s := &Scanner{config: Config{PageSize: 2, Objects: listing(func(_ schema.GroupVersionResource, _ string, options metav1.ListOptions) ([]byte, error) {
		page, known := pages[options.Continue]
		if !known || options.Limit != 2 {
			return nil, fmt.Errorf("asked for %d objects from %q on", options.Limit, options.Continue)
		}
		delete(pages, options.Continue)
		return []byte(page), nil
	})}}
	var names []string
	err := s.each(t.Context(), pods, "team-a", func(object *item) error {
		names = append(names, object.name)
		return nil
	})
	if diff := cmp.Diff([]string{"a", "b", "c"}, names); diff != "" || err != nil {
		t.Errorf("error %v; objects (-want +got):\n%s", err, diff)
	}
}
