package objects

import (
	"cmp"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
)

// apiServer is an API server on loopback that knows Pods alone, of which a test says what
// becomes of each request.
type apiServer struct {
	*httptest.Server

	mu sync.Mutex // held while a request is answered
	// list answers with a list, or with the status of an error.
	list func(query url.Values) any
	// watch gives what happens; nil refuses, as API servers do that do not stream lists.
	watch func(query url.Values) watching
	// asked are the queries of lists and watches.
	asked []url.Values
}

// watching is a watch: events until they are closed, or else an error.
type watching struct {
	events chan metav1.WatchEvent
	err    *apierrors.StatusError
}

func newAPIServer(t *testing.T) *apiServer {
	t.Helper()
	served := &apiServer{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1", func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: "v1", APIResources: []metav1.APIResource{
			{Name: "pods", Kind: "Pod", Namespaced: true, Verbs: metav1.Verbs{"get", "list", "watch"}},
			{Name: "bindings", Kind: "Binding", Namespaced: true, Verbs: metav1.Verbs{"create"}},
		}})
	})
	mux.HandleFunc("GET /api/v1/pods", served.pods)
	mux.HandleFunc("/", func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the API server was asked %s %s", r.Method, r.URL)
	})
	served.Server = httptest.NewServer(mux)
	t.Cleanup(served.Close)
	return served
}

func (s *apiServer) pods(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if query.Get("watch") == "" {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked = append(s.asked, query)
		answer := s.list(query)
		if refused, is := answer.(*apierrors.StatusError); is {
			refuse(w, refused)
			return
		}
		write(w, http.StatusOK, answer)
		return
	}
	s.mu.Lock()
	s.asked = append(s.asked, query)
	begun := watching{err: apierrors.NewBadRequest("no lists are streamed here")}
	if query.Get("sendInitialEvents") == "" && s.watch == nil {
		begun = watching{events: make(chan metav1.WatchEvent)}
	} else if s.watch != nil {
		begun = s.watch(query)
	}
	s.mu.Unlock()
	if begun.err != nil {
		refuse(w, begun.err)
		return
	}
	follow(w, r, begun.events)
}

// follow writes events until there are no more of them, or nobody reads them.
func follow(w http.ResponseWriter, r *http.Request, events <-chan metav1.WatchEvent) {
	w.Header().Set("Content-Type", "application/json")
	flusher := http.NewResponseController(w)
	for _ = flusher.Flush(); ; _ = flusher.Flush() {
		select {
		case event, more := <-events:
			if !more || json.NewEncoder(w).Encode(event) != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

func refuse(w http.ResponseWriter, refused *apierrors.StatusError) {
	status := refused.ErrStatus
	status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	write(w, int(status.Code), status)
}

func write(w http.ResponseWriter, code int, content any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(content) // nobody reads it any more, if it fails
}

// podsOf is a page of a list of Pods.
func podsOf(next string, items ...*unstructured.Unstructured) *unstructured.UnstructuredList {
	list := &unstructured.UnstructuredList{Object: map[string]any{
		"apiVersion": "v1", "kind": "PodList", "metadata": map[string]any{"continue": next, "resourceVersion": "10"},
	}}
	for _, item := range items {
		list.Items = append(list.Items, *item)
	}
	return list
}

// cluster reads from the API server.
func (s *apiServer) cluster(t *testing.T, config Config) *cluster {
	t.Helper()
	clients, err := NewClients(&rest.Config{Host: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	config.Clients = clients
	config.Logger = cmp.Or(config.Logger, slog.New(slog.DiscardHandler))
	if config.Now == nil {
		config.Now = time.Now
	}
	c := &cluster{Capability: New(config)}
	t.Cleanup(c.Close)
	return c
}
