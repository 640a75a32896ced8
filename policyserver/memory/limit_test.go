package memory

import (
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

const (
	mountV1    = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup none rw,cpu\n35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup none rw,memory\n"
	mountV2    = "31 23 0:28 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup rw\n"
	unlimited1 = "9223372036854771712\n"
)

func files(content map[string]string) fs.FS {
	root := fstest.MapFS{}
	for name, text := range content {
		root[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return root
}

func TestFind(t *testing.T) {
	for name, tc := range map[string]struct {
		files map[string]string
		want  Limit
	}{
		"no control groups": {},
		"version 2, the group itself": {
			map[string]string{
				"proc/self/cgroup": "0::/kubepods/pod1/c1\n", "proc/self/mountinfo": mountV2,
				"sys/fs/cgroup/kubepods/pod1/c1/memory.max": "536870912\n", "sys/fs/cgroup/kubepods/pod1/memory.max": "max\n",
			}, Limit{512 << 20, "/sys/fs/cgroup/kubepods/pod1/c1/memory.max"},
		},
		"version 2, a group above is smaller": {
			map[string]string{
				"proc/self/cgroup": "0::/kubepods/pod1/c1\n", "proc/self/mountinfo": mountV2,
				"sys/fs/cgroup/kubepods/pod1/c1/memory.max": "536870912\n", "sys/fs/cgroup/kubepods/memory.max": "268435456\n",
			}, Limit{256 << 20, "/sys/fs/cgroup/kubepods/memory.max"},
		},
		"version 2 in a namespace of its own": {
			map[string]string{
				"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": mountV2, "sys/fs/cgroup/memory.max": "1073741824\n",
			}, Limit{1 << 30, "/sys/fs/cgroup/memory.max"},
		},
		"version 2 without a limit": {
			files: map[string]string{"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": mountV2, "sys/fs/cgroup/memory.max": "max\n"},
		},
		"version 1, nested": {
			map[string]string{
				"proc/self/cgroup": "4:cpu:/other\n3:pids,memory:/a/b\n0::/\n", "proc/self/mountinfo": mountV1,
				"sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "268435456\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": unlimited1,
			}, Limit{256 << 20, "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes"},
		},
		"version 1, its own group is mounted": {
			map[string]string{
				"proc/self/cgroup":                           "3:memory:/kubepods/pod1/c1\n",
				"proc/self/mountinfo":                        "35 31 0:32 /kubepods/pod1/c1 /sys/fs/cgroup/memory ro - cgroup none rw,memory\n",
				"sys/fs/cgroup/memory/memory.limit_in_bytes": "134217728\n",
			}, Limit{128 << 20, "/sys/fs/cgroup/memory/memory.limit_in_bytes"},
		},
		"version 1, a group beside the one that is mounted": {
			map[string]string{
				"proc/self/cgroup":                           "3:memory:/elsewhere\n",
				"proc/self/mountinfo":                        "35 31 0:32 /else /sys/fs/cgroup/memory ro - cgroup none rw,memory\n",
				"sys/fs/cgroup/memory/memory.limit_in_bytes": "134217728\n", "sys/fs/cgroup/memory/where/memory.limit_in_bytes": "1\n",
			}, Limit{128 << 20, "/sys/fs/cgroup/memory/memory.limit_in_bytes"},
		},
		"version 1 without a limit": {
			files: map[string]string{
				"proc/self/cgroup": "3:memory:/\n", "proc/self/mountinfo": mountV1, "sys/fs/cgroup/memory/memory.limit_in_bytes": unlimited1,
			},
		},
		"both, memory in version 1": {
			map[string]string{
				"proc/self/cgroup":                             "3:memory:/a\n0::/\n",
				"proc/self/mountinfo":                          mountV1 + "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 none rw\n",
				"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "134217728\n",
			}, Limit{128 << 20, "/sys/fs/cgroup/memory/a/memory.limit_in_bytes"},
		},
		"a mount with a blank": {
			map[string]string{
				"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": "31 23 0:28 / /my\\040groups rw - cgroup2 cgroup rw\n",
				"my groups/memory.max": "134217728\n",
			}, Limit{128 << 20, "/my groups/memory.max"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := Find(files(tc.files)); err != nil || got != tc.want {
				t.Errorf("got %+v, %v; want %+v", got, err, tc.want)
			}
		})
	}
}

func TestFindNamesTheFileThatItCannotRead(t *testing.T) {
	_, err := Find(files(map[string]string{
		"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": mountV2, "sys/fs/cgroup/memory.max": "plenty\n",
	}))
	if err == nil || !strings.Contains(err.Error(), `/sys/fs/cgroup/memory.max holds "plenty", want a number of bytes or max`) {
		t.Errorf("got %v", err)
	}
}

// Whatever this machine has, it can be read.
func TestFindHere(t *testing.T) {
	if limit, err := Find(os.DirFS("/")); err != nil || limit.Bytes < 0 || (limit.Bytes > 0) != (limit.File != "") {
		t.Errorf("got %+v, %v", limit, err)
	}
}
