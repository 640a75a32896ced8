package main

import (
	"bytes"
	"io/fs"
	"log/slog"
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
