package snapshot

import (
	"bytes"
	"errors"
	"testing"
)

// counted is a system that has as many faults as a test says: a thread has some of its own at
// any time.
func counted(t *testing.T) (*System, *int64) {
	t.Helper()
	system, faults := systems(t)["pagemap"], new(int64)
	system.faults = func() int64 { return *faults }
	return system, faults
}

// afterFirst is a memory that was restored so often that it is dropped no more for a while, and
// its content. Its pages from 0 to 4 are private.
func afterFirst(t *testing.T, system *System) (*Memory, []byte) {
	t.Helper()
	memory, _ := newMemory(t, system, 100)
	content := memory.Reallocate(100 * page)
	for range 10 {
		writeTo(content, 0, 1, 2, 3, 4)
		restore(t, memory)
	}
	return memory, content
}

func writeTo(content []byte, pages ...uint64) {
	for _, number := range pages {
		content[number*page+1] ^= 0xff
	}
}

// The system is asked what is private only when something can have become private.
func TestRestoreAsksAfterFaultsOnly(t *testing.T) {
	system, faults := counted(t)
	for name, test := range map[string]struct {
		watched, stayed bool
		written         []uint64
		pages           int
		asked           bool
	}{
		"the same pages":          {true, true, []uint64{0, 1, 2, 3, 4}, 5, false},
		"some of them":            {true, true, []uint64{3}, 5, false},
		"none":                    {true, true, nil, 5, false},
		"another page":            {true, true, []uint64{0, 50}, 6, true},
		"on another thread":       {true, false, []uint64{0}, 5, true},
		"not watched":             {false, true, []uint64{0}, 5, true},
		"not watched, by another": {false, false, []uint64{0, 50}, 6, true},
	} {
		t.Run(name, func(t *testing.T) {
			memory, content := afterFirst(t, system)
			if test.watched {
				memory.Watch()
			}
			writeTo(content, test.written...)
			if test.pages == 6 {
				*faults++
			}
			want := Restored{Pages: test.pages, Asked: test.asked}
			if got, err := memory.Restore(test.stayed); err != nil || got != want {
				t.Errorf("got %+v, %v, want %+v", got, err, want)
			}
			if err := memory.Check(); err != nil {
				t.Error(err)
			}
			memory.Watch()
			want.Asked = false // what was another page is known now
			if got, err := memory.Restore(true); err != nil || got != want {
				t.Errorf("the next time: got %+v, %v, want %+v", got, err, want)
			}
		})
	}
}

// A watch is over with the call that it was for.
func TestWatchLastsUntilRestore(t *testing.T) {
	system, _ := counted(t)
	memory, _ := afterFirst(t, system)
	memory.Watch()
	if got, err := memory.Restore(true); err != nil || got.Asked {
		t.Fatalf("got %+v, %v", got, err)
	}
	if got, err := memory.Restore(true); err != nil || !got.Asked {
		t.Errorf("got %+v, %v, want the system asked without a watch", got, err)
	}
}

// Pages that one call has grown into are private still when a later one grows into them again,
// without a fault; those between may not have looked so far.
func TestRestoreRemembersPagesBeyondTheMemory(t *testing.T) {
	system, faults := counted(t)
	memory, content := afterFirst(t, system)
	again := func(length, number uint64, fault int64) Restored {
		t.Helper()
		memory.Watch()
		writeTo(memory.Reallocate(length*page), number)
		*faults += fault
		restored, err := memory.Restore(true)
		if err != nil {
			t.Fatal(err)
		}
		memory.Force()
		memory.Reallocate(0)
		return restored
	}
	again(150, 149, 1)
	again(100, 60, 1)
	again(100, 61, 1)
	if got := again(150, 149, 0); got.Asked {
		t.Errorf("got %+v, want the system not asked", got)
	}
	if behind := memory.Reallocate(150 * page)[100*page:]; !bytes.Equal(behind, make([]byte, len(behind))) {
		t.Error("what a call has written behind the image is still there")
	}
	if err := memory.Check(); err != nil || len(content) != int(100*page) {
		t.Error(err)
	}
}

// After all private pages were dropped, none is.
func TestNoPageIsPrivateOnceAllWereDropped(t *testing.T) {
	system, faults := counted(t)
	memory, content := afterFirst(t, system)
	for !restore(t, memory).Dropped {
	}
	memory.Watch()
	if got, err := memory.Restore(true); err != nil || got != (Restored{}) {
		t.Errorf("got %+v, %v, want nothing to do", got, err)
	}
	memory.Watch()
	writeTo(content, 7)
	*faults++
	if got, err := memory.Restore(true); err != nil || got != (Restored{Pages: 1, Asked: true}) {
		t.Errorf("got %+v, %v, want a page", got, err)
	}
}

// Another image is another memory, of which nothing is known.
func TestAnotherImageIsLookedThrough(t *testing.T) {
	system, _ := counted(t)
	memory, content := afterFirst(t, system)
	_, other := newMemory(t, system, 50)
	if err := memory.Adopt(other); err != nil {
		t.Fatal(err)
	}
	writeTo(content, 3)
	memory.Watch()
	if got, err := memory.Restore(true); err != nil || !got.Asked || got.Pages != 1 {
		t.Errorf("got %+v, %v, want the system asked", got, err)
	}
}

// errRead is what a broken pagemap says.
var errRead = errors.New("broken")

// breaking reads from a pagemap until it breaks.
type breaking struct {
	entryReader

	broken bool
}

func (b *breaking) ReadAt(entries []byte, offset int64) (int, error) {
	if b.broken {
		return 0, errRead
	}
	return b.entryReader.ReadAt(entries, offset)
}

// What the pagemap could not say is not known the next time either.
func TestNothingIsKnownAfterAnError(t *testing.T) {
	system, _ := counted(t)
	pagemap := &breaking{entryReader: system.pagemap}
	system.pagemap = pagemap
	memory, content := afterFirst(t, system)
	writeTo(content, 9)
	pagemap.broken = true
	if _, err := memory.Restore(false); !errors.Is(err, errRead) {
		t.Fatalf("got %v, want %v", err, errRead)
	}
	pagemap.broken = false
	memory.Watch()
	if got, err := memory.Restore(true); err != nil || got != (Restored{Pages: 6, Asked: true}) {
		t.Errorf("got %+v, %v, want 6 pages, asked for", got, err)
	}
}

// Faults are relied on only where each page that becomes private is one.
func TestFaultsAreTried(t *testing.T) {
	for name, test := range map[string]struct {
		count func() int64
		want  bool
	}{
		"as they are":  {threadFaults, true},
		"unknown":      {func() int64 { return -1 }, false},
		"all the same": {func() int64 { return 5 }, false},
		"rarely counted": {func() func() int64 {
			counts := []int64{1, 2, 2, 3, 3, 3}
			return func() int64 {
				count := counts[0]
				counts = append(counts[1:], counts[len(counts)-1])
				return count
			}
		}(), false},
	} {
		t.Run(name, func(t *testing.T) {
			system := &System{pageSize: int(page)}
			system.relyOn(test.count)
			if got := system.faults != nil; got != test.want {
				t.Errorf("relied on: %v, want %v", got, test.want)
			}
		})
	}
	system := systems(t)["pagemap"]
	system.faults = nil
	memory, content := afterFirst(t, system)
	memory.Watch()
	writeTo(content, 1)
	if got, err := memory.Restore(true); err != nil || !got.Asked {
		t.Errorf("got %+v, %v, want the system asked where faults are not counted", got, err)
	}
}
