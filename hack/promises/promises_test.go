package promises

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

// row is a line of a table of the page: what is promised, `the test`, `its file`.
var row = regexp.MustCompile("^\\| ([^|]+) \\| `(Test\\w+)` \\| `([^`]+_test\\.go)` \\|$")

// TestThePageOfPromisesNamesTestsThatExist reads docs/promises.md.
func TestThePageOfPromisesNamesTestsThatExist(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "promises.md"))
	if err != nil {
		t.Fatal(err)
	}
	promises, complaints := check(string(page))
	for _, complaint := range complaints {
		t.Error(complaint)
	}
	if promises < 18 {
		t.Errorf("the page has %d promises, want no fewer than 18", promises)
	}
}

func TestAPageThatHasRottedIsFound(t *testing.T) {
	const file = "hack/promises/promises_test.go"
	for name, tc := range map[string]struct {
		page string
		want int
	}{
		"all is well":            {"## A\n\n| fact | test | file |\n|---|---|---|\n| a | `TestAPageThatHasRottedIsFound` | `" + file + "` |\n", 0},
		"a test is gone":         {"## A\n\n| a | `TestThatIsGone` | `" + file + "` |\n", 1},
		"a file is gone":         {"## A\n\n| a | `TestAPageThatHasRottedIsFound` | `hack/gone_test.go` |\n", 1},
		"a promise has no test":  {"## A\n\nWords.\n", 1},
		"a line cannot be read":  {"## A\n\n| a | `TestAPageThatHasRottedIsFound` | `" + file + "` |\n| b | TestB | hack |\n", 1},
		"the last one has none":  {"## A\n\n| a | `TestAPageThatHasRottedIsFound` | `" + file + "` |\n\n## B\n", 1},
		"a method is not a test": {"## A\n\n| a | `TestMethod` | `" + file + "` |\n", 1},
	} {
		t.Run(name, func(t *testing.T) {
			if _, complaints := check(tc.page); len(complaints) != tc.want {
				t.Errorf("got the complaints %q, want %d", complaints, tc.want)
			}
		})
	}
}

type method struct{}

func (method) TestMethod(*testing.T) {}

var _ = method.TestMethod

// check counts the promises of a page, which are its sections, and complains about those
// without a test, tests that do not exist, and lines of a table that it cannot read.
func check(page string) (promises int, complaints []string) {
	tests := map[string]map[string]bool{} // by file
	promise, rows := "", 0
	end := func() {
		if promise != "" && rows == 0 {
			complaints = append(complaints, fmt.Sprintf("the promise %q has no test", promise))
		}
	}
	for line := range strings.Lines(page) {
		line = strings.TrimSpace(line)
		if title, ok := strings.CutPrefix(line, "## "); ok {
			end()
			promise, rows = title, 0
			promises++
		}
		if !strings.HasPrefix(line, "|") || line == "| fact | test | file |" || line == "|---|---|---|" {
			continue
		}
		match := row.FindStringSubmatch(line)
		if match == nil {
			complaints = append(complaints, "cannot read the line "+line)
			continue
		}
		rows++
		name, file := match[2], match[3]
		if tests[file] == nil {
			var err error
			if tests[file], err = testsOf(file); err != nil {
				complaints = append(complaints, err.Error())
				continue
			}
		}
		if !tests[file][name] {
			complaints = append(complaints, fmt.Sprintf("%s has no test %s", file, name))
		}
	}
	end()
	return promises, complaints
}

// testsOf are the names of the tests of a file, whatever its build tags are.
func testsOf(file string) (map[string]bool, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	names := map[string]bool{}
	for _, declaration := range parsed.Decls {
		if function, ok := declaration.(*ast.FuncDecl); ok && function.Recv == nil {
			names[function.Name.Name] = true
		}
	}
	return names, nil
}
