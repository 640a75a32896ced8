package node

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// chainPrefix begins the name of every chain that kubelet and kube-proxy make. The Pod
// network needs no chains of its own: it neither masquerades nor maps ports.
const chainPrefix = "KUBE-"

// firewalls are the commands of the two address families.
var firewalls = []string{"iptables", "ip6tables"}

// savedRules is what is in the firewall of an address family; empty where there is none.
func savedRules(ctx context.Context, firewall string) string {
	saved, err := exec.CommandContext(ctx, firewall+"-save").Output()
	if err != nil {
		return "" // the tools come with the node: without them there are no rules of its
	}
	return string(saved)
}

// checkFirewall refuses to start where chains of another Kubernetes are: kube-proxy would
// take them for its own, and nobody could tell them apart afterwards.
func checkFirewall(ctx context.Context) error {
	for _, firewall := range firewalls {
		if removal(savedRules(ctx, firewall)) == "" {
			continue
		}
		return fmt.Errorf("the firewall holds chains of another Kubernetes (see %s-save | grep %s): take that down first, or use it with CLUSTER=existing",
			firewall, chainPrefix)
	}
	return nil
}

// removeChains takes the chains of kubelet and kube-proxy out of the firewall. It names
// what goes instead of writing back what stays, so that a rule that somebody else adds at
// the same time is safe.
func removeChains(ctx context.Context) error {
	var failures []error
	for _, firewall := range firewalls {
		input := removal(savedRules(ctx, firewall))
		if input == "" {
			continue
		}
		restore := exec.CommandContext(ctx, firewall+"-restore", "--noflush", "--wait")
		restore.Stdin = strings.NewReader(input)
		if output, err := restore.CombinedOutput(); err != nil {
			failures = append(failures, fmt.Errorf("remove chains with %s-restore: %w: %s", firewall, err, output))
		}
	}
	return errors.Join(failures...)
}

// removal is the input for iptables-restore --noflush that empties and deletes the chains
// of Kubernetes in saved rules, and every rule elsewhere that leads to one of them. It is
// empty when there is nothing to remove.
func removal(saved string) string {
	var out strings.Builder
	var table tableRemoval
	for line := range strings.Lines(saved) {
		line = strings.TrimSpace(line)
		switch words := ruleWords(line); {
		case strings.HasPrefix(line, "*"):
			table = tableRemoval{name: line}
		case strings.HasPrefix(line, ":"+chainPrefix):
			table.chains = append(table.chains, strings.TrimPrefix(words[0], ":"))
		case words[0] == "-A" && leadsIn(words):
			table.rules = append(table.rules, strings.TrimPrefix(line, "-A"))
		case line == "COMMIT":
			table.writeTo(&out)
		}
	}
	return out.String()
}

// tableRemoval is what is to be removed from one table of the firewall.
type tableRemoval struct {
	name   string
	chains []string
	rules  []string
}

// writeTo writes the commands: empty the chains, delete the rules that lead to them,
// delete the chains.
func (t tableRemoval) writeTo(out *strings.Builder) {
	if len(t.chains)+len(t.rules) == 0 {
		return
	}
	out.WriteString(t.name + "\n")
	for _, chain := range t.chains {
		out.WriteString(":" + chain + " - [0:0]\n")
	}
	for _, rule := range t.rules {
		out.WriteString("-D" + rule + "\n")
	}
	for _, chain := range t.chains {
		out.WriteString("-X " + chain + "\n")
	}
	out.WriteString("COMMIT\n")
}

// leadsIn says whether a rule of another chain leads to a chain of Kubernetes.
func leadsIn(words []string) bool {
	return len(words) > 2 && !strings.HasPrefix(words[1], chainPrefix) && strings.HasPrefix(target(words), chainPrefix)
}

// target is the chain that a rule leads to, empty if it leads to none.
func target(words []string) string {
	for i := 2; i < len(words)-1; i++ {
		if words[i] == "-j" || words[i] == "-g" {
			return words[i+1]
		}
	}
	return ""
}

// ruleWords splits a saved rule. Only comments are quoted; inside, a backslash takes the
// meaning from the character after it.
func ruleWords(line string) []string {
	var words []string
	var word strings.Builder
	quoted, escaped := false, false
	for _, char := range line {
		switch {
		case escaped:
			word.WriteRune(char)
			escaped = false
		case char == '\\':
			escaped = true
		case char == '"':
			quoted = !quoted
		case char == ' ' && !quoted:
			words = append(words, word.String())
			word.Reset()
		default:
			word.WriteRune(char)
		}
	}
	return append(words, word.String())
}
