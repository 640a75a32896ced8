package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Memory is address space for the linear memory of one instance; where it lies does not
// change when it grows. It is an experimental.LinearMemory of wazero. It serves one
// goroutine at a time.
type Memory struct {
	system *System
	space  []byte // up to the limit
	length uint64 // of the memory now
	high   uint64 // the longest it has been since its private pages were dropped
	forced int64  // the length that Reallocate answers next whatever it is asked for; -1: none
	image  *Image
	habit  habit
	// entries of the pagemap are read into here.
	entries []byte
	// runs are the pages that were private when the memory was last restored, if that is known.
	runs  []run
	known bool
	// faults is the count of the thread when Watch was called; -1: it was not.
	faults int64
}

// run is some pages that are neighbours.
type run struct{ start, end int }

// entriesRead is how many entries of the pagemap are read at a time.
const entriesRead = 1024

// NewMemory reserves address space of limit bytes, which is rounded up to pages. None of
// it takes memory before it is touched.
func (s *System) NewMemory(limit uint64) (*Memory, error) {
	pageSize := uint64(s.pageSize)
	const most = 1 << 40
	if limit > most {
		return nil, fmt.Errorf("memory of %d bytes, at most %d are possible", limit, uint64(most))
	}
	size := max(1, (limit+pageSize-1)/pageSize) * pageSize
	space, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("reserve address space of %d bytes: %w", size, err)
	}
	// A huge page would count as hundreds of private ones. Kernels without huge pages know
	// no such advice.
	_ = unix.Madvise(space, unix.MADV_NOHUGEPAGE)
	return &Memory{system: s, space: space, forced: -1, faults: -1}, nil
}

// Reallocate is the memory with another length, or nil when that is beyond the limit.
func (m *Memory) Reallocate(size uint64) []byte {
	if m.forced >= 0 {
		size = uint64(m.forced)
		m.forced = -1
	}
	if size > uint64(len(m.space)) {
		return nil
	}
	m.length = size
	m.high = max(m.high, size)
	return m.space[:size:size]
}

// Force makes the next Reallocate answer with the length of the image, whatever it is
// asked for: wazero can be told to grow a memory, but not to shrink it. What is cut off
// must have been restored.
func (m *Memory) Force() { m.forced = int64(m.image.Len()) }

// Free gives the memory back.
func (m *Memory) Free() {
	if m.space == nil {
		return
	}
	_ = unix.Munmap(m.space) // fails for addresses only that were never mapped
	m.space, m.image = nil, nil
}

// Snapshot keeps a copy of the content.
func (m *Memory) Snapshot() (*Image, error) {
	if m.length%uint64(m.system.pageSize) != 0 {
		return nil, fmt.Errorf("memory of %d bytes is no multiple of the page size %d", m.length, m.system.pageSize)
	}
	return newImage(m.space[:m.length], m.system.pageSize)
}

// Adopt makes an image the content, now and whenever the memory is restored. The length
// stays, see Grown.
func (m *Memory) Adopt(image *Image) error {
	length := image.Len()
	if length > len(m.space) {
		return fmt.Errorf("image of %d bytes does not fit into a memory of at most %d", length, len(m.space))
	}
	if length > 0 {
		at := unsafe.Pointer(unsafe.SliceData(m.space)) //nolint:gosec // address space that is ours
		_, err := unix.MmapPtr(image.fd, 0, at, uintptr(length),
			unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_FIXED|unix.MAP_NORESERVE)
		if err != nil {
			return fmt.Errorf("map image: %w", err)
		}
	}
	m.image, m.known = image, false
	if high := m.highPages(); high > length {
		if err := unix.Madvise(m.space[length:high], unix.MADV_DONTNEED); err != nil {
			return fmt.Errorf("drop what lies behind the image: %w", err)
		}
	}
	m.high = m.length
	return nil
}

// Grown says whether the memory has another length than its image, as it may have after
// Adopt and after Restore. It has that of the image after Force and a Reallocate.
func (m *Memory) Grown() bool { return m.length != uint64(m.image.Len()) }

// Watch is to be called before anything is written, by a goroutine that is locked to its
// thread: when that has no fault of a page until Restore, no page becomes private.
func (m *Memory) Watch() {
	if m.system.faults != nil {
		m.faults = m.system.faults()
	}
}

