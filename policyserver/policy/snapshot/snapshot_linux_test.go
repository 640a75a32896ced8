package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
)

// page is the size of a page here.
var page = uint64(os.Getpagesize())

// systems are this machine with each method.
func systems(t testing.TB) map[string]*System {
	t.Helper()
	pagemap, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pagemap.Close() })
	if method, why := pagemap.Method(); method != MethodPagemap {
		t.Fatalf("method %v: %v", method, why)
	}
	copying, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { copying.Close() })
	copying.Distrust(errors.New("for a test"))
	if method, why := copying.Method(); method != MethodCopy || why.Error() != "for a test" {
		t.Fatalf("method %v: %v", method, why)
	}
	return map[string]*System{"pagemap": pagemap, "copy": copying}
}

// newMemory is a memory of that many pages that can grow to twice as many, with pages of
// zeros and others, and an image of it.
func newMemory(t testing.TB, system *System, pages uint64) (*Memory, *Image) {
	t.Helper()
	memory, err := system.NewMemory(2 * pages * page)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(memory.Free)
	content := memory.Reallocate(pages * page)
	for at := range content {
		if number := uint64(at) / page; number%3 != 1 {
			content[at] = byte(number + uint64(at)%7)
		}
	}
	image, err := memory.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { image.Close() })
	if err := memory.Adopt(image); err != nil {
		t.Fatal(err)
	}
	return memory, image
}

func restore(t testing.TB, memory *Memory) Restored {
	t.Helper()
	restored, err := memory.Restore(false)
	if err != nil {
		t.Fatal(err)
	}
	return restored
}

func TestRestorePutsBackWhatWasWritten(t *testing.T) {
	const pages = 3000 // more than are looked at in one go
	for name, system := range systems(t) {
		t.Run(name, func(t *testing.T) {
			memory, image := newMemory(t, system, pages)
			want := bytes.Clone(image.content)
			content := memory.Reallocate(pages * page)
			for _, written := range [][]uint64{{}, {0}, {pages - 1}, {1, 2, 3, 1023, 1024, 2047, 2048, 2049}, {0, pages - 1}} {
				for _, number := range written {
					content[number*page] ^= 0xff
					content[number*page+page-1] ^= 0xff
				}
				restore(t, memory)
				if !bytes.Equal(content, want) {
					t.Fatalf("after writing pages %v the content is another", written)
				}
			}
			if !bytes.Equal(image.content, want) {
				t.Error("the image has changed")
			}
		})
	}
}

// Only what was written is put back, not the pages that were read.
func TestRestoreByPagemapLeavesOtherPagesAlone(t *testing.T) {
	memory, _ := newMemory(t, systems(t)["pagemap"], 100)
	content := memory.Reallocate(100 * page)
	sum := byte(0)
	for _, b := range content {
		sum += b
	}
	content[5*page] = sum
	content[7*page] = 1
	if got := restore(t, memory); got != (Restored{Pages: 2, Asked: true}) {
		t.Errorf("got %+v, want 2 pages", got)
	}
}

func TestRestoreClearsWhatWasGrown(t *testing.T) {
	for name, system := range systems(t) {
		t.Run(name, func(t *testing.T) {
			memory, image := newMemory(t, system, 10)
			for range 20 { // by copying and by dropping
				growAndShrink(t, memory, image)
			}
		})
	}
}

// growAndShrink looks at a memory of 10 pages that is grown, written to and restored.
func growAndShrink(t *testing.T, memory *Memory, image *Image) {
	t.Helper()
	content := memory.Reallocate(20 * page)
	if at := bytes.IndexFunc(content[10*page:], func(r rune) bool { return r != 0 }); at >= 0 {
		t.Fatalf("byte %d behind the image is not zero after a restore", at)
	}
	for at := range content {
		content[at] = 0xaa
	}
	if !memory.Grown() {
		t.Fatal("a memory that has grown does not say so")
	}
	restore(t, memory)
	memory.Force()
	if got := memory.Reallocate(11 * page); !bytes.Equal(got, image.content) {
		t.Fatalf("memory of %d bytes is not as its image of %d", len(got), image.Len())
	}
	if memory.Grown() {
		t.Fatal("a memory that was shrunk says that it has grown")
	}
}

// firstPages are calls that write the first n of a memory's pages.
func firstPages(t *testing.T, memory *Memory, pages uint64) (call func(n int) Restored) {
	t.Helper()
	content := memory.Reallocate(pages * page)
	return func(n int) Restored {
		t.Helper()
		for number := range n {
			content[number*int(page)] ^= 1
		}
		return restore(t, memory)
	}
}

// A call that needed a lot leaves no memory behind that is copied at each later call.
func TestRestoreDropsWhatIsFarMoreThanUsual(t *testing.T) {
	const pages = 2000
	memory, _ := newMemory(t, systems(t)["pagemap"], pages)
	write := firstPages(t, memory, pages)
	for range 10 {
		write(10)
	}
	if got := write(pages); !got.Dropped || got.Pages >= pages {
		t.Errorf("got %+v after %d pages where 10 are usual, want them dropped", got, pages)
	}
	if got := write(10); got != (Restored{Pages: 10, Asked: true}) {
		t.Errorf("got %+v, want 10 pages", got)
	}
	for range 100 {
		write(pages)
	}
	if got := write(pages); got != (Restored{Pages: pages, Asked: true}) {
		t.Errorf("got %+v, want %d pages once they are usual", got, pages)
	}
}

