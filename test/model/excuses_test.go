//go:build integration

package model

import "testing"

// excuses are what happened since the last pause that lets webhooks go.
type excuses struct {
	// stood are the webhooks that stood at the last pause, and the servers that they called.
	stood map[string]string
	// webhooks and servers are those that something happened to: a webhook or its policy
	// was deleted, a server was deleted or scaled to nothing.
	webhooks, servers map[string]bool
	// all: enforcement was suspended, or the installation deleted.
	all bool
}

func newExcuses() excuses {
	return excuses{stood: map[string]string{}, webhooks: map[string]bool{}, servers: map[string]bool{}}
}

// named lets one webhook go.
func named(name string) func(*excuses) {
	return func(e *excuses) { e.webhooks[name] = true }
}

// callersOf lets the webhooks go that called a server at the last pause.
func callersOf(server string) func(*excuses) {
	return func(e *excuses) { e.servers[server] = true }
}

// everything lets all webhooks go.
func everything(e *excuses) { e.all = true }

// mustStand says whether a webhook stood at the last pause and nothing lets it go.
func (e excuses) mustStand(name string) bool {
	server, stood := e.stood[name]
	return stood && !e.all && !e.webhooks[name] && !e.servers[server]
}

func TestExcusesAreForWhatHappened(t *testing.T) {
	for name, test := range map[string]struct {
		happened []func(*excuses)
		stand    map[string]bool
	}{
		"nothing":        {nil, map[string]bool{"a": true, "b": true, "c": true}},
		"a webhook":      {[]func(*excuses){named("a")}, map[string]bool{"b": true, "c": true}},
		"a server":       {[]func(*excuses){callersOf("red")}, map[string]bool{"c": true}},
		"another server": {[]func(*excuses){callersOf("green")}, map[string]bool{"a": true, "b": true, "c": true}},
		"both":           {[]func(*excuses){named("c"), callersOf("red")}, nil},
		"suspended":      {[]func(*excuses){everything}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			e := newExcuses()
			e.stood = map[string]string{"a": "red", "b": "red", "c": "blue"}
			for _, note := range test.happened {
				note(&e)
			}
			for _, name := range []string{"a", "b", "c", "never stood"} {
				if got := e.mustStand(name); got != test.stand[name] {
					t.Errorf("webhook %s must stand: %t, want %t", name, got, test.stand[name])
				}
			}
		})
	}
}
