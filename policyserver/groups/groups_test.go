package groups

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var errMember = errors.New("the member failed")

// members answer by their names; calls are recorded in their order.
type members struct{ calls []string }

func (m *members) ask(name string) (bool, error) {
	m.calls = append(m.calls, name)
	switch {
	case strings.HasPrefix(name, "fails"):
		return true, errMember // a verdict beside an error counts for nothing
	default:
		return strings.HasPrefix(name, "happy"), nil
	}
}

var names = []string{"happy", "happy2", "sad", "sad2", "fails", "fails2"}

func TestEvaluate(t *testing.T) {
	for name, tc := range map[string]struct {
		expression string
		want       bool
		wantCalls  string
		wantErr    error
	}{
		"a member that accepts":                      {"happy()", true, "happy", nil},
		"a member that rejects":                      {"sad()", false, "sad", nil},
		"nothing but a literal":                      {"true", true, "", nil},
		"and goes on after true":                     {"happy() && happy2()", true, "happy happy2", nil},
		"and ends at false":                          {"sad() && happy()", false, "sad", nil},
		"or ends at true":                            {"happy() || sad()", true, "happy", nil},
		"or goes on after false":                     {"sad() || happy()", true, "sad happy", nil},
		"long chains keep their order":               {"sad() || sad2() || happy() || happy2() || fails()", true, "sad sad2 happy", nil},
		"and binds tighter than or":                  {"happy() || sad() && sad2()", true, "happy", nil},
		"parentheses bind tighter":                   {"(happy() || sad()) && sad2()", false, "happy sad2", nil},
		"not":                                        {"!sad()", true, "sad", nil},
		"not, twice":                                 {"!!happy()", true, "happy", nil},
		"not of a whole":                             {"!(sad() || sad2())", true, "sad sad2", nil},
		"a conditional asks one side":                {"happy() ? sad() : fails()", false, "happy sad", nil},
		"a conditional asks the other side":          {"sad() ? fails() : happy()", true, "sad happy", nil},
		"a literal decides a conditional":            {"1 < 2 ? happy() : fails()", true, "happy", nil},
		"equal verdicts":                             {"happy() == happy2()", true, "happy happy2", nil},
		"unequal verdicts":                           {"happy() != sad()", true, "happy sad", nil},
		"a verdict and a literal":                    {"sad() == false", true, "sad", nil},
		"a comparison is not lazy":                   {"sad() == sad2()", true, "sad sad2", nil},
		"a member called twice is asked once":        {"sad() || (happy() && !sad())", true, "sad happy", nil},
		"white space and comments":                   {"happy() && // first\n  happy2()\t", true, "happy happy2", nil},
		"literal numbers":                            {"2 > 1 && 2 >= 2 && -1 < 0 && 1 <= 1 && 1 == 1 && 1 != 2 && 1u < 2u", true, "", nil},
		"literal fractions":                          {"1.5 < 1.25", false, "", nil},
		"literal texts":                              {`"a" < "b" && 'a' == "a"`, true, "", nil},
		"a literal before a member":                  {"true || fails()", true, "", nil},
		"a member before a literal":                  {"fails() || true", false, "fails", errMember},
		"an error denies":                            {"fails()", false, "fails", errMember},
		"not of an error denies":                     {"!fails()", false, "fails", errMember},
		"two negations of an error deny":             {"!(!fails())", false, "fails", errMember},
		"an error before an or denies":               {"fails() || happy()", false, "fails", errMember},
		"an error behind a false or denies":          {"sad() || fails() || happy()", false, "sad fails", errMember},
		"an error before an and denies":              {"fails() && sad()", false, "fails", errMember},
		"not of an and with an error denies":         {"!(fails() && sad())", false, "fails", errMember},
		"not of an or with an error denies":          {"!(sad() || fails())", false, "sad fails", errMember},
		"an error as a condition denies":             {"fails() ? happy() : happy2()", false, "fails", errMember},
		"an error chosen by a condition denies":      {"!(happy() ? fails() : happy2())", false, "happy fails", errMember},
		"an error on the left of == denies":          {"fails() == sad()", false, "fails", errMember},
		"an error on the right of != denies":         {"sad() != fails()", false, "sad fails", errMember},
		"an error that nobody asks for":              {"happy() || fails()", true, "happy", nil},
		"an error behind a false and is not reached": {"!(sad() && fails())", true, "sad", nil},
		"the first error counts":                     {"fails() || fails2()", false, "fails", errMember},
	} {
		t.Run(name, func(t *testing.T) {
			expression, err := Compile(tc.expression, names)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // an evaluation leaves nothing to the next
				var asked members
				got, err := expression.Evaluate(asked.ask)
				if got != tc.want || !errors.Is(err, tc.wantErr) {
					t.Errorf("got %t and error %v, want %t and error %v", got, err, tc.want, tc.wantErr)
				}
				if calls := strings.Join(asked.calls, " "); calls != tc.wantCalls {
					t.Errorf("asked %q, want %q", calls, tc.wantCalls)
				}
			}
		})
	}
}

