package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// System is what this machine allows. It is safe for concurrent use.
type System struct {
	pageSize int
	pagemap  entryReader // nil when it cannot be used
	// why not; nil when the pagemap is used.
	why atomic.Pointer[error]
	// faults counts those of the thread; nil when that cannot be relied on.
	faults func() int64
}

// entryReader reads entries of the pagemap.
type entryReader interface {
	io.ReaderAt
	io.Closer
}

// pagemapFile has 64 bits for each page of this process's address space.
const pagemapFile = "/proc/self/pagemap"

// Open finds out how memory can be restored here. It is not an error that the pagemap
// cannot be used: Method says so, and why. Open fails where there are no snapshots at all.
func Open() (*System, error) {
	system := &System{pageSize: os.Getpagesize()}
	system.Distrust(errUntried)
	if err := system.try(false); err != nil {
		return nil, fmt.Errorf("try a snapshot of memory: %w", err)
	}
	system.why.Store(nil)
	if err := system.openPagemap(); err != nil {
		system.Distrust(err)
	}
	return system, nil
}

func (s *System) openPagemap() error {
	file, err := os.Open(pagemapFile)
	if err != nil {
		return err
	}
	s.pagemap = file
	if err := s.try(true); err != nil {
		return fmt.Errorf("try %s: %w", pagemapFile, err)
	}
	s.relyOn(threadFaults)
	return nil
}

// relyOn has faults counted if they are counted right; the pagemap is asked each time otherwise.
func (s *System) relyOn(count func() int64) {
	if err := s.tryFaults(count); err == nil {
		s.faults = count
	}
}

// Distrust has all pages copied from now on, and Method give the reason.
func (s *System) Distrust(why error) { s.why.CompareAndSwap(nil, &why) }

// Method is how memory is restored, and why not by the pagemap.
func (s *System) Method() (Method, error) {
	if why := s.why.Load(); why != nil {
		return MethodCopy, *why
	}
	return MethodPagemap, nil
}

// trusted says whether the pagemap is used.
func (s *System) trusted() bool { return s.why.Load() == nil }

// PageSize is the size of a page in bytes.
func (s *System) PageSize() int { return s.pageSize }

// Close gives back what the system holds. No Memory may be restored any more.
func (s *System) Close() error {
	if s.pagemap == nil {
		return nil
	}
	return s.pagemap.Close()
}

// errUntried is why the pagemap is not used at first.
var errUntried = errors.New("it was not tried out yet")

// Bits of an entry of the pagemap.
const (
	bitPresent = 1 << 63
	bitSwapped = 1 << 62
	bitShared  = 1 << 61 // belongs to a file, or is shared otherwise
)

// private says whether an entry is that of a page of which this process has a copy of its
// own. A page of zeros that was read only counts, too; putting it back does no harm.
func private(entry uint64) bool {
	return entry&(bitPresent|bitSwapped) != 0 && entry&bitShared == 0
}

// errEnds says that the pagemap ends before the address space does.
var errEnds = errors.New("it ends too early")

// readPagemap reads the entries of that many pages from an address on.
func (s *System) readPagemap(entries []byte, address uintptr) error {
	n, err := s.pagemap.ReadAt(entries, int64(address/uintptr(s.pageSize))*entrySize)
	if n < len(entries) {
		return errors.Join(errEnds, err)
	}
	return nil
}

// entrySize is the size in bytes of an entry of the pagemap.
const entrySize = 8

// Pages of the trial, and what is done to them.
const (
	trialUntouched = iota
	trialRead
	trialWritten
	trialWrittenTheSame
	trialImagePages
	// Behind the image.
	trialGrowth      = trialImagePages
	trialGrowthWrite = trialImagePages + 1
	trialPages       = trialImagePages + 2
)

// try restores a small memory and looks whether everything is as it should be, with
// pagemap the bits as well.
func (s *System) try(pagemap bool) error {
	memory, err := s.NewMemory(uint64(trialPages * s.pageSize))
	if err != nil {
		return err
	}
	defer memory.Free()
	return s.tryMemory(memory, pagemap)
}

// tryMemory is the trial in a memory that is new.
func (s *System) tryMemory(memory *Memory, pagemap bool) (err error) {
	image, err := s.trialImage(memory)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, image.Close()) }()
	if err := memory.Adopt(image); err != nil {
		return err
	}
	content := memory.Reallocate(uint64(trialPages * s.pageSize))
	for range 2 {
		if err := s.tryPages(memory, content, pagemap); err != nil {
			return err
		}
	}
	return nil
}

func (s *System) trialImage(memory *Memory) (*Image, error) {
	content := memory.Reallocate(uint64(trialImagePages * s.pageSize))
	for i := range content {
		content[i] = byte(1 + i/s.pageSize)
	}
	return memory.Snapshot()
}

func (s *System) tryPages(memory *Memory, content []byte, pagemap bool) error {
	at := func(page int) *byte { return &content[page*s.pageSize+s.pageSize/2] }
	if got := *at(trialRead); got != 1+trialRead {
		return fmt.Errorf("page that was read holds %d, want %d", got, 1+trialRead)
	}
	*at(trialWritten) = 0xff
	*at(trialWrittenTheSame) = 1 + trialWrittenTheSame
	*at(trialGrowthWrite) = 0xff
	if pagemap {
		if err := s.tryBits(memory); err != nil {
			return err
		}
	}
	if _, err := memory.Restore(false); err != nil {
		return err
	}
	return memory.Check()
}

// tryBits looks whether exactly the written pages count as private.
func (s *System) tryBits(memory *Memory) error {
	entries := make([]byte, trialPages*entrySize)
	if err := s.readPagemap(entries, memory.address()); err != nil {
		return err
	}
	for page := range trialPages {
		entry := binary.LittleEndian.Uint64(entries[page*entrySize:])
		want := page == trialWritten || page == trialWrittenTheSame || page == trialGrowthWrite
		if page != trialGrowth && private(entry) != want {
			return fmt.Errorf("entry %#x of page %d says private: %v, want %v", entry, page, !want, want)
		}
	}
	return nil
}

// memfd makes a file that lies in memory only.
func memfd() (int, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("kubewarden-snapshot", flags|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3
		fd, err = unix.MemfdCreate("kubewarden-snapshot", flags)
	}
	if err != nil {
		return 0, fmt.Errorf("make file in memory: %w", err)
	}
	return fd, nil
}
