package child

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// What of a process's memory Linux tells (proc_pid_status(5)).
const (
	// Resident is what it has now.
	Resident = "VmRSS"
	// HighWater is the most that it had so far.
	HighWater = "VmHWM"
)

// Memory is what a process has of its memory, in bytes.
func Memory(pid int, what string) (int64, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("read memory of process: %w", err)
	}
	defer func() { _ = file.Close() }()
	return parseStatus(file, what)
}

// parseStatus finds a size, which the kernel gives in units of 1,024 bytes.
func parseStatus(status io.Reader, what string) (int64, error) {
	lines := bufio.NewScanner(status)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) != 3 || fields[0] != what+":" {
			continue
		}
		kilobytes, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read %s: %w", what, err)
		}
		return kilobytes << 10, nil
	}
	return 0, errors.Join(fmt.Errorf("there is no %s: the process has ended", what), lines.Err())
}