func TestCompileRefuses(t *testing.T) {
	const are = "; the members are happy(), sad()"
	for name, tc := range map[string]struct{ expression, want string }{
		"nothing":                     {"", `expression "": it is empty` + are},
		"white space":                 {" \n", `expression " \n": it is empty` + are},
		"a number":                    {"123", `expression "123": line 1, column 1: it must evaluate to bool, got a literal of type int` + are},
		"a text":                      {`"happy"`, `line 1, column 1: it must evaluate to bool, got a literal of type string`},
		"null":                        {"null", "it must evaluate to bool, got a literal of type null_type"},
		"a sum":                       {"1 + 1", `expression "1 + 1": line 1, column 3: there is no operator +; ` + language + are},
		"a sum with a verdict":        {"happy() + 1", `line 1, column 9: there is no operator +`},
		"a negative verdict":          {"-happy()", `line 1, column 1: there is no operator -`},
		"in":                          {"happy() in [true]", `there is no operator in`},
		"a number as a verdict":       {"happy() && 1", `line 1, column 12: it must evaluate to bool, got a literal of type int`},
		"a number as a choice":        {"happy() ? 1 : 2", "line 1, column 11: it must evaluate to bool, got a literal of type int"},
		"not of a number":             {"!1", "line 1, column 2: it must evaluate to bool"},
		"a verdict beside a number":   {"happy() == 1", "line 1, column 12: it must evaluate to bool, got a literal of type int"},
		"an order of verdicts":        {"happy() < sad()", "line 1, column 9: booleans are compared by == and != only"},
		"an order of booleans":        {"true > false", "booleans are compared by == and != only"},
		"a number and a text":         {`1 == "1"`, "line 1, column 3: literals of types int and string cannot be compared"},
		"an integer and a fraction":   {"1 < 2.0", "literals of types int and double cannot be compared"},
		"two nulls":                   {"null == null", "literals of types null_type and null_type cannot be compared"},
		"a member that is not there":  {"happy() ||\n  absent()", `expression "happy() ||\n  absent()": line 2, column 9: there is no member absent()` + are},
		"a member without brackets":   {"happy && sad()", "line 1, column 1: a member is called with parentheses: happy()"},
		"a variable":                  {"request", `line 1, column 1: "request" is no member; ` + language},
		"arguments":                   {"happy(1)", "line 1, column 6: member happy() takes no arguments"},
		"a method":                    {"happy().sad()", "sad() is called on something; " + language},
		"a field":                     {"happy().uid", language},
		"an index":                    {"happy()[0]", language},
		"a list":                      {"[happy()]", language},
		"a map":                       {"{1: happy()}", language},
		"a message":                   {"Happy{}", language},
		"a macro":                     {"[1].all(x, happy())", language},
		"has":                         {"has(happy.sad)", "there is no member has()"},
		"a function of CEL":           {`size("a") == 1`, "there is no member size()"},
		"a name behind a dot":         {".happy()", "there is no member .happy()"},
		"nonsense":                    {"happy() and sad()", "line 1, column 9: Syntax error"},
		"half an expression":          {"happy() &&", "line 1, column 11: Syntax error"},
		"a bracket too many":          {"(happy()))", "line 1, column 10: Syntax error"},
		"a statement":                 {"happy(); sad()", "Syntax error"},
		"a reserved word":             {"happy() || while()", "line 1, column 12: reserved identifier: while"},
		"bytes that are no text":      {"happy() \xff\xfe", "Syntax error"},
		"an endless expression":       {strings.Repeat("happy() || ", 1000) + "sad()", "it is 11005 characters long, allowed are 8192"},
		"endless parentheses":         {strings.Repeat("(", 1000) + "happy()" + strings.Repeat(")", 1000), "recursion limit exceeded: 64"},
		"endless choices":             {strings.Repeat("happy() ? sad() : ", 400) + "sad()", "recursion limit exceeded: 64"},
		"a number out of all measure": {"99999999999999999999 > 1", "invalid int literal"},
	} {
		t.Run(name, func(t *testing.T) {
			expression, err := Compile(tc.expression, []string{"sad", "happy"})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v and error %v, want an error that contains %q", expression, err, tc.want)
			}
			var invalid *Error
			if !errors.As(err, &invalid) || invalid.Expression != tc.expression || !strings.HasSuffix(invalid.Detail(), are) {
				t.Errorf("got %#v, want an *Error that names expression and members", err)
			}
			if strings.Contains(invalid.Problem, "\n") || len(err.Error()) > 600 {
				t.Errorf("got an error of %d bytes, want a line: %s", len(err.Error()), err)
			}
		})
	}
}