// What is usual is what calls write, not what was left private by a larger one, and that does
// not stay for long.
func TestSmallCallsAreNotLargeAfterALargeOne(t *testing.T) {
	const large, larger = 70, 100 // within twice the usual 10 and the slack, and beyond
	memory, _ := newMemory(t, systems(t)["pagemap"], larger)
	write := firstPages(t, memory, larger)
	for range 70 {
		write(10)
	}
	if got := write(large); got.Dropped {
		t.Fatalf("got %+v, want %d pages kept", got, large)
	}
	for range 40 {
		if got := write(10); got != (Restored{Pages: large, Asked: true}) {
			t.Fatalf("got %+v, want the pages of the large call put back", got)
		}
	}
	if got := write(larger); !got.Dropped {
		t.Errorf("got %+v for %d pages where calls write 10, want them dropped", got, larger)
	}
	write(large)
	calls := 0
	for write(10).Pages != 10 {
		if calls++; calls > dropEvery {
			t.Fatalf("after %d calls the pages of a large one are still put back", calls)
		}
	}
}

// Several memories of one image do not see each other.
func TestMemoriesShareAnImage(t *testing.T) {
	system := systems(t)["pagemap"]
	first, image := newMemory(t, system, 4)
	second, err := system.NewMemory(8 * page)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Free()
	second.Reallocate(2 * page)[0] = 0xee // hidden by the image
	if err := second.Adopt(image); err != nil {
		t.Fatal(err)
	}
	if !second.Grown() {
		t.Error("a memory that is shorter than its image does not say so")
	}
	second.Force()
	content := second.Reallocate(3 * page)
	if !bytes.Equal(content, image.content) {
		t.Fatal("the second memory is not as the image")
	}
	first.Reallocate(4 * page)[page] = 0xff
	if !bytes.Equal(content, image.content) {
		t.Error("the second memory shows what was written to the first")
	}
}

func TestMemoryLimits(t *testing.T) {
	system := systems(t)["pagemap"]
	memory, image := newMemory(t, system, 4)
	if got := memory.Reallocate(8*page + 1); got != nil {
		t.Errorf("got %d bytes beyond the limit", len(got))
	}
	if got := memory.Reallocate(8 * page); len(got) != int(8*page) {
		t.Errorf("got %d bytes, want the limit of %d", len(got), 8*page)
	}
	if _, err := system.NewMemory(1 << 41); err == nil {
		t.Error("2 TiB of address space were given")
	}
	small, err := system.NewMemory(page)
	if err != nil {
		t.Fatal(err)
	}
	defer small.Free()
	if err := small.Adopt(image); err == nil {
		t.Error("an image was taken that is larger than the memory")
	}
	small.Reallocate(page - 1)
	if _, err := small.Snapshot(); err == nil {
		t.Error("an image was made of a part of a page")
	}
	empty, err := system.NewMemory(0)
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Free()
	none, err := empty.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer none.Close()
	if err := empty.Adopt(none); err != nil {
		t.Fatal(err)
	}
	if got := restore(t, empty); got.Pages != 0 {
		t.Errorf("got %+v for an empty memory", got)
	}
}

func TestCheckSeesEveryByte(t *testing.T) {
	memory, _ := newMemory(t, systems(t)["pagemap"], 4)
	content := memory.Reallocate(8 * page)
	for _, at := range []uint64{0, 4*page - 1, 4 * page, 8*page - 1} {
		content[at] ^= 1
		if err := memory.Check(); err == nil {
			t.Errorf("byte %d was changed and not seen", at)
		}
		restore(t, memory)
		if err := memory.Check(); err != nil {
			t.Errorf("byte %d: %v", at, err)
		}
	}
}

// Whatever is written, a restored memory is as a plain copy.
func FuzzRestore(f *testing.F) {
	f.Add(uint64(1), uint16(0), false)
	f.Add(uint64(2), uint16(1000), true)
	f.Add(uint64(3), uint16(30), false)
	f.Add(uint64(4), uint16(3), true)
	both := systems(f)
	f.Fuzz(func(t *testing.T, seed uint64, writes uint16, grows bool) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for name, system := range both {
			memory, image := newMemory(t, system, 64)
			plain := bytes.Clone(image.content)
			guest := scribbler{rand.New(rand.NewPCG(seed, 0)), int(writes), grows}
			for range 12 {
				guest.call(t, memory)
				if err := memory.Check(); err != nil || !bytes.Equal(memory.Reallocate(uint64(len(plain))), plain) {
					t.Fatalf("%s: memory is not as the plain copy: %v", name, err)
				}
			}
		}
	})
}

// scribbler is a guest that writes anywhere.
type scribbler struct {
	random *rand.Rand
	writes int
	grows  bool
}

// call has it write, at times on a thread that counts its faults, and puts back its memory.
func (s scribbler) call(t *testing.T, memory *Memory) {
	t.Helper()
	length := memory.image.Len()
	if s.grows {
		length += s.random.IntN(length + 1)
	}
	stayed := s.random.IntN(4) > 0
	if stayed {
		memory.Watch()
	}
	content := memory.Reallocate(uint64(length))
	for range s.writes {
		binary.LittleEndian.PutUint64(content[s.random.IntN(length-7):], s.random.Uint64())
	}
	if _, err := memory.Restore(stayed); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkRestore puts back 22 pages of 1,024 each time; "faults" is the pagemap where the
// thread counts its faults.
func BenchmarkRestore(b *testing.B) {
	const pages = 1024
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	both := systems(b)
	for name, system := range map[string]*System{"pagemap": both["pagemap"], "copy": both["copy"], "faults": both["pagemap"]} {
		b.Run(name, func(b *testing.B) {
			memory, _ := newMemory(b, system, pages)
			content := memory.Reallocate(pages * page)
			b.ReportAllocs()
			for b.Loop() {
				memory.Watch()
				for number := range 22 {
					content[number*30*int(page)]++
				}
				if _, err := memory.Restore(name == "faults"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
