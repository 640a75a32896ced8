package report

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// received is what of a request to write says where it goes, and what comes back.
type received struct{ Method, Path, ContentType, Accept, APIVersion, Kind, Name string }

// writing is a Store whose writes go to a function, and what that has received.
func writing(t *testing.T, kind Kind, answer http.HandlerFunc) (*Store, *[]received) {
	t.Helper()
	requests := &[]received{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		sent := metav1.PartialObjectMetadata{}
		if err == nil {
			err = json.Unmarshal(body, &sent)
		}
		if err != nil {
			t.Error(err)
		}
		*requests = append(*requests, received{r.Method, r.URL.RequestURI(), r.Header.Get("Content-Type"), r.Header.Get("Accept"), sent.APIVersion, sent.Kind, sent.Name})
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	store, err := NewStore(nil, kind, runUID)
	if err == nil {
		err = store.WriteBriefly(&rest.Config{Host: server.URL})
	}
	if err != nil {
		t.Fatal(err)
	}
	return store, requests
}

func TestBriefWritesGoWhereReportsAre(t *testing.T) {
	for kind, want := range map[Kind]struct{ version, namespaced, cluster, namespacedPath, clusterPath string }{
		KindPolicyReport: {
			"wgpolicyk8s.io/v1alpha2", "PolicyReport", "ClusterPolicyReport",
			"/apis/wgpolicyk8s.io/v1alpha2/namespaces/team-a/policyreports", "/apis/wgpolicyk8s.io/v1alpha2/clusterpolicyreports",
		},
		KindOpenReports: {
			"openreports.io/v1alpha1", "Report", "ClusterReport",
			"/apis/openreports.io/v1alpha1/namespaces/team-a/reports", "/apis/openreports.io/v1alpha1/clusterreports",
		},
	} {
		t.Run(string(kind), func(t *testing.T) {
			// Whatever the answer says, nobody reads it.
			store, requests := writing(t, kind, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusCreated)
				_, _ = w.Write([]byte("{"))
			})
			for _, namespace := range []string{"team-a", ""} {
				report := store.family.write(metav1.ObjectMeta{Namespace: namespace, Name: "one"}, content{})
				for _, write := range []func() error{
					func() error { return store.writer.create(t.Context(), report) },
					func() error { return store.writer.update(t.Context(), report) },
				} {
					if err := write(); err != nil {
						t.Error(err)
					}
				}
			}
			const accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
			sent := func(method, path, sentKind string) received {
				return received{method, path, "application/json", accept, want.version, sentKind, "one"}
			}
			if diff := cmp.Diff([]received{
				sent(http.MethodPost, want.namespacedPath, want.namespaced), sent(http.MethodPut, want.namespacedPath+"/one", want.namespaced),
				sent(http.MethodPost, want.clusterPath, want.cluster), sent(http.MethodPut, want.clusterPath+"/one", want.cluster),
			}, *requests); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

// What a Session does after a refusal depends on what was refused and why.
func TestBriefWritesTellWhyTheyAreRefused(t *testing.T) {
	resource := schema.GroupResource{Group: "wgpolicyk8s.io", Resource: "policyreports"}
	for name, tc := range map[string]struct {
		refused *apierrors.StatusError
		is      func(error) bool
	}{
		"exists":       {apierrors.NewAlreadyExists(resource, "one"), apierrors.IsAlreadyExists},
		"conflict":     {apierrors.NewConflict(resource, "one", nil), apierrors.IsConflict},
		"no namespace": {apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "team-a"), namespaceGone},
	} {
		t.Run(name, func(t *testing.T) {
			store, _ := writing(t, KindPolicyReport, func(w http.ResponseWriter, _ *http.Request) {
				status := tc.refused.Status()
				status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(int(status.Code))
				_ = json.NewEncoder(w).Encode(status)
			})
			report := store.family.write(metav1.ObjectMeta{Namespace: "team-a", Name: "one"}, content{})
			for verb, write := range map[string]func(client.Object) error{
				"create": func(o client.Object) error { return store.writer.create(t.Context(), o) },
				"update": func(o client.Object) error { return store.writer.update(t.Context(), o) },
			} {
				if err := write(report); !tc.is(err) || !strings.Contains(err.Error(), tc.refused.ErrStatus.Message) {
					t.Errorf("%s: got %v, want %v", verb, err, tc.refused)
				}
			}
		})
	}
}
