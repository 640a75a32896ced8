package scan

import (
	"context"
	"slices"

	"github.com/kubewarden/kubewarden-operator/audit/plan"
	"github.com/kubewarden/kubewarden-operator/audit/report"
	"github.com/kubewarden/kubewarden-operator/matching"
)

// maxTogether is the most policies that are asked about an object by one request. More of them
// spare little, and each has the others of the request wait for it.
const maxTogether = 16

// sheet are questions that share a request: to policies of one policy server, about one
// operation on one object, and so in the very same words.
type sheet struct {
	server    string
	operation matching.Operation
	review    Review
	// places are those of the questions among all about the object.
	places []int
}

// sheets are in the order of the first of their questions.
type sheets []sheet

// add puts the question of a place on the sheet where it belongs. The review is that of its
// operation.
func (s *sheets) add(question plan.Question, place int, review Review) {
	server, operation := question.Policy.Server, question.Operation
	at := slices.IndexFunc(*s, func(other sheet) bool { return other.server == server && other.operation == operation })
	if at < 0 {
		at = len(*s)
		*s = append(*s, sheet{server: server, operation: operation, review: review})
	}
	(*s)[at].places = append((*s)[at].places, place)
}

// divide makes sheets as small as they have to be: with one question where a policy server
// knows no others, and otherwise of about the same size.
func (p *pass) divide(large sheets) (small sheets) {
	for _, one := range large {
		size := 1
		if server := p.servers[one.server]; server.err == nil && p.config.Asker.AsksTogether(server.url) {
			count := (len(one.places) + maxTogether - 1) / maxTogether
			size = (len(one.places) + count - 1) / count
		}
		for places := range slices.Chunk(one.places, size) {
			small = append(small, sheet{one.server, one.operation, one.review, places})
		}
	}
	return small
}

// askSheet asks what stands on a sheet, and notes the results in their places.
func (p *pass) askSheet(ctx context.Context, put sheet, questions []plan.Question, results []report.Result) {
	server := p.servers[put.server]
	if server.err != nil {
		for _, i := range put.places {
			results[i] = p.result(questions[i], Answer{}, server.err)
		}
		return
	}
	ids := make([]string, 0, len(put.places))
	for _, i := range put.places {
		ids = append(ids, questions[i].Policy.ID)
	}
	for n, said := range p.config.Asker.AskTogether(ctx, server.url, ids, put.review) {
		question := questions[put.places[n]]
		if said.Err != nil {
			p.config.Log.DebugContext(ctx, "no verdict", "policy", question.Policy.ID, "uid", put.review.UID, "error", said.Err.Error())
		}
		result := p.result(question, said.Answer, said.Err)
		if said.Err == nil {
			result.Basis = p.basis(said.Revision, put.review)
		}
		results[put.places[n]] = result
	}
}
