package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/kubewarden/kubewarden-operator/policies/build"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/test/bench/floor"
	"github.com/kubewarden/kubewarden-operator/test/bench/guests"
)

// variant is what distinguishes a policy from others of the same guest.
type variant struct {
	settings any
	asks     [2]edit
}

// edit is a request, as a change of one that a guest accepts anyway, and its outcome.
type edit struct {
	// swaps are pairs of a text and another that comes in its place, once.
	swaps []string
	want  outcome
}

// variants give the policy of a number, by the guest. Where a guest can refuse, the settings
// of any other number would lead to another outcome.
var variants = map[string]func(number int) variant{
	"opa-happy": indifferent,
	"gk-privileged": func(number int) variant {
		from := func(number int) []string {
			return []string{`"privileged":false`, `"privileged":true`, "registry.example", fmt.Sprintf("r%d.example", number)}
		}
		return variant{map[string]any{"exemptImages": []string{fmt.Sprintf("r%d.example/*", number)}}, [2]edit{
			{from(number), allowed},
			{from(number + 1), denied("Privileged container is not allowed: side")},
		}}
	},
	"gk-limits": func(number int) variant {
		return variant{map[string]any{"cpu": fmt.Sprint(number + 1), "memory": "1Ti"}, [2]edit{
			{[]string{`"cpu":"500m"`, fmt.Sprintf(`"cpu":"%d"`, number+1)}, allowed},
			{[]string{`"cpu":"500m"`, fmt.Sprintf(`"cpu":"%d"`, number+2)}, denied(fmt.Sprintf("cpu limit %d is above %d", number+2, number+1))},
		}}
	},
	"go-wapc-labels": func(number int) variant {
		pattern := fmt.Sprintf("^t%d$", number)
		return variant{map[string]any{"mandatory_labels": []string{"team"}, "constrained_labels": map[string]string{"team": pattern}}, [2]edit{
			{[]string{`"team":"alpha"`, fmt.Sprintf(`"team":"t%d"`, number)}, allowed},
			{[]string{`"team":"alpha"`, fmt.Sprintf(`"team":"t%d"`, number+1)}, denied(fmt.Sprintf(`which does not match "%s"`, pattern))},
		}}
	},
	"c-echo":  indifferent,
	"as-echo": indifferent,
	"go-wasi-raw": func(number int) variant {
		user := func(number int) string { return fmt.Sprintf("user-%d", number) }
		return variant{map[string]any{"validUsers": []string{user(number)}, "validActions": []string{"eats"}, "validResources": []string{"hay"}}, [2]edit{
			{[]string{`"user":"tonio"`, `"user":"` + user(number) + `"`}, allowed},
			{[]string{`"user":"tonio"`, `"user":"` + user(number+1) + `"`}, denied(fmt.Sprintf("user %q is not allowed", user(number+1)))},
		}}
	},
}

// indifferent is of guests that accept everything.
func indifferent(number int) variant {
	return variant{map[string]any{"number": number}, [2]edit{
		{[]string{`"team":"alpha"`, `"team":"beta"`}, allowed},
		{[]string{`"team":"alpha"`, `"team":"gamma"`}, allowed},
	}}
}

// namedFixture makes the policy of a number: the guests take turns.
func namedFixture(number int) fixture {
	all := guests.All()
	of := all[number%len(all)]
	is := variants[of.Name](number)
	made := fixture{id: fmt.Sprintf("clusterwide-load-%d", number), module: of.Name, settings: is.settings}
	for _, ask := range is.asks {
		document := string(of.Request(floor.ReviewBytes))
		for i := 0; i < len(ask.swaps); i += 2 {
			document = strings.Replace(document, ask.swaps[i], ask.swaps[i+1], 1)
		}
		made.cases = append(made.cases, testCase{asReview(of, document), ask.want})
	}
	return made
}

// asReview surrounds a document with what it is sent in.
func asReview(of guests.Guest, document string) review {
	path := contract.PathValidate
	if of.Raw() {
		path = contract.PathValidateRaw
	}
	before, after := of.Around(document)
	return review{before, after, path}
}

// buildGuests builds the modules of the named guests into a folder.
func buildGuests(ctx context.Context, folder string) error {
	root, err := build.Root(".")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("make a folder for guests: %w", err)
	}
	for _, of := range guests.All() {
		module, err := of.Build(ctx, root)
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, of.Name+".wasm"), module, 0o644)
		}
		if err != nil {
			return errors.Join(errors.New("build the guests of a load"), err)
		}
	}
	return nil
}
