package evaluation

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
)

func TestEvict(t *testing.T) {
	of := func(namespace, id string, modules ...string) tenant {
		one := tenant{namespace: namespace, id: id, modules: map[string]int64{}}
		for _, digest := range modules {
			one.modules[digest] = 10
		}
		return one
	}
	// Each module has 10 bytes. The oldest come first.
	tenants := []tenant{
		of("", "cluster", "shared"), of("a", "a1", "m1"), of("b", "b1", "m2"), of("b", "b2", "m3"), of("b", "b3", "shared"), of("c", "c1", "m1"),
	}
	for name, tc := range map[string]struct {
		asking          tenant
		needed, allowed int64
		want            string // who goes; "none", or "itself" when the one that asks has to go without
	}{
		"there is room":                        {of("", "x"), 10, 50, "none"},
		"the newest of the one that uses most": {of("", "x"), 10, 40, "b2"},
		"what is shared with the cluster does not count, and helps nobody": {of("", "x"), 20, 40, "b2 b1"},
		"all but the cluster's":                      {of("", "x"), 30, 40, "b2 a1 b1 c1"},
		"not even then":                              {of("", "x"), 31, 40, "itself"},
		"a namespace that will use less":             {of("d", "x"), 10, 40, "b2"},
		"a namespace that will use as much":          {of("d", "x"), 20, 50, "itself"},
		"a namespace that uses most already":         {of("b", "x"), 10, 40, "itself"},
		"one that uses less needs more than is fair": {of("a", "x"), 10, 40, "itself"},
		"modules of a group that are loaded count":   {of("", "x", "m9"), 10, 50, "b2"},
		"modules of a group that others have do not": {of("", "x", "m2"), 10, 50, "none"},
		"a module that is larger than all there is":  {of("", "x"), 60, 50, "itself"},
	} {
		t.Run(name, func(t *testing.T) {
			gone, fits := evict(tenants, tc.asking, tc.needed, tc.allowed)
			var ids []string
			for _, one := range gone {
				ids = append(ids, one.id)
			}
			got := strings.Join(ids, " ")
			switch {
			case !fits:
				got = "itself"
			case got == "":
				got = "none"
			}
			if got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// inSmallWorld is a world whose modules have so many bytes of memory; the size of a module is
// the length of its text.
func inSmallWorld(t *testing.T, bytes int64, test func(w *world)) {
	t.Helper()
	inWorld(t, func(w *world) {
		w.memory = memory.NewBudget(memory.Plan{Limit: 1 << 30, Modules: bytes, Guests: 1}, nil)
		for _, text := range []string{"one", "two", "six", "ten"} {
			w.serve(text, text)
		}
		test(w)
	})
}

func policies(modules map[string]string) Wanted {
	wanted := contract.Policies{}
	for id, module := range modules {
		wanted[id] = contract.Entry{Module: module}
	}
	return entries(wanted)
}

func wantNoRoom(w *world, ids ...string) {
	w.t.Helper()
	failures := w.Snapshot().Failures
	without := make([]string, 0, len(failures))
	for id, failure := range failures {
		if failure.Reason != contract.ReasonNoRoom {
			w.t.Errorf("%s: got reason %s", id, failure.Reason)
		}
		without = append(without, id)
	}
	if slices.Sort(without); !slices.Equal(without, ids) {
		w.t.Errorf("no room for %v, want %v", without, ids)
	}
}

const (
	clusterOne, clusterTwo = "kw.cap.one", "kw.capg.two"
	tenantA, tenantB       = "kw.ap.a.mine", "kw.ap.b.mine"
)

func TestNoRoomIsSaidAndTriedAgainWhenThereIsSome(t *testing.T) {
	inSmallWorld(t, 6, func(w *world) {
		w.applyAndWait(policies(map[string]string{clusterOne: "one", tenantA: "two"}))
		w.applyAndWait(policies(map[string]string{clusterOne: "one", tenantA: "two", tenantB: "six"}))
		wantNoRoom(w, tenantB)
		want(w.t, w, tenantB, "bootstrap failure: kw.ap.b.mine: the module needs 0.0 MiB of memory; "+
			"modules have 0.0 MiB of the 0.0 MiB that are allowed by the memory limit of 1024.0 MiB")
		wantReady(w, "one has no room", true)
		// A module that is there already takes none.
		w.applyAndWait(policies(map[string]string{clusterOne: "one", tenantA: "two", tenantB: "one"}))
		wantNoRoom(w)
		w.applyAndWait(policies(map[string]string{clusterOne: "one", tenantA: "two", tenantB: "six"}))
		want(w.t, w, tenantB, "one {}") // the earlier revision goes on
		wantNoRoom(w, tenantB)
		w.applyAndWait(policies(map[string]string{clusterOne: "one", tenantB: "six"}))
		wantNoRoom(w)
		want(w.t, w, tenantB, "six {}")
	})
}

func TestClusterWidePolicyTakesTheRoomOfNamespacedOnes(t *testing.T) {
	inSmallWorld(t, 6, func(w *world) {
		before := map[string]string{tenantA: "one", "kw.ap.a.other": "two"}
		w.applyAndWait(policies(map[string]string{tenantA: "one"}))
		w.applyAndWait(policies(before))
		wantNoRoom(w)
		all := map[string]string{tenantA: "one", "kw.ap.a.other": "two", clusterOne: "six"}
		w.applyAndWait(policies(all))
		wantNoRoom(w, "kw.ap.a.other")
		want(w.t, w, clusterOne, "six {}")
		want(w.t, w, tenantA, "one {}")
		// And keeps it, however often the other one is tried again.
		time.Sleep(time.Hour)
		wantNoRoom(w, "kw.ap.a.other")
		want(w.t, w, clusterOne, "six {}")
		w.applyAndWait(policies(before))
		wantNoRoom(w)
		want(w.t, w, "kw.ap.a.other", "two {}")
	})
}

func TestNamespacedPolicyNeverTakesTheRoomOfClusterWideOnes(t *testing.T) {
	inSmallWorld(t, 6, func(w *world) {
		w.applyAndWait(policies(map[string]string{clusterOne: "one", "kw.cap.two": "two"}))
		w.applyAndWait(policies(map[string]string{clusterOne: "one", "kw.cap.two": "two", tenantA: "six"}))
		wantNoRoom(w, tenantA)
		time.Sleep(time.Hour)
		want(w.t, w, clusterOne, "one {}")
		want(w.t, w, "kw.cap.two", "two {}")
	})
}

// However everything starts at once, the cluster's own policies are served.
func TestClusterWidePoliciesComeFirstWhenAllStartAtOnce(t *testing.T) {
	inSmallWorld(t, 6, func(w *world) {
		w.applyAndWait(policies(map[string]string{tenantA: "one", tenantB: "two", clusterOne: "six", "kw.cap.two": "ten"}))
		time.Sleep(time.Minute)
		synctest.Wait()
		wantNoRoom(w, tenantA, tenantB)
		want(w.t, w, clusterOne, "six {}")
		want(w.t, w, "kw.cap.two", "ten {}")
	})
}

// What a request still uses is given back when it has its answer; the policy that was
// favoured is tried again until then.
func TestRoomThatIsStillInUseIsWaitedFor(t *testing.T) {
	inSmallWorld(t, 3, func(w *world) {
		w.applyAndWait(policies(map[string]string{tenantA: "one"}))
		hold := make(chan struct{})
		w.mu.Lock()
		w.compiled[0].hold = hold
		w.mu.Unlock()
		answered := make(chan string)
		go func() { answered <- w.ask(w.t, tenantA) }()
		synctest.Wait()
		w.applyAndWait(policies(map[string]string{tenantA: "one", clusterOne: "six"}))
		wantNoRoom(w, tenantA, clusterOne)
		wantReady(w, "was ready before", true)
		// The one that went does not ask for the room that it has made.
		if got := w.Snapshot().Failures[tenantA].Cause; !strings.Contains(got, "was needed for kw.cap.one") {
			w.t.Errorf("got %s", got)
		}
		time.Sleep(10 * time.Second)
		close(hold)
		if got := <-answered; got != "one {}" {
			w.t.Errorf("the request to the policy that went got %q", got)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		wantNoRoom(w, tenantA)
		want(w.t, w, clusterOne, "six {}")
	})
}

func TestGroupOfTheClusterTakesRoomForAllOfItsModules(t *testing.T) {
	inSmallWorld(t, 6, func(w *world) {
		w.applyAndWait(policies(map[string]string{tenantA: "one"}))
		wanted := policies(map[string]string{tenantA: "one"})
		wanted.Policies[clusterTwo] = contract.Entry{
			Policies: map[string]contract.Member{"x": {Module: "two"}, "y": {Module: "six"}}, Expression: "x() || y()", Message: "no",
		}
		w.applyAndWait(wanted)
		time.Sleep(time.Minute)
		synctest.Wait()
		wantNoRoom(w, tenantA)
		want(w.t, w, clusterTwo, "no")
	})
}
