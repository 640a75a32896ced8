package main

import "slices"

// passes is how often all guests are measured from the first to the last, so that the rounds
// of each are spread over the whole run: a machine that is slow for a while is so for some of them.
const passes = 3

// neighbours are modes that are asked in the same rounds, with wasmtime: those that are
// compared with each other. Fresh instances would leave whoever is next with cold caches.
var neighbours = [][]string{{modePristine, modeUnsafe}, {modeWarm, modeFresh}}

// series is what is measured in the same rounds of a guest and a payload.
type series struct {
	guest, payload string
	subjects       []subject // wasmtime, and some of our modes
	took           [][]float64
}

// newSeries are those of neighbours that are among the subjects.
func newSeries(guest, payload string, subjects map[string]subject) []*series {
	all := make([]*series, 0, len(neighbours))
	for _, modes := range neighbours {
		made := &series{guest: guest, payload: payload, subjects: []subject{subjects[wasmtimeName]}}
		for _, mode := range modes {
			if subject, is := subjects[mode]; is {
				made.subjects = append(made.subjects, subject)
			}
		}
		made.took = make([][]float64, len(made.subjects))
		all = append(all, made)
	}
	return all
}

// pass asks for some rounds more.
func (s *series) pass(rounds int) error {
	took, err := inTurns(s.subjects, rounds)
	if err != nil {
		return err
	}
	for i, more := range took {
		s.took[i] = append(s.took[i], more...)
	}
	return nil
}

// rows are those of our modes.
func (s *series) rows() []row {
	theirs := undisturbed(s.took[0])
	rows := make([]row, 0, len(s.subjects)-1)
	for i, mode := range s.subjects[1:] {
		ours := undisturbed(s.took[i+1])
		measured := row{Guest: s.guest, Payload: s.payload, Mode: mode.name, Ours: ours, Wasmtime: theirs, Ratio: ours / theirs}
		if pristine := slices.IndexFunc(s.subjects, func(of subject) bool { return of.name == modePristine }); mode.name == modeUnsafe && pristine >= 0 {
			cost := undisturbed(s.took[pristine]) - ours
			measured.Isolation = &cost
		}
		rows = append(rows, measured)
	}
	return rows
}
