package main

import (
	"bytes"
	"context"
	"io/fs"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
)

// limitedTo is a machine whose processes have a memory limit.
func limitedTo(text string) fs.FS {
	return fstest.MapFS{
		"proc/self/cgroup":         {Data: []byte("0::/\n")},
		"proc/self/mountinfo":      {Data: []byte("31 23 0:28 / /sys/fs/cgroup rw - cgroup2 none rw\n")},
		"sys/fs/cgroup/memory.max": {Data: []byte(text + "\n")},
	}
}

func TestMemoryLimitOfTheContainerSetsThatOfGo(t *testing.T) {
	for name, tc := range map[string]struct {
		limit, variable string
		goLimit         int64 // 0 for untouched
		says            string
	}{
		"a limit":               {"1048576000", "", 943718400, "memory is limited limit_bytes=1048576000 read_from=/sys/fs/cgroup/memory.max"},
		"the environment wins":  {"1048576000", "300MiB", 0, "gomemlimit=300MiB"},
		"none":                  {"max", "", 0, "memory is not limited"},
		"one that is no number": {"plenty", "", 0, "holds"},
	} {
		t.Run(name, func(t *testing.T) {
			var current int64
			set := func(bytes int64) int64 {
				former := current
				if bytes >= 0 {
					current = bytes
				}
				return former
			}
			var log bytes.Buffer
			variables := map[string]string{"GOMEMLIMIT": tc.variable}
			getenv := func(variable string) string { return variables[variable] }
			budget := memoryBudget(limitedTo(tc.limit), getenv, set, slog.New(slog.NewTextHandler(&log, nil)))
			if current != tc.goLimit {
				t.Errorf("Go's limit is %d, want %d", current, tc.goLimit)
			}
			if said := strings.ReplaceAll(log.String(), `"`, ""); !strings.Contains(said, tc.says) {
				t.Errorf("the log says %s, want %s", said, tc.says)
			}
			if err := budget.Take(memory.Modules, memory.Size{Mapped: 100 << 20}); err != nil {
				t.Fatal(err)
			}
			if want := tc.goLimit - tc.goLimit/10; current != want { // a tenth of the limit is outside
				t.Errorf("with a module Go's limit is %d, want %d", current, want)
			}
		})
	}
}

func TestCollectorIsTunedToTheHeap(t *testing.T) {
	var told []int
	var live int64
	tuned := &collector{live: func() int64 { return live }, set: func(percent int) int {
		told = append(told, percent)
		return 0
	}}
	for _, live = range []int64{48 << 20, 46 << 20, 50 << 20, 24 << 20, 25 << 20, 500 << 20} {
		tuned.tune()
	}
	if want := []int{100, 200, 100}; !slices.Equal(told, want) {
		t.Errorf("it was told %v, want %v: what has hardly changed is not told", told, want)
	}
}

func TestCollectorIsTunedAfterEachCollection(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{}, 1)
	afterCollections(ctx, func() {
		select {
		case done <- struct{}{}:
		default: // one that nobody asked for
		}
	})
	for range 3 {
		runtime.GC()
		<-done
	}
	if liveHeap() <= 0 {
		t.Error("nothing is in use, after collections")
	}
}

func TestCollectorIsLeftAloneWhereTheEnvironmentSaysHow(t *testing.T) {
	for name, tc := range map[string]struct {
		variable string
		want     bool
	}{
		"it says nothing":   {"", true},
		"it says something": {"75", false},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // once is enough
			told := false
			collectLess(ctx, func(variable string) string { return map[string]string{"GOGC": tc.variable}[variable] }, func(int) int {
				told = true
				return 0
			})
			if told != tc.want {
				t.Errorf("the collector is tuned: %t, want %t", told, tc.want)
			}
		})
	}
}
