package objects

import (
	"errors"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/host"
)

var wantPods = []host.Resource{{APIVersion: "v1", Kind: "Pod"}}

// scripted is an API server whose lists and watches come from a test, one by one.
type scripted struct {
	*apiServer
	lists chan any
	// watches are those that have begun.
	watches chan watching
}

func newScripted(t *testing.T, lists ...any) *scripted {
	t.Helper()
	s := &scripted{apiServer: newAPIServer(t), lists: make(chan any, len(lists)), watches: make(chan watching, 100)}
	for _, list := range lists {
		s.lists <- list
	}
	s.list = func(url.Values) any {
		select {
		case next := <-s.lists:
			return next
		default:
			t.Error("the API server was asked for one list too many")
			return podsOf("")
		}
	}
	s.watch = func(query url.Values) watching {
		if query.Get("sendInitialEvents") != "" {
			return watching{err: apierrors.NewBadRequest("no lists are streamed here")}
		}
		begun := watching{events: make(chan metav1.WatchEvent, 1)}
		s.watches <- begun
		return begun
	}
	return s
}

// begun waits for the next watch: by then what was listed is known.
func (s *scripted) begun(t *testing.T) watching {
	t.Helper()
	return receive(t, s.watches, "nothing is watched")
}

func receive[T any](t *testing.T, from <-chan T, otherwise string) T {
	t.Helper()
	select {
	case next := <-from:
		return next
	case <-time.After(time.Minute):
		t.Fatal(otherwise)
		panic("unreachable")
	}
}

// expired has a watch end because its version is too old.
func (w watching) expired() {
	status := apierrors.NewResourceExpired("too old").ErrStatus
	status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	w.events <- metav1.WatchEvent{Type: "ERROR", Object: runtime.RawExtension{Object: &status}}
	close(w.events)
}

var forbidden = apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("no role allows it"))

// checkPods asks for all Pods and compares their names, or else the error.
func (c *cluster) checkPods(t *testing.T, when, want, wantErr string) {
	t.Helper()
	got, err := c.as(t, asking{"", operationListAll, askPods}, "Pod")
	var names []string
	for _, name := range []string{"a", "b"} {
		if strings.Contains(got, `"name":"`+name+`"`) {
			names = append(names, name)
		}
	}
	if strings.Join(names, " ") != want || wantErr == "" && err != nil || wantErr != "" && (err == nil || !strings.HasPrefix(err.Error(), wantErr)) {
		t.Errorf("%s: got %s, %v; want %s, %q", when, names, err, want, wantErr)
	}
}

func podA() *unstructured.Unstructured { return pod("team", "a", nil) }
func podB() *unstructured.Unstructured { return pod("team", "b", nil) }

// What a policy may list is there before anybody asks, as long as there is such a policy.
func TestWantedKindsAreKnownBeforeAnybodyAsks(t *testing.T) {
	served := newScripted(t, podsOf("", podA()), podsOf("", podB()))
	c := served.cluster(t, Config{})
	c.Want(append(wantPods, host.Resource{APIVersion: "v1", Kind: "Binding"})) // which cannot be listed
	served.begun(t)
	c.Want(wantPods)
	c.checkPods(t, "wanted", "a", "") // of the one list that there was
	c.Want(nil)
	if usage := c.Usage(); len(usage) > 0 {
		t.Errorf("got %+v, want nothing that nobody reads", usage)
	}
	c.checkPods(t, "by somebody who may still ask", "b", "")
	c.Close()
	c.Want(wantPods) // too late for anything
}

// A kind that is wanted does not expire.
func TestWantedKindsStay(t *testing.T) {
	var passed atomic.Int64
	served := newScripted(t, podsOf("", podA()))
	c := served.cluster(t, Config{Now: func() time.Time { return time.Unix(passed.Load(), 0) }})
	c.Want(wantPods)
	served.begun(t)
	passed.Store(int64(24 * time.Hour / time.Second))
	c.checkPods(t, "a day later", "a", "")
}

// A watch that the API server ends for its age begins again with a list, and until then
// what was known is answered.
func TestWatchThatExpired(t *testing.T) {
	served := newScripted(t, podsOf("", podA()))
	c := served.cluster(t, Config{})
	c.checkPods(t, "at first", "a", "")
	held, listing := make(chan any), make(chan struct{}, 1)
	served.mu.Lock()
	served.list = func(url.Values) any { listing <- struct{}{}; return <-held }
	served.mu.Unlock()
	served.begun(t).expired()
	receive(t, listing, "nothing is listed again")
	c.checkPods(t, "while it is listed again", "a", "")
	held <- podsOf("", podB())
	served.begun(t)
	c.checkPods(t, "afterwards", "b", "")
}

// A right that is taken away counts as soon as the API server is asked again: what was known
// is told no longer. It is told of once that has lasted, and no longer when it is back.
func TestRightThatIsTakenAway(t *testing.T) {
	var passed atomic.Int64
	changed := make(chan struct{}, 100)
	served := newScripted(t, podsOf("", podA()))
	c := served.cluster(t, Config{
		Now:     func() time.Time { return time.Unix(passed.Load(), 0) },
		Changed: func() { changed <- struct{}{} },
	})
	c.Want(wantPods)
	first := served.begun(t)
	granted := make(chan any, 1)
	served.mu.Lock()
	served.list = func(url.Values) any {
		select {
		case list := <-granted:
			return list
		default:
			return forbidden
		}
	}
	served.mu.Unlock()
	c.checkPods(t, "as long as the watch lasts", "a", "")
	first.expired()
	receive(t, changed, "nobody is told that the right is gone")
	const lacks = `the account of the policy server lacks the right to list and watch pods (apiGroup ""): pods is forbidden`
	c.checkPods(t, "afterwards", "", lacks)
	if problems := c.Problems(); len(problems) > 0 {
		t.Errorf("got %+v at once, want that it may pass", problems)
	}
	passed.Store(int64(settling / time.Second))
	if got := c.Problems()[wantPods[0]]; got.Trouble != TroubleForbidden || !strings.HasPrefix(got.Message, lacks) {
		t.Errorf("got %+v, want the right that is missing", got)
	}
	granted <- podsOf("", podB())
	served.begun(t)
	c.checkPods(t, "when it is back", "b", "")
	if problems := c.Problems(); len(problems) > 0 {
		t.Errorf("got %+v, want none", problems)
	}
}

// What has no room is told of at once.
func TestProblemOfAKindWithoutRoom(t *testing.T) {
	told := make(chan struct{}, 100)
	served := newScripted(t, podsOf("", large("large", 4<<10)))
	c := served.cluster(t, Config{Memory: allowing(4 << 10), Changed: func() { told <- struct{}{} }})
	c.Want(wantPods)
	for c.Problems()[wantPods[0]].Trouble != TroubleNoRoom {
		receive(t, told, "nobody is told that there is no room")
	}
	if got := c.Problems()[wantPods[0]].Message; !strings.HasPrefix(got, "the objects of v1/Pod need ") {
		t.Errorf("got %s", got)
	}
}
