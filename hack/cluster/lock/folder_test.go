package lock

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func TestFolderWaitsForItsHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "made", "when", "needed")
	release, err := Folder(t.Context(), path, func() { t.Error("waits for a lock that nobody holds") })
	if err != nil {
		t.Fatal(err)
	}
	waited := make(chan struct{})
	got := make(chan error, 1)
	go func() {
		second, err := Folder(t.Context(), path, func() { close(waited) })
		if err == nil {
			second()
		}
		got <- err
	}()
	<-waited
	select {
	case err := <-got:
		t.Fatalf("two hold the lock: %v", err)
	default:
	}
	release()
	if err := <-got; err != nil {
		t.Error(err)
	}
}

func TestFolderGivesUpWithItsContext(t *testing.T) {
	path := t.TempDir()
	release, err := Folder(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := Folder(ctx, path, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Folder = %v, want %v", err, context.DeadlineExceeded)
	}
}

func TestFolderIsFreeOnceItsHolderIsKilled(t *testing.T) {
	path := t.TempDir()
	if held := os.Getenv("TEST_HOLD_LOCK"); held != "" {
		if _, err := Folder(t.Context(), held, nil); err != nil {
			t.Fatal(err)
		}
		_, _ = os.Stdout.WriteString("held\n")
		<-t.Context().Done()
		return
	}
	holder := exec.Command(os.Args[0], "-test.run=^TestFolderIsFreeOnceItsHolderIsKilled$")
	holder.Env = append(os.Environ(), "TEST_HOLD_LOCK="+path)
	output, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := output.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	waited := false
	time.AfterFunc(50*time.Millisecond, func() { _ = holder.Process.Kill() })
	release, err := Folder(t.Context(), path, func() { waited = true })
	if err != nil {
		t.Fatal(err)
	}
	release()
	_ = holder.Wait()
	if !waited {
		t.Error("the lock was free while its holder lived")
	}
}
