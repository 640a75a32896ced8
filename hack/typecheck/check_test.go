package main

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// module is a module whose files compile on linux, and anywhere else.
func module() map[string]string {
	return map[string]string{
		"go.mod":           "module example.test/m\n\ngo 1.26\n",
		"a/a_linux.go":     "package a\n\nfunc Size() int { return 1 }\n",
		"a/a_other.go":     "//go:build !linux\n\npackage a\n\nfunc Size() int { return 2 }\n",
		"a/a_test.go":      "package a_test\n\nimport \"example.test/m/a\"\n\nvar size = a.Size()\n",
		"a/inside_test.go": "package a\n\nvar known = Size()\n",
		"b/b.go":           "package b\n\nimport \"example.test/m/a\"\n\n// Word has the size of one.\nconst Word = 4 << (^uint(0) >> 63)\n\n// Two sizes.\nvar Two = [2]int{a.Size(), Word}\n",
	}
}

func TestCheck(t *testing.T) {
	const withMissing = "module example.test/m\n\ngo 1.26\n\nrequire example.test/missing v1.0.0\n"
	const useMissing = "package c\n\nimport (\n\t\"example.test/m/a\"\n\t\"example.test/missing/thing\"\n)\n\n// Thing is not known.\nvar Thing, Size = thing.New(a.Size()).Name(), "
	tests := map[string]struct {
		files   map[string]string
		os      string
		arch    string
		tags    string
		without string
		want    string // in the error
	}{
		"linux":                {},
		"darwin":               {os: "darwin"},
		"a function is gone":   {os: "darwin", files: map[string]string{"a/a_other.go": "//go:build !linux\n\npackage a\n"}, want: "undefined: a.Size"},
		"and is not on linux":  {files: map[string]string{"a/a_other.go": "//go:build !linux\n\npackage a\n"}},
		"in a test":            {os: "darwin", files: map[string]string{"a/a_linux.go": "package a\n\nfunc Size() int { return 1 }\n\nvar mine = 1\n", "a/inside_test.go": "package a\n\nvar known = mine\n"}, want: "inside_test.go:3:13: undefined: mine"},
		"in a test outside":    {os: "darwin", files: map[string]string{"a/a_test.go": "package a_test\n\nimport \"example.test/m/a\"\n\nvar known = a.Other()\n"}, want: "a_test.go:5:15: undefined: a.Other"},
		"in a function":        {files: map[string]string{"b/b.go": "package b\n\nfunc f() int { return \"\" }\n"}, want: `b.go:3:23: cannot use ""`},
		"a number too large":   {arch: "386", files: map[string]string{"b/b.go": "package b\n\nvar Big int = 1 << 40\n"}, want: "(overflows)"},
		"and is not elsewhere": {arch: "arm64", files: map[string]string{"b/b.go": "package b\n\nvar Big int = 1 << 40\n"}},
		"no Go":                {files: map[string]string{"b/b.go": "package b\n\nfunc {\n"}, want: "b.go:3:6: expected"},
		"behind a tag":         {tags: "extra", files: map[string]string{"b/extra.go": "//go:build extra\n\npackage b\n\nvar Extra = missing\n"}, want: "undefined: missing"},
		"an unknown import":    {files: map[string]string{"b/b.go": "package b\n\nimport _ \"example.test/m/c\"\n"}, want: "example.test/m/c"},
		"an unknown processor": {arch: "abacus", want: "--arch abacus: not a processor that Go compiles for"},
		"without a module":     {without: "example.test/missing/thing", files: map[string]string{"go.mod": withMissing, "c/c.go": useMissing + "a.Size()\n"}},
		"what is left of it":   {without: "example.test/missing/thing", files: map[string]string{"go.mod": withMissing, "c/c.go": useMissing + "a.Length()\n"}, want: "undefined: a.Length"},
		"without another":      {without: "example.test/missing/other", files: map[string]string{"go.mod": withMissing, "c/c.go": useMissing + "a.Size()\n"}, want: "example.test/missing"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			checked := target{dir: t.TempDir(), os: "linux", arch: "amd64", tags: tc.tags, without: tc.without}
			if tc.os != "" {
				checked.os = tc.os
			}
			if tc.arch != "" {
				checked.arch = tc.arch
			}
			files := module()
			maps.Copy(files, tc.files)
			write(t, checked.dir, files)
			err := check(t.Context(), checked, []string{"./..."})
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("got an error, want none:\n%v", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got error %v, want one with %q", err, tc.want)
			}
		})
	}
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCheckOfNothing(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"go.mod": "module example.test/m\n"})
	err := check(t.Context(), target{dir: dir, os: "linux", arch: "arm64"}, []string{"./..."})
	if err == nil || err.Error() != `no packages match ["./..."]` {
		t.Errorf("got %v, want an error that no packages match", err)
	}
}
