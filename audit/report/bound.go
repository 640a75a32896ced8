package report

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

const (
	// maxReport bounds a report as it is sent, in bytes of JSON. etcd refuses requests above
	// 1.5 MiB; what an API server adds, who owns which field, has its place in the rest.
	maxReport = 1 << 20
	// maxFrame is what a report has beside its results: names are at most 253 bytes long.
	maxFrame = 16 << 10
	// maxConstant is what a result has in either API beside what differs.
	maxConstant = 256
	// widest is how many bytes one byte of text can become in JSON, as \u003c.
	widest = 6
)

// AnnotationLeftOut is on a report that would be too large: it says how far messages are
// cut, and how many results of which outcome are left out.
const AnnotationLeftOut = "kubewarden.io/audit-left-out"

// expendable are the outcomes whose results are left out of a report that is too large,
// the least telling first.
var expendable = []Outcome{OutcomePass, OutcomeSkip, OutcomeError, OutcomeFail}

// bound makes a report small enough: first it shortens the messages, then it leaves out
// results. The results that stay keep their order.
func (c *content) bound() {
	if fits(c.Results) {
		return
	}
	for _, most := range []int{256, 64} {
		for i := range c.Results {
			c.Results[i].cut(most)
		}
		c.LeftOut = fmt.Sprintf("messages are cut at %d bytes", most)
		if fits(c.Results) {
			return
		}
	}
	all := len(c.Results)
	left := c.leaveOut()
	said := make([]string, 0, len(expendable))
	for _, outcome := range expendable {
		if left[outcome] > 0 {
			said = append(said, fmt.Sprintf("%d %s", left[outcome], outcome))
		}
	}
	c.LeftOut += fmt.Sprintf("; %d of %d results are left out: %s", all-len(c.Results), all, strings.Join(said, ", "))
}

// cut shortens the message. What is left is less than the policy said, so that the next scan
// must ask again: the report would seem to fit, and never be whole again.
func (e *entry) cut(most int) {
	if len(e.Message) <= most {
		return
	}
	e.Message = shorten(e.Message, most)
	delete(e.Properties, propertyVerdictBasis)
}

// leaveOut takes results out, from the end, until the rest fits, and counts them.
func (c *content) leaveOut() map[Outcome]int {
	sizes := make([]int, len(c.Results))
	size := 0
	for i := range c.Results {
		sizes[i] = sizeOf(&c.Results[i])
		size += sizes[i]
	}
	out := make([]bool, len(c.Results))
	left := map[Outcome]int{}
	for _, outcome := range expendable {
		for i := len(c.Results) - 1; i >= 0 && size > maxReport-maxFrame; i-- {
			if c.Results[i].Outcome == outcome {
				out[i] = true
				size -= sizes[i]
				left[outcome]++
			}
		}
	}
	kept := slices.Clone(c.Results)[:0]
	for i, result := range c.Results {
		if !out[i] {
			kept = append(kept, result)
		}
	}
	c.Results = kept
	return left
}

// fits says whether a report with the results is small enough. Almost all are, by far: for
// them a look at the lengths will do.
func fits(results []entry) bool {
	most := 0
	for i := range results {
		most += mostOf(&results[i])
	}
	if most <= maxReport-maxFrame {
		return true
	}
	size := 0
	for i := range results {
		if size += sizeOf(&results[i]); size > maxReport-maxFrame {
			return false
		}
	}
	return true
}

// mostOf is more than the size of a result.
func mostOf(e *entry) int {
	text := len(e.Policy) + len(e.Rule) + len(e.Category) + len(e.Severity) + len(e.Outcome) + len(e.Message)
	const perProperty = len(`"":"",`)
	most := maxConstant + widest*text
	for name, value := range e.Properties {
		most += perProperty + widest*(len(name)+len(value))
	}
	return most
}

// sizeOf is the size of a result in JSON, a little too large.
func sizeOf(e *entry) int {
	encoded, err := json.Marshal(e)
	if err != nil {
		// Text and numbers can always be encoded.
		return mostOf(e)
	}
	return maxConstant + len(encoded)
}