func TestCompileNamesOnlySomeOfManyMembers(t *testing.T) {
	many := make([]string, 0, 50)
	for i := range 50 {
		many = append(many, fmt.Sprintf("m%02d", i))
	}
	_, err := Compile("x()", many)
	if want := "m19() and 30 more"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got %v, want an error that ends with %q", err, want)
	}
	_, err = Compile("x()", nil)
	if want := `expression "x()": line 1, column 2: there is no member x(); the group has no members`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestCompileTakesLongExpressions(t *testing.T) {
	expression, err := Compile(strings.Repeat("sad() || ", 900)+"happy()", names)
	if err != nil {
		t.Fatal(err)
	}
	var asked members
	if got, err := expression.Evaluate(asked.ask); !got || err != nil {
		t.Errorf("got %t and %v, want true", got, err)
	}
	if diff := cmp.Diff([]string{"sad", "happy"}, asked.calls); diff != "" {
		t.Errorf("calls; -want +got:\n%s", diff)
	}
}

func TestCalled(t *testing.T) {
	expression, err := Compile("sad2() || (happy() && sad2())", names)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"sad2", "happy"}, expression.Called()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{"a", "_a1", "camelCase", "TRUE", "has", "all", "size", "dyn", "type", "_", "__x__", "int"} {
		if err := CheckName(name); err != nil {
			t.Error(err)
		}
		if _, err := Compile(name+"() && !"+name+"()", []string{name}); err != nil {
			t.Errorf("a good name cannot be called: %v", err)
		}
	}
	bad := append(slices.Clone(reserved), "", "a-b", "1a", "a.b", "a b", "ä", "_&&_", "a\n", "@in")
	for _, name := range bad {
		if err := CheckName(name); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", name)) {
			t.Errorf("got error %v for the name %q, want one that names it", err, name)
		}
		if _, err := Compile("true", []string{"good", name}); err == nil {
			t.Errorf("a member %q was accepted", name)
		}
	}
}

// The schema of a group and this package must agree, or a member could be admitted that no
// expression can call.
func TestSchemasReserveTheSameWords(t *testing.T) {
	want := "['" + strings.Join(reserved, "', '") + "']"
	for _, kind := range []string{"admissionpolicygroup", "clusteradmissionpolicygroup"} {
		source, err := os.ReadFile("../../api/policies/v1/" + kind + "_types.go")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(source), want) || !strings.Contains(string(source), identifier.String()) {
			t.Errorf("the rule about member names of %s has not the words %s and the pattern %s", kind, want, identifier)
		}
	}
}

// Whatever is compiled gives a verdict or an error of a member, asks each member at most
// once, and never accepts when the only member failed.
func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		"happy() && !sad() || (fails() ? true : 1 < 2)", "happy() + 1", "1 + 1", "!(!(happy()))", "", "((((", "happy(1)", "a.b.c()",
		"[1].all(x, x)", "\"\\u00e4\" == 'x'", "0x1F > 1u", "happy() // comment", "happy() == sad() != true", "b'\\xff' == b''", "`a`()",
		"\xff", "1e999 > 0.0", "-9223372036854775808 < 0", "has(a.b)", "{}", "true ? : false",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		expression, err := Compile(text, names)
		if err != nil {
			var invalid *Error
			if !errors.As(err, &invalid) || invalid.Problem == "" {
				t.Fatalf("got %#v, want an *Error", err)
			}
			return
		}
		asked := map[string]int{}
		got, err := expression.Evaluate(func(name string) (bool, error) {
			asked[name]++
			return false, errMember
		})
		if len(asked) > 1 || (len(asked) == 1 && (got || !errors.Is(err, errMember))) {
			t.Errorf("%q with members that fail: got %t, %v, asked %v", text, got, err, asked)
		}
		clear(asked)
		if _, err := expression.Evaluate(func(name string) (bool, error) {
			asked[name]++
			return asked[name]%2 == 0, nil
		}); err != nil {
			t.Errorf("%q: got error %v, want none without an error of a member", text, err)
		}
		for name, times := range asked {
			if times > 1 {
				t.Errorf("%q asks %s %d times", text, name, times)
			}
		}
	})
}
