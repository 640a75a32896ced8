package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadFolderNamesFilesAsThoseOfAnother(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "operator"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "operator", "catalog.yaml"), []byte("schema: olm.package\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := readFolder(dir, "configs")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{"configs/operator/catalog.yaml": []byte("schema: olm.package\n")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if _, err := readFolder(filepath.Join(dir, "nothing"), "configs"); err == nil {
		t.Error("a folder that is not there was read")
	}
}

func TestDigestChangesWithTheFiles(t *testing.T) {
	first := digestOf(map[string][]byte{"a": []byte("1"), "b": []byte("2")})
	if again := digestOf(map[string][]byte{"b": []byte("2"), "a": []byte("1")}); again != first {
		t.Errorf("the same files have the digests %s and %s", first, again)
	}
	for _, files := range []map[string][]byte{nil, {"a": []byte("2"), "b": []byte("1")}, {"a": []byte("1")}} {
		if digestOf(files) == first {
			t.Errorf("%v has the digest of other files", files)
		}
	}
}
