package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

const (
	// helperTimeout bounds a credential helper where the keychain does not. Some ask a cloud's API.
	helperTimeout = 10 * time.Second
	// maxHelperOutput bounds what it prints, in bytes. Tokens of clouds have some thousand.
	maxHelperOutput = 64 << 10
	helperPrefix    = "docker-credential-"
	// helperNotFound is what a helper prints, by its protocol, for a registry it does not know.
	helperNotFound = "credentials not found in native keychain"
	// tokenUser is the user, by the same protocol, whose secret is an identity token.
	tokenUser = "<token>"
)

// askHelper asks the credential helper docker-credential-<helper>; what it does not know is
// empty. No error repeats what the helper prints: it could be a secret.
func askHelper(ctx context.Context, helper, registry string, timeout time.Duration) (authn.AuthConfig, error) {
	found, err := runHelper(ctx, helper, registry, timeout)
	if err != nil {
		return found, fmt.Errorf("credential helper %s%s for %s: %w", helperPrefix, helper, registry, err)
	}
	return found, nil
}

func runHelper(ctx context.Context, helper, registry string, timeout time.Duration) (authn.AuthConfig, error) {
	if strings.ContainsAny(helper, `/\`) {
		return authn.AuthConfig{}, errors.New("its name has a slash, want the name of a program in PATH")
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	output := &boundedBuffer{}
	command := exec.CommandContext(limited, helperPrefix+helper, "get") //nolint:gosec // docker's config.json names it
	command.Stdin, command.Stdout = strings.NewReader(registry), output
	// A helper may be a script: what it has started ends with it.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = time.Second
	err := command.Run()
	switch {
	case ctx.Err() != nil:
		return authn.AuthConfig{}, ctx.Err()
	case limited.Err() != nil:
		return authn.AuthConfig{}, fmt.Errorf("it gave no answer within %s", timeout)
	case output.full:
		return authn.AuthConfig{}, fmt.Errorf("it prints more than %d bytes", maxHelperOutput)
	case err != nil && strings.TrimSpace(string(output.text)) == helperNotFound:
		return authn.AuthConfig{}, nil
	case err != nil:
		return authn.AuthConfig{}, err
	}
	var answer struct{ Username, Secret string }
	if json.Unmarshal(output.text, &answer) != nil || answer.Secret == "" {
		return authn.AuthConfig{}, errors.New("it prints no credentials, want a JSON object with Username and Secret")
	}
	if answer.Username == tokenUser {
		return authn.AuthConfig{IdentityToken: answer.Secret}, nil
	}
	return authn.AuthConfig{Username: answer.Username, Password: answer.Secret}, nil
}

// boundedBuffer keeps what is written to it, up to maxHelperOutput bytes.
type boundedBuffer struct {
	text []byte
	full bool
}

// Write refuses what is too much: whoever writes it finds its pipe closed.
func (b *boundedBuffer) Write(text []byte) (int, error) {
	if len(b.text)+len(text) > maxHelperOutput {
		b.full = true
		return 0, errors.New("too long")
	}
	b.text = append(b.text, text...)
	return len(text), nil
}
