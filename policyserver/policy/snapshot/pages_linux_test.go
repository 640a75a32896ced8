package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pageSizes are those of Linux on the processors that there are images for: an arm64 has one of
// them, whatever this machine has.
var pageSizes = []int{4 << 10, 16 << 10, 64 << 10}

// withPages is a system whose pages are as large, which is a multiple of what they are here.
func withPages(t testing.TB, pageSize int) *System {
	t.Helper()
	file, err := os.Open(pagemapFile)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	system := &System{pageSize: pageSize, pagemap: largerPages{file, pageSize / os.Getpagesize()}}
	if err := system.tryMemory(alignedMemory(t, system, uint64(trialPages*pageSize)), true); err != nil {
		t.Fatalf("pages of %d bytes: %v", pageSize, err)
	}
	return system
}

// largerPages is the pagemap of a system whose pages are some of this machine's: one that is
// private in part is private, and then all of it is to be put back.
type largerPages struct {
	file   *os.File
	factor int
}

func (l largerPages) Close() error { return nil }

func (l largerPages) ReadAt(entries []byte, offset int64) (int, error) {
	if len(entries)%entrySize != 0 || offset%entrySize != 0 {
		return 0, errors.New("part of an entry")
	}
	parts := make([]byte, len(entries)*l.factor)
	if _, err := l.file.ReadAt(parts, offset*int64(l.factor)); err != nil {
		return 0, err
	}
	for at := 0; at < len(entries); at += entrySize {
		whole := uint64(0)
		for part := range l.factor {
			entry := binary.LittleEndian.Uint64(parts[at*l.factor+part*entrySize:])
			if private(entry) {
				whole = bitPresent
				break
			}
			whole |= entry & (bitPresent | bitShared)
		}
		binary.LittleEndian.PutUint64(entries[at:], whole)
	}
	return len(entries), nil
}

// alignedMemory is a memory that begins where a page begins, as the system's own do.
func alignedMemory(t testing.TB, system *System, limit uint64) *Memory {
	t.Helper()
	memory, err := system.NewMemory(limit + uint64(system.pageSize))
	if err != nil {
		t.Fatal(err)
	}
	all := memory.space
	t.Cleanup(func() {
		if err := unix.Munmap(all); err != nil {
			t.Error(err)
		}
	})
	size := uintptr(system.pageSize)
	skip := (size - uintptr(unsafe.Pointer(unsafe.SliceData(all)))%size) % size
	memory.space = all[skip : skip+(uintptr(limit)+size-1)/size*size]
	return memory
}

// Pages of other machines are put back whole, by their own count.
func TestRestoreWithOtherPages(t *testing.T) {
	for _, pageSize := range pageSizes {
		if pageSize < os.Getpagesize() {
			continue // no machine can do that
		}
		for _, method := range []Method{MethodPagemap, MethodCopy} {
			t.Run(fmt.Sprint(pageSize, method), func(t *testing.T) {
				system := withPages(t, pageSize)
				if method == MethodCopy {
					system.Distrust(errors.New("for a test"))
				}
				restoreOtherPages(t, system, method)
			})
		}
	}
}

func restoreOtherPages(t *testing.T, system *System, method Method) {
	t.Helper()
	const pages = 1030 // more than are looked at in one go
	const grown = 4
	size := system.pageSize
	first := alignedMemory(t, system, uint64(pages*size))
	content := first.Reallocate(uint64(pages * size))
	for number := range pages {
		content[number*size+size/2] = byte(1 + number%250)
	}
	image, err := first.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	for _, written := range [][]int{{}, {0}, {pages - 1}, {1, 2, 1022, 1023, 1024, 1025}, {0, pages, pages + 3}} {
		memory := alignedMemory(t, system, uint64(2*pages*size))
		if err := memory.Adopt(image); err != nil {
			t.Fatal(err)
		}
		content := memory.Reallocate(uint64((pages + grown) * size))
		for _, number := range written {
			for _, at := range []int{0, size/2 + 8, size - 1} {
				content[number*size+at] = 0xee
			}
		}
		want := Restored{Pages: len(written), Asked: true}
		if method == MethodCopy {
			want = Restored{Pages: pages + grown}
		}
		if got := restore(t, memory); got != want {
			t.Errorf("pages %v: got %+v, want %+v", written, got, want)
		}
		if err := memory.Check(); err != nil {
			t.Errorf("pages %v: %v", written, err)
		}
		memory.Force()
		if got := memory.Reallocate(0); len(got) != pages*size {
			t.Errorf("the memory has %d bytes again, want %d", len(got), pages*size)
		}
	}
}

// Memories are whole pages, and so are the memories of WebAssembly, which grow by 64 KiB.
func TestMemoriesAreWholePages(t *testing.T) {
	for _, pageSize := range pageSizes {
		system := &System{pageSize: pageSize}
		for limit, want := range map[int]int{0: pageSize, 1: pageSize, pageSize: pageSize, pageSize + 1: 2 * pageSize, 3 << 16: 3 << 16} {
			memory, err := system.NewMemory(uint64(limit))
			if err != nil {
				t.Fatal(err)
			}
			if got := len(memory.space); got != want {
				t.Errorf("pages of %d: %d bytes for a limit of %d, want %d", pageSize, got, limit, want)
			}
			memory.Free()
		}
		memory, err := system.NewMemory(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		defer memory.Free()
		for _, length := range []int{pageSize / 2, pageSize + 4096/2} {
			memory.Reallocate(uint64(length))
			if _, err := memory.Snapshot(); err == nil {
				t.Errorf("pages of %d: an image was made of %d bytes", pageSize, length)
			}
		}
	}
}
