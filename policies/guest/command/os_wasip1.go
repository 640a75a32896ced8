package command

import (
	"io"
	"os"
	"syscall"
)

// OS is the process that this one is. A file of package os can be shared and waited for; to read
// a question by one takes longer than to look over it.
func OS() Process {
	return Process{Args: os.Args[1:], Stdin: descriptor(syscall.Stdin), Stdout: descriptor(syscall.Stdout), Stderr: descriptor(syscall.Stderr)}
}

// descriptor is a file by its number.
type descriptor int

// Read reads what there is; 0 bytes are the end.
func (d descriptor) Read(into []byte) (int, error) {
	count, err := syscall.Read(int(d), into)
	if err != nil {
		return 0, err
	}
	if count == 0 && len(into) > 0 {
		return 0, io.EOF
	}
	return count, nil
}

// Write writes all, as often as it takes.
func (d descriptor) Write(content []byte) (int, error) {
	for written := 0; ; {
		count, err := syscall.Write(int(d), content[written:])
		if err != nil {
			return written, err
		}
		if written += count; written == len(content) {
			return written, nil
		}
		if count == 0 {
			return written, io.ErrShortWrite
		}
	}
}
