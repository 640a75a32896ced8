package snapshot

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Image is a content of a memory. It does not change.
type Image struct {
	fd      int
	content []byte // mapped read-only
	zeros   []byte // one page
	empty   []bool // by page: it holds nothing but zeros
}

// newImage keeps a copy of a content, whose length is a multiple of the size of a page.
// Pages of zeros take no memory.
func newImage(content []byte, pageSize int) (image *Image, err error) {
	fd, err := memfd()
	if err != nil {
		return nil, err
	}
	image = &Image{fd: fd, zeros: make([]byte, pageSize)}
	defer func() {
		if err != nil {
			err = errors.Join(err, image.Close())
		}
	}()
	if err := image.fill(content); err != nil {
		return nil, fmt.Errorf("fill file in memory: %w", err)
	}
	// Nobody can change it any more, whatever else goes wrong in this process.
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE|unix.F_SEAL_SEAL); err != nil {
		return nil, fmt.Errorf("seal file in memory: %w", err)
	}
	if len(content) == 0 {
		return image, nil
	}
	// Private, since kernels before 6.7 refuse to map a sealed file shared.
	if image.content, err = unix.Mmap(fd, 0, len(content), unix.PROT_READ, unix.MAP_PRIVATE); err != nil {
		return nil, fmt.Errorf("map file in memory: %w", err)
	}
	return image, nil
}

func (i *Image) fill(content []byte) error {
	if err := unix.Ftruncate(i.fd, int64(len(content))); err != nil {
		return err
	}
	pageSize := len(i.zeros)
	i.empty = make([]bool, 0, len(content)/pageSize)
	for start := 0; start < len(content); start += pageSize {
		i.empty = append(i.empty, i.isZero(content[start:start+pageSize]))
	}
	for start := 0; start < len(content); {
		end := start
		for end < len(content) && !i.isEmpty(end/pageSize) {
			end += pageSize
		}
		for start < end {
			n, err := unix.Pwrite(i.fd, content[start:end], int64(start))
			if err != nil {
				return err
			}
			start += n
		}
		start += pageSize
	}
	return nil
}

// isZero says whether a part of a page holds nothing but zeros.
func (i *Image) isZero(page []byte) bool { return string(page) == string(i.zeros[:len(page)]) }

// isEmpty says whether a page, counted from 0, holds nothing but zeros; what lies behind the
// image does. They are not to be read: that would give a page of zeros memory.
func (i *Image) isEmpty(page int) bool { return page >= len(i.empty) || i.empty[page] }

// Len is the length of the content in bytes.
func (i *Image) Len() int { return len(i.content) }

// Close gives the image back. No Memory may be restored to it any more.
func (i *Image) Close() error {
	var err error
	if i.content != nil {
		err = unix.Munmap(i.content)
		i.content = nil
	}
	return errors.Join(err, unix.Close(i.fd))
}
