package main

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/kubewarden/kubewarden-operator/test/bench/guests"
)

// good are rows that all hold.
func good() []row {
	var rows []row
	for _, of := range guests.All() {
		for _, payload := range sizes {
			for _, mode := range modesOf(of) {
				made := row{Guest: of.Name, Payload: payload.name, Mode: mode, Ours: 60, Wasmtime: 90, Ratio: 0.6}
				if mode == modeUnsafe {
					made.Isolation = new(10.0)
				}
				rows = append(rows, made)
			}
		}
	}
	return rows
}

func TestBroken(t *testing.T) {
	change := func(guest, payload, mode string, to func(*row)) func([]row) []row {
		return func(rows []row) []row {
			at := slices.IndexFunc(rows, func(r row) bool { return r.Guest == guest && r.Payload == payload && r.Mode == mode })
			to(&rows[at])
			return rows
		}
	}
	for name, tc := range map[string]struct {
		change func([]row) []row
		want   []string
	}{
		"all hold": {change: func(rows []row) []row { return rows }},
		"a row is missing": {
			change: func(rows []row) []row { return rows[1:] },
			want:   []string{"opa-happy 5KB pristine: there is no row"},
		},
		"a warm row is missing": {
			change: func(rows []row) []row {
				return slices.DeleteFunc(rows, func(r row) bool { return r.Guest == "gk-limits" && r.Mode == modeWarm })
			},
			want: []string{"gk-limits 5KB warm: there is no row", "gk-limits 50KB warm: there is no row"},
		},
		"nothing was measured of a row": {
			change: change("c-echo", "5KB", modePristine, func(r *row) { r.Ratio = 0 }),
			want:   []string{"c-echo 5KB: 0.00 of wasmtime's time, want at most 0.95"},
		},
		"a small request takes too long": {
			change: change("go-wasi-raw", "5KB", modePristine, func(r *row) { r.Ratio = 0.66 }),
			want:   []string{"go-wasi-raw 5KB: 0.66 of wasmtime's time, want at most 0.65"},
		},
		"a large request may take longer": {
			change: change("go-wasi-raw", "50KB", modePristine, func(r *row) { r.Ratio = 1.15 }),
		},
		"a large request takes too long": {
			change: change("go-wasi-raw", "50KB", modePristine, func(r *row) { r.Ratio = 1.16 }),
			want:   []string{"go-wasi-raw 50KB: 1.16 of wasmtime's time, want at most 1.15"},
		},
		"isolation costs too much": {
			change: change("as-echo", "5KB", modeUnsafe, func(r *row) { r.Isolation = new(10.5) }),
			want:   []string{"as-echo 5KB: isolation costs 10.5 us, want at most 10.0"},
		},
		"isolation costs a tenth of much": {
			change: change("as-echo", "50KB", modeUnsafe, func(r *row) { r.Ours, r.Isolation = 1000, new(99.0) }),
		},
		"isolation costs more than a tenth of much": {
			change: change("as-echo", "50KB", modeUnsafe, func(r *row) { r.Ours, r.Isolation = 1000, new(101.0) }),
			want:   []string{"as-echo 50KB: isolation costs 101.0 us, want at most 100.0"},
		},
		"what isolation costs was not measured": {
			change: change("as-echo", "5KB", modeUnsafe, func(r *row) { r.Isolation = nil }),
			want:   []string{"as-echo 5KB: what isolation costs was not measured"},
		},
		"fresh instances may be slow": {
			change: change("as-echo", "5KB", modeFresh, func(r *row) { r.Ratio = 9 }),
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := broken(tc.change(good())); !slices.Equal(got, tc.want) {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

// Every mode of a policy server has rows, where it can have any.
func TestModes(t *testing.T) {
	for _, of := range guests.All() {
		want := []string{"pristine", "fresh", "warm", "unsafe"}
		if of.Mode == "wasi" {
			want = []string{"pristine", "fresh"}
		}
		if got := modesOf(of); !slices.Equal(got, want) {
			t.Errorf("%s: got rows for %q, want %q", of.Name, got, want)
		}
	}
}

// A machine that is slow in all rounds but a few changes no figure.
func TestSlowRoundsAreNoFigures(t *testing.T) {
	rounds := func(usual float64) (took []float64) {
		for round := range 20 {
			took = append(took, usual*float64(2+round%3))
		}
		took[4], took[11], took[19] = usual, usual*1.01, usual*0.99
		return took
	}
	measured := series{
		guest: "g", payload: "5KB", subjects: []subject{{name: wasmtimeName}, {name: modePristine}, {name: modeUnsafe}},
		took: [][]float64{rounds(100), rounds(50), rounds(25)},
	}
	want := []row{
		{Guest: "g", Payload: "5KB", Mode: modePristine, Ours: 50.5, Wasmtime: 101, Ratio: 0.5},
		{Guest: "g", Payload: "5KB", Mode: modeUnsafe, Ours: 25.25, Wasmtime: 101, Ratio: 0.25, Isolation: new(25.25)},
	}
	if got := measured.rows(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// Modes are measured beside those that they are compared with, and all passes count.
func TestSeries(t *testing.T) {
	asked := map[string]int{}
	subjects := map[string]subject{}
	for _, name := range []string{wasmtimeName, modePristine, modeFresh, modeWarm, modeUnsafe} {
		subjects[name] = subject{name, func() error { asked[name]++; return nil }}
	}
	names := func(of []*series) (names []string) {
		for _, one := range of {
			for _, subject := range one.subjects {
				names = append(names, subject.name)
			}
		}
		return names
	}
	all := newSeries("g", "5KB", subjects)
	if got, want := names(all), []string{wasmtimeName, modePristine, modeUnsafe, wasmtimeName, modeWarm, modeFresh}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	delete(subjects, modeWarm)
	delete(subjects, modeUnsafe)
	if got, want := names(newSeries("g", "5KB", subjects)), []string{wasmtimeName, modePristine, wasmtimeName, modeFresh}; !slices.Equal(got, want) {
		t.Errorf("of a command: got %q, want %q", got, want)
	}
	for range 2 {
		if err := all[0].pass(2); err != nil {
			t.Fatal(err)
		}
	}
	for i, took := range all[0].took {
		if len(took) != 4 {
			t.Errorf("%s has %d rounds, want those of both passes", all[0].subjects[i].name, len(took))
		}
	}
	if asked[modeFresh] != 0 || asked[modeUnsafe] == 0 {
		t.Errorf("asked: %v", asked)
	}
}

// Neighbours have each other for the one before, whichever way a round goes.
func TestRoundsTurnAround(t *testing.T) {
	var asked []string
	subjects := make([]subject, 0, 3)
	for _, name := range []string{"a", "b", "c"} {
		subjects = append(subjects, subject{name, func() error {
			if len(asked) == 0 || asked[len(asked)-1] != name {
				asked = append(asked, name)
			}
			return nil
		}})
	}
	took, err := inTurns(subjects, 3)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(asked, ""); got != "abcabcbabc" {
		t.Errorf("they were asked in the order %s, want first once each and then to and fro", got)
	}
	if len(took) != 3 || len(took[0]) != 3 {
		t.Errorf("got %d figures, want three of three rounds", len(took))
	}
}

func TestUndisturbed(t *testing.T) {
	for want, of := range map[float64][]float64{
		1: {9, 1, 3}, 7: {7}, 2: {10, 9, 8, 7, 6, 5, 4, 3, 2, 1}, 3: {9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 2, 3, 1},
	} {
		if got := undisturbed(of); got != want {
			t.Errorf("of %v: got %v, want %v", of, got, want)
		}
	}
}

// Requests have about the size that their names say.
func TestRequestsHaveTheirSize(t *testing.T) {
	for _, of := range guests.All() {
		for _, payload := range sizes {
			if got := len(of.Request(payload.bytes)); got < payload.bytes*9/10 || got > payload.bytes*11/10 {
				t.Errorf("%s %s: got %d bytes", of.Name, payload.name, got)
			}
		}
	}
}

// What is to be refused is another request than the one that is accepted.
func TestRefusedRequestsDiffer(t *testing.T) {
	for _, of := range guests.All() {
		for _, payload := range sizes {
			if of.Refused == nil {
				continue
			}
			if request := of.Request(payload.bytes); bytes.Equal(of.Refused(request), request) {
				t.Errorf("%s %s: the request is the same", of.Name, payload.name)
			}
		}
	}
}
