package child

import (
	"os"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	stat := "42 (a) name) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 7 9 20 0 8 0 100 1000 200"
	if got, err := parseStat([]byte(stat)); err != nil || got != 3*time.Second {
		t.Errorf("time = %s, %v; want 3s", got, err)
	}
	for _, broken := range []string{"", "42 (name) S 1", "42 (a) S 1 42 42 0 -1 4194560 100 0 0 0 x 50 7"} {
		if got, err := parseStat([]byte(broken)); err == nil {
			t.Errorf("time of %q = %s, want an error", broken, got)
		}
	}
}

func TestCPUOfAProcess(t *testing.T) {
	if _, err := CPU(os.Getpid()); err != nil {
		t.Error(err)
	}
	for began := time.Now(); time.Since(began) < 50*time.Millisecond; {
	}
	own, err := OwnCPU()
	seen, seenErr := CPU(os.Getpid())
	if err != nil || seenErr != nil || own <= 0 || own-seen > time.Second || seen-own > time.Second {
		t.Errorf("time of this process = %s, %v, and as others see it %s, %v", own, err, seen, seenErr)
	}
	if got, err := CPU(0); err == nil {
		t.Errorf("time of process 0 = %s, want an error", got)
	}
}