// Restore makes the content that of the image again, and zeros behind it. Stayed says that
// whatever was written since Watch was written by the thread that called it and calls now.
// After an error the content is unknown.
func (m *Memory) Restore(stayed bool) (restored Restored, err error) {
	limit := m.habit.limit()
	switch {
	case limit == 0: // all are dropped
	case !m.system.trusted():
		restored.Pages = m.putBack(0, m.highPages())
	case m.known && stayed && m.unfaulted():
		for _, run := range m.runs {
			restored.Pages += m.putBack(run.start, run.end)
		}
	default:
		restored.Asked = true
		if restored.Pages, err = m.putBackPrivate(limit); err != nil {
			return restored, fmt.Errorf("read %s: %w", pagemapFile, err)
		}
	}
	m.faults = -1
	if restored.Pages >= limit {
		if err := unix.Madvise(m.space[:m.highPages()], unix.MADV_DONTNEED); err != nil {
			return restored, fmt.Errorf("drop private pages: %w", err)
		}
		restored.Dropped = true
		m.runs, m.known, m.high = m.runs[:0], true, m.length
	}
	m.habit.note(restored)
	return restored, nil
}

// unfaulted says whether the thread had no fault of a page since Watch.
func (m *Memory) unfaulted() bool { return m.faults >= 0 && m.faults == m.system.faults() }

// putBackPrivate puts back the pages that the pagemap calls private, until they are as many
// as the limit. It returns their number.
func (m *Memory) putBackPrivate(limit int) (pages int, err error) {
	m.runs, m.known = m.runs[:0], false
	pageSize, end := m.system.pageSize, m.highPages()
	if m.entries == nil {
		m.entries = make([]byte, entriesRead*entrySize)
	}
	for start := 0; start < end && pages < limit; {
		chunk := min(entriesRead*pageSize, end-start)
		entries := m.entries[:chunk/pageSize*entrySize]
		if err := m.system.readPagemap(entries, m.address()+uintptr(start)); err != nil {
			return pages, err
		}
		pages += m.putBackRuns(start, entries)
		start += chunk
	}
	m.known = true
	return pages, nil
}

// putBackRuns puts back the private ones of the pages that entries of the pagemap tell of,
// neighbours together, and keeps which they are. It returns their number.
func (m *Memory) putBackRuns(start int, entries []byte) (pages int) {
	pageSize := m.system.pageSize
	first := start // where the private pages before start begin
	for ; len(entries) > 0; entries = entries[entrySize:] {
		if !private(binary.LittleEndian.Uint64(entries)) {
			pages += m.putBackRun(first, start)
			first = start + pageSize
		}
		start += pageSize
	}
	return pages + m.putBackRun(first, start)
}

func (m *Memory) putBackRun(start, end int) int {
	if start < end {
		m.runs = append(m.runs, run{start, end})
	}
	return m.putBack(start, end)
}

// putBack makes a part of the memory what it was in the image, and zeros behind it. It
// returns the number of pages.
func (m *Memory) putBack(start, end int) int {
	if start >= end {
		return 0
	}
	pageSize := m.system.pageSize
	for done := start; done < end; {
		empty, next := m.image.isEmpty(done/pageSize), done+pageSize
		for next < end && m.image.isEmpty(next/pageSize) == empty {
			next += pageSize
		}
		if empty {
			clear(m.space[done:next])
		} else {
			copy(m.space[done:next], m.image.content[done:next])
		}
		done = next
	}
	return (end - start) / pageSize
}

// errDiffers says that a restored memory is not what it should be.
var errDiffers = errors.New("restored memory differs from its image")

// Check compares the content with the image. It reads all of both.
func (m *Memory) Check() error {
	length := m.image.Len()
	if !bytes.Equal(m.space[:length], m.image.content) {
		return errDiffers
	}
	for rest := m.space[length:m.highPages()]; len(rest) > 0; rest = rest[m.system.pageSize:] {
		if !m.image.isZero(rest[:m.system.pageSize]) {
			return errDiffers
		}
	}
	return nil
}

// highPages is the longest the memory has been since it was restored, in whole pages.
func (m *Memory) highPages() int {
	pageSize := m.system.pageSize
	return max((int(m.high)+pageSize-1)/pageSize*pageSize, m.imageLen())
}

func (m *Memory) imageLen() int {
	if m.image == nil {
		return 0
	}
	return m.image.Len()
}

func (m *Memory) address() uintptr {
	return uintptr(unsafe.Pointer(unsafe.SliceData(m.space))) //nolint:gosec // it lies outside of Go's heap and does not move
}
