package memory

import (
	"errors"
	"slices"
	"sync"
	"testing"
)

func TestModulesLeaveRoomForGuests(t *testing.T) {
	budget := NewBudget(NewPlan(1024*mebibyte), nil) // 336 of it for modules, and as much for guests
	if err := budget.Take(Modules, Size{Mapped: 200 * mebibyte, Heap: 136 * mebibyte}); err != nil {
		t.Fatal(err)
	}
	over, is := errors.AsType[*OverError](budget.Take(Modules, Size{Heap: 1}))
	if !is || *over != (OverError{Modules, 1, 336 * mebibyte, 336 * mebibyte, 1024 * mebibyte}) {
		t.Errorf("a module too many: got %+v", over)
	}
	if err := budget.Take(Guests, Size{Heap: 336 * mebibyte}); err != nil {
		t.Errorf("guests: %v", err)
	}
	err := budget.Take(Guests, Size{Heap: mebibyte})
	const want = "the policy needs 1.0 MiB of memory; running policies have 336.0 MiB of the 336.0 MiB that are allowed by the memory limit of 1024.0 MiB"
	if err == nil || err.Error() != want {
		t.Errorf("a guest too many: got %v, want %s", err, want)
	}
	budget.Give(Guests, Size{Heap: mebibyte})
	if err := budget.Take(Guests, Size{Heap: mebibyte}); err != nil {
		t.Errorf("after one has gone: %v", err)
	}
	if err := budget.Take(Objects, Size{Heap: 96 * mebibyte}); err != nil {
		t.Errorf("objects: %v", err)
	}
	err = budget.Take(Objects, Size{Heap: mebibyte})
	const wantObjects = "objects of the cluster need 1.0 MiB of memory; those that are kept have 96.0 MiB of the 96.0 MiB that are allowed by the memory limit of 1024.0 MiB"
	if err == nil || err.Error() != wantObjects {
		t.Errorf("an object too many: got %v, want %s", err, wantObjects)
	}
	if got, want := budget.Usage(Guests), (Usage{336 * mebibyte, 336 * mebibyte, 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestGoIsToldWhatIsOutsideOfItsHeap(t *testing.T) {
	var told []int64
	budget := NewBudget(NewPlan(1000*mebibyte), func(limit int64) { told = append(told, limit/mebibyte) })
	for _, kind := range []Kind{Modules, Guests} {
		if err := budget.Take(kind, Size{Mapped: 100 * mebibyte, Heap: 10 * mebibyte}); err != nil {
			t.Fatal(err)
		}
	}
	budget.Give(Modules, Size{Mapped: 100 * mebibyte, Heap: 10 * mebibyte})
	if err := budget.Take(Guests, Size{Heap: mebibyte}); err != nil { // nothing of it is outside
		t.Fatal(err)
	}
	if want := []int64{900, 810, 720, 810}; !slices.Equal(told, want) {
		t.Errorf("got %d, want %d", told, want)
	}
}

func TestWithoutALimitNothingIsRefused(t *testing.T) {
	for name, budget := range map[string]*Budget{"no limit": NewBudget(Plan{}, nil), "none": nil} {
		if err := budget.Take(Modules, Size{Mapped: 1 << 50}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if usage := budget.Usage(Modules); usage.Allowed != 0 || usage.Refused != 0 {
			t.Errorf("%s: got %+v", name, usage)
		}
		budget.Give(Modules, Size{Mapped: 1 << 50})
	}
}

func TestConcurrentGuestsStayWithinTheBudget(t *testing.T) {
	budget := NewBudget(NewPlan(256*mebibyte), nil)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 200 {
				if budget.Take(Guests, Size{Heap: 30 * mebibyte}) != nil {
					continue
				}
				if usage := budget.Usage(Guests); usage.Held > usage.Allowed {
					t.Errorf("got %+v", usage)
				}
				budget.Give(Guests, Size{Heap: 30 * mebibyte})
			}
		})
	}
	all.Wait()
	if usage := budget.Usage(Guests); usage.Held != 0 {
		t.Errorf("in the end: %+v", usage)
	}
}

// Who can do without something frees it, step by step, before anything is refused.
func TestWhatCanBeFreedGoesBeforeARefusal(t *testing.T) {
	budget := NewBudget(Plan{Limit: 1000, Modules: 100, Guests: 100}, nil)
	if err := budget.Take(Guests, Size{Heap: 90}); err != nil {
		t.Fatal(err)
	}
	steps := 0
	free := func() bool {
		if steps == 3 {
			return false
		}
		steps++
		budget.Give(Guests, Size{Heap: 10})
		return true
	}
	if err := budget.TakeOrFree(Guests, Size{Heap: 30}, free); err != nil || steps != 2 {
		t.Errorf("got %v after %d steps, want 2", err, steps)
	}
	if err := budget.TakeOrFree(Guests, Size{Heap: 30}, free); err == nil || steps != 3 {
		t.Errorf("got %v after %d steps, want a refusal after 3", err, steps)
	}
	if got, want := budget.Usage(Guests), (Usage{90, 100, 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestGoIsNotToldOfEveryCall(t *testing.T) {
	told := 0
	budget := NewBudget(NewPlan(1000*mebibyte), func(int64) { told++ })
	for range 100 {
		if err := budget.Take(Guests, Size{Mapped: 4 * mebibyte}); err != nil {
			t.Fatal(err)
		}
		budget.Give(Guests, Size{Mapped: 4 * mebibyte})
	}
	if told != 1 {
		t.Errorf("told %d times, want once", told)
	}
	if err := budget.Take(Guests, Size{Mapped: 11 * mebibyte}); err != nil || told != 2 {
		t.Errorf("told %d times, %v, want twice", told, err)
	}
}
