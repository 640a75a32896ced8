package child

import (
	"os"
	"strings"
	"testing"
)

func TestParseStatus(t *testing.T) {
	const status = "Name:\tx\nVmHWM:\t  999 kB\nVmRSS:\t  128 kB\n"
	for what, want := range map[string]int64{Resident: 128 << 10, HighWater: 999 << 10} {
		if got, err := parseStatus(strings.NewReader(status), what); err != nil || got != want {
			t.Errorf("%s: got %d, %v; want %d", what, got, err, want)
		}
	}
	for _, text := range []string{"Name:\tx\n", "VmRSS:\tmuch kB\n"} {
		if _, err := parseStatus(strings.NewReader(text), Resident); err == nil {
			t.Errorf("%q: got no error", text)
		}
	}
}

func TestMemoryOfAProcess(t *testing.T) {
	now, err := Memory(os.Getpid(), Resident)
	if err != nil {
		t.Fatal(err)
	}
	most, err := Memory(os.Getpid(), HighWater)
	if err != nil || now <= 0 || most < now>>1 {
		t.Errorf("got %d bytes now and %d at most, %v", now, most, err)
	}
}
