package scan

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
)

// lister answers List by a function and nothing else.
type lister struct {
	dynamic.ResourceInterface
	list func(metav1.ListOptions) (*unstructured.UnstructuredList, error)
}

func (l lister) List(_ context.Context, options metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	return l.list(options)
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
			_, err := list(t.Context(), lister{list: func(options metav1.ListOptions) (*unstructured.UnstructuredList, error) {
				tokens = append(tokens, options.Continue)
				if len(tokens) == 1 {
					return nil, tc.err
				}
				return &unstructured.UnstructuredList{}, nil
			}}, metav1.ListOptions{Continue: tc.token})
			if (err != nil) != tc.wantErr {
				t.Errorf("error = %v", err)
			}
			if diff := cmp.Diff(tc.want, tokens); diff != "" {
				t.Errorf("tokens (-want +got):\n%s", diff)
			}
		})
	}
}
