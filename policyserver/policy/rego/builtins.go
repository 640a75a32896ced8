package rego

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/topdown"
	builtincache "github.com/open-policy-agent/opa/v1/topdown/builtins"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
)

// offered are the names of the builtins that guests may use. Most of them OPA compiles
// into the guest today and asked the host for in some earlier version.
//
// Not on the list are http.send, net.lookup_ip_addr and json.*_schema, which fetch what a
// schema refers to; opa.runtime and rego.*; rand.intn, uuid.rfc4122, io.jwt.encode_*,
// providers.aws.* and crypto's private keys; and net.cidr_expand, numbers.range_step,
// graph.reachable_paths, json.marshal_with_options, strings.render_template and graphql.*,
// with which a few bytes can ask for gigabytes.
var offered = strings.Fields(`
	trace sprintf
	array.concat array.flatten array.reverse array.slice
	base64.decode base64.encode base64.is_valid base64url.decode base64url.encode base64url.encode_no_pad
	bits.and bits.negate bits.or bits.rsh bits.xor
	cast_array cast_boolean cast_null cast_object cast_set cast_string to_number format_int
	concat contains endswith indexof indexof_n lower startswith substring upper
	split strings.split_n strings.count strings.any_prefix_match strings.any_suffix_match strings.reverse
	trim trim_left trim_prefix trim_right trim_space trim_suffix
	crypto.hmac.equal crypto.hmac.md5 crypto.hmac.sha1 crypto.hmac.sha256 crypto.hmac.sha512
	crypto.md5 crypto.sha1 crypto.sha256
	crypto.x509.parse_and_verify_certificates crypto.x509.parse_and_verify_certificates_with_options
	crypto.x509.parse_certificate_request crypto.x509.parse_certificates
	glob.match glob.quote_meta graph.reachable
	hex.decode hex.encode
	io.jwt.decode io.jwt.decode_verify
	io.jwt.verify_es256 io.jwt.verify_es384 io.jwt.verify_es512 io.jwt.verify_eddsa
	io.jwt.verify_hs256 io.jwt.verify_hs384 io.jwt.verify_hs512
	io.jwt.verify_ps256 io.jwt.verify_ps384 io.jwt.verify_ps512
	io.jwt.verify_rs256 io.jwt.verify_rs384 io.jwt.verify_rs512
	json.filter json.is_valid json.marshal json.patch json.remove json.unmarshal
	net.cidr_contains net.cidr_contains_matches net.cidr_intersects net.cidr_is_valid net.cidr_merge net.cidr_overlap
	object.filter object.get object.keys object.remove object.subset object.union object.union_n
	re_match regex.find_all_string_submatch_n regex.find_n regex.globs_match regex.is_valid regex.match
	regex.replace regex.split regex.template_match
	semver.compare semver.is_valid
	time.add_date time.clock time.date time.diff time.format time.now_ns time.parse_duration_ns time.parse_ns
	time.parse_rfc3339_ns time.weekday
	units.parse units.parse_bytes
	uri.is_valid uri.parse urlquery.decode urlquery.decode_object urlquery.encode urlquery.encode_object
	uuid.parse
	yaml.is_valid yaml.marshal yaml.unmarshal
`)

// Builtins are the names of all builtins that guests may use, sorted.
func Builtins() []string { return slices.Sorted(slices.Values(offered)) }

// Bounds on what a builtin is given and may answer. An object as large as etcd takes is
// no problem.
const (
	maxArguments = 2 << 20
	maxResult    = 16 << 20
)

// builtin is a builtin that a guest asks for.
type builtin struct {
	name  string
	arity int
	run   topdown.BuiltinFunc
}

// MissingError says which builtins a module wants and the host does not offer.
type MissingError struct{ Names []string }

// Error is upstream's text.
func (m *MissingError) Error() string {
	return "Missing Rego builtins: " + strings.Join(m.Names, ", ")
}

// resolve finds the builtins that a guest asks for, by the numbers that it knows them by.
func resolve(wanted map[string]uint32) (map[uint32]builtin, error) {
	builtins := make(map[uint32]builtin, len(wanted))
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		declaration, run := ast.BuiltinMap[name], topdown.GetBuiltin(name)
		if !slices.Contains(offered, name) || declaration == nil || run == nil {
			missing = append(missing, name)
			continue
		}
		builtins[wanted[name]] = builtin{name: name, arity: declaration.Decl.Arity(), run: run}
	}
	if missing != nil {
		return nil, &MissingError{Names: missing}
	}
	return builtins, nil
}

// question is one call of a builtin.
type question struct {
	builtin   builtin
	addresses []uint64 // of the arguments in the guest
	arguments []*ast.Term
	size      int // of the arguments as text
}

// timed are the builtins whose answers depend on what time it is.
var timed = map[string]bool{
	"time.now_ns":          true,
	"io.jwt.decode_verify": true,
	"crypto.x509.parse_and_verify_certificates":              true,
	"crypto.x509.parse_and_verify_certificates_with_options": true,
}

// newContext is the context of all builtins of one evaluation. Time stands still in it, as
// in OPA.
func newContext(ctx context.Context, now time.Time) topdown.BuiltinContext {
	return topdown.BuiltinContext{
		Context: ctx,
		Metrics: metrics.NoOp(),
		Seed:    rand.Reader,
		Time:    ast.NumberTerm(json.Number(strconv.FormatInt(now.UnixNano(), 10))),
		Cancel:  topdown.NewCancel(),
		Cache:   builtincache.Cache{},
		// No network, should a builtin ever ask.
		Capabilities: &ast.Capabilities{AllowNet: []string{}},
	}
}

// quickArguments is the size of arguments up to which no builtin takes long.
const quickArguments = 4 << 10

// ask runs a builtin. Its value is nil where it is undefined. With large arguments it may
// take long and not look at the deadline: then it is left behind when the call must end,
// and ends on its own, within seconds by the bounds on what it is given.
func ask(call *sandbox.Call, in topdown.BuiltinContext, asked question) (*ast.Term, error) {
	if err := checkCost(asked); err != nil {
		return nil, err
	}
	if asked.size <= quickArguments {
		return answer(in, asked)
	}
	type result struct {
		term *ast.Term
		err  error
	}
	done := make(chan result, 1)
	go func() {
		term, err := answer(in, asked)
		done <- result{term, err}
	}()
	select {
	case got := <-done:
		return got.term, got.err
	case <-in.Context.Done():
		in.Cancel.Cancel()
		if err := call.Check(); err != nil {
			return nil, err
		}
		return nil, sandbox.ErrCanceled
	}
}

// answer runs a builtin. What it fails over, and be it by a panic, the guest has caused.
func answer(in topdown.BuiltinContext, asked question) (value *ast.Term, err error) {
	defer func() {
		if defect := recover(); defect != nil {
			err = sandbox.Violationf("failed: %v", defect)
		}
	}()
	err = asked.builtin.run(in, asked.arguments, func(term *ast.Term) error {
		value = term
		return nil
	})
	if err == nil {
		return value, nil
	}
	reason := err.Error()
	if failure := (*topdown.Error)(nil); errors.As(err, &failure) {
		// OPA puts the name before the reason, and some builtins do so once more.
		name := asked.builtin.name + ": "
		reason = strings.TrimPrefix(strings.TrimPrefix(failure.Message, name), name)
	}
	return nil, sandbox.Violationf("%s", reason)
}
