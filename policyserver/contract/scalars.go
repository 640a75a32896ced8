package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxYAMLNodes bounds what one entry may grow to when its aliases are followed: a few
// lines of nested aliases can stand for billions of nodes.
const maxYAMLNodes = 1 << 17

// yamlWriter writes YAML nodes as JSON.
type yamlWriter struct {
	out   bytes.Buffer
	nodes int
}

// yamlToJSON writes one YAML value as JSON. Scalars are read by the core schema of YAML
// 1.2; a number keeps its digits.
func yamlToJSON(node *yaml.Node) (json.RawMessage, error) {
	var writer yamlWriter
	if err := writer.value(node, 1); err != nil {
		return nil, err
	}
	return writer.out.Bytes(), nil
}

func (w *yamlWriter) value(node *yaml.Node, depth int) error {
	if w.nodes++; w.nodes > maxYAMLNodes {
		return fmt.Errorf("line %d: aliases expand to more than %d values", node.Line, maxYAMLNodes)
	}
	if depth > maxDepth {
		return fmt.Errorf("line %d: %w", node.Line, errTooDeep)
	}
	switch node.Kind {
	case yaml.AliasNode:
		return w.value(node.Alias, depth+1)
	case yaml.MappingNode:
		return w.mapping(node, depth)
	case yaml.SequenceNode:
		return w.sequence(node, depth)
	case yaml.ScalarNode:
		text, err := scalarJSON(node)
		if err != nil {
			return fmt.Errorf("line %d: %w", node.Line, err)
		}
		w.out.WriteString(text)
		return nil
	default:
		return fmt.Errorf("line %d: got %s, want a value", node.Line, kindName(node))
	}
}

func (w *yamlWriter) mapping(node *yaml.Node, depth int) error {
	if err := checkTag(node, "!!map"); err != nil {
		return err
	}
	seen := make(map[string]bool, len(node.Content)/2)
	w.out.WriteByte('{')
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, err := keyText(node.Content[i])
		if err != nil {
			return err
		}
		if seen[key] {
			return fmt.Errorf("line %d: %w", node.Content[i].Line, duplicateKey(key))
		}
		seen[key] = true
		if i > 0 {
			w.out.WriteByte(',')
		}
		w.out.WriteString(quote(key))
		w.out.WriteByte(':')
		if err := w.value(node.Content[i+1], depth+1); err != nil {
			return err
		}
	}
	w.out.WriteByte('}')
	return nil
}

func (w *yamlWriter) sequence(node *yaml.Node, depth int) error {
	if err := checkTag(node, "!!seq"); err != nil {
		return err
	}
	w.out.WriteByte('[')
	for i, item := range node.Content {
		if i > 0 {
			w.out.WriteByte(',')
		}
		if err := w.value(item, depth+1); err != nil {
			return err
		}
	}
	w.out.WriteByte(']')
	return nil
}

// keyText is the text of a mapping's key. A scalar of any type counts as its text, so
// that the keys 1 and true are the strings "1" and "true", as with upstream's reader.
func keyText(node *yaml.Node) (string, error) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind != yaml.ScalarNode {
		return "", fmt.Errorf("line %d: got %s as a key, want a string", node.Line, kindName(node))
	}
	return node.Value, nil
}

// Plain scalars of YAML 1.2. A number with a leading zero ("0644") is left a string: the
// versions of YAML disagree on its base, and upstream's reader does the same.
var (
	yamlNull    = regexp.MustCompile(`^(?:~|null|Null|NULL|)$`)
	yamlTrue    = regexp.MustCompile(`^(?:true|True|TRUE)$`)
	yamlFalse   = regexp.MustCompile(`^(?:false|False|FALSE)$`)
	yamlInteger = regexp.MustCompile(`^[-+]?(?:0|[1-9][0-9]*)$`)
	yamlBased   = regexp.MustCompile(`^(?:0x[0-9a-fA-F]+|0o[0-7]+)$`)
	yamlFloat   = regexp.MustCompile(`^([-+]?)(0|[1-9][0-9]*)?(\.[0-9]*)?([eE][-+]?[0-9]+)?$`)
	yamlSpecial = regexp.MustCompile(`^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$`)
)

// scalarJSON is a scalar as JSON text.
func scalarJSON(node *yaml.Node) (string, error) {
	const quoted = yaml.DoubleQuotedStyle | yaml.SingleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	tagged := node.Style&yaml.TaggedStyle != 0
	switch {
	case tagged && node.ShortTag() == "!!str", !tagged && node.Style&quoted != 0:
		return quote(node.Value), nil
	case tagged:
		return taggedJSON(node)
	default:
		return plainJSON(node.Value)
	}
}

// taggedJSON reads a scalar with an explicit tag, such as !!int "1".
func taggedJSON(node *yaml.Node) (string, error) {
	text, err := plainJSON(node.Value)
	if err != nil {
		return "", err
	}
	tag := node.ShortTag()
	fits := map[string]string{"!!int": "-0123456789", "!!float": "-0123456789", "!!bool": "tf", "!!null": "n"}
	if first, known := fits[tag]; !known {
		return "", fmt.Errorf("tag %s is not supported; allowed are !!str, !!int, !!float, !!bool, !!null, !!map, !!seq", tag)
	} else if !strings.ContainsRune(first, rune(text[0])) {
		return "", fmt.Errorf("%q is no %s", node.Value, tag)
	}
	return text, nil
}

func plainJSON(text string) (string, error) {
	switch {
	case yamlNull.MatchString(text):
		return "null", nil
	case yamlTrue.MatchString(text):
		return "true", nil
	case yamlFalse.MatchString(text):
		return "false", nil
	case yamlInteger.MatchString(text):
		return strings.TrimPrefix(text, "+"), nil
	case yamlBased.MatchString(text):
		number, _ := new(big.Int).SetString(text, 0)
		return number.String(), nil
	case yamlSpecial.MatchString(text):
		return "", fmt.Errorf("%s is no number that JSON knows", text)
	}
	if parts := yamlFloat.FindStringSubmatch(text); parts != nil && (parts[2] != "" || len(parts[3]) > 1) {
		return floatJSON(parts), nil
	}
	return quote(text), nil
}

// floatJSON writes the parts of a YAML float (sign, whole, fraction with its point,
// exponent) as JSON, which wants digits on both sides of the point.
func floatJSON(parts []string) string {
	sign, whole, fraction, exponent := strings.TrimPrefix(parts[1], "+"), parts[2], parts[3], parts[4]
	if whole == "" {
		whole = "0"
	}
	if fraction == "." {
		fraction = ".0"
	}
	return sign + whole + fraction + exponent
}

// checkTag refuses collections with a tag of their own, such as !!set.
func checkTag(node *yaml.Node, want string) error {
	if node.Style&yaml.TaggedStyle != 0 && node.ShortTag() != want {
		return fmt.Errorf("line %d: tag %s is not supported here; want %s", node.Line, node.ShortTag(), want)
	}
	return nil
}

func quote(text string) string {
	quoted, _ := json.Marshal(text) // a string always has a JSON form
	return string(quoted)
}

func kindName(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		return "a single value"
	case yaml.AliasNode:
		return "an alias"
	default:
		return "nothing"
	}
}
