package wasm

import "testing"

// What is put before a list is there whether there was room for it or not.
func TestVectorBehindItsHead(t *testing.T) {
	for name, room := range map[string]int{"much": 100, "exactly enough": 6, "too little": 0} {
		t.Run(name, func(t *testing.T) {
			list := newVectorBehind(room, 2)
			list.add('a')
			list.add('b', 'c')
			if got, want := string(list.bytes()), "\x02abc"; got != want {
				t.Errorf("list: got %q, want %q", got, want)
			}
			if got, want := string(list.behind([]byte("head and \x02"))), "head and \x02abc"; got != want {
				t.Errorf("behind a head: got %q, want %q", got, want)
			}
		})
	}
}
