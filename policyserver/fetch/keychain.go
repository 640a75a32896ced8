package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// DockerKeychain gives the credentials of a file in the format of Docker's config.json, read
// anew each time: secrets are renewed. A credential helper that the file names for a registry is asked first; what it does not know may stand in the
// file. The registry library's own keychain is not used since it waits for a helper without
// end, all registries with it, and repeats what a broken helper prints.
type DockerKeychain struct {
	// Files are paths of such files; the first that is there counts. None need be there.
	Files []string
	// HelperTimeout bounds a credential helper; 0 means 10 s.
	HelperTimeout time.Duration
}

var _ authn.ContextKeychain = DockerKeychain{}

// Resolve is ResolveContext without a context.
func (k DockerKeychain) Resolve(target authn.Resource) (authn.Authenticator, error) {
	return k.ResolveContext(context.Background(), target)
}

// ResolveContext gives the credentials of a repository or a registry: Anonymous where there
// are none. The error names the file, or the helper and the registry, and has no secret.
func (k DockerKeychain) ResolveContext(ctx context.Context, target authn.Resource) (authn.Authenticator, error) {
	file, err := k.read()
	if err != nil {
		return nil, err
	}
	for _, key := range []string{target.String(), target.RegistryStr()} {
		helper := file.CredentialHelpers[key]
		if key == target.RegistryStr() {
			helper = cmp.Or(helper, file.CredentialsStore) // which knows no repositories
		}
		if key == name.DefaultRegistry {
			key = authn.DefaultAuthKey
			helper = cmp.Or(file.CredentialHelpers[key], helper)
		}
		found, err := k.credentials(ctx, file, helper, key)
		if err != nil {
			return nil, err
		}
		if found != (authn.AuthConfig{}) {
			return authn.FromConfig(found), nil
		}
	}
	return authn.Anonymous, nil
}

func (k DockerKeychain) credentials(ctx context.Context, file *configfile.ConfigFile, helper, key string) (authn.AuthConfig, error) {
	if helper != "" {
		found, err := askHelper(ctx, helper, key, cmp.Or(k.HelperTimeout, helperTimeout))
		if err != nil || found != (authn.AuthConfig{}) {
			return found, err
		}
	}
	// Without helpers in it, this reads what stands in the file.
	static := configfile.ConfigFile{AuthConfigs: file.AuthConfigs}
	entry, err := static.GetAuthConfig(key)
	return authn.AuthConfig{
		Username: entry.Username, Password: entry.Password, Auth: entry.Auth,
		IdentityToken: entry.IdentityToken, RegistryToken: entry.RegistryToken,
	}, err
}

// read reads the first file of credentials that there is; an empty one stands
// for none.
func (k DockerKeychain) read() (*configfile.ConfigFile, error) {
	for _, path := range k.Files {
		opened, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read credentials of registries: %w", err)
		}
		file, err := config.LoadFromReader(opened)
		_ = opened.Close()
		if err != nil {
			return nil, fmt.Errorf("read credentials of registries in %s: %w", path, err)
		}
		return file, nil
	}
	return &configfile.ConfigFile{}, nil
}

// lenientKeychain goes on without credentials when they cannot be read, as upstream does.
// It is made for one attempt to fetch one module, and asks once for each repository.
type lenientKeychain struct {
	client *Client

	mutex  sync.Mutex
	known  map[string]authn.Authenticator
	failed error
}

var _ authn.ContextKeychain = (*lenientKeychain)(nil)

func newLenientKeychain(client *Client) *lenientKeychain {
	return &lenientKeychain{client: client, known: map[string]authn.Authenticator{}}
}

// Resolve is ResolveContext without a context.
func (k *lenientKeychain) Resolve(target authn.Resource) (authn.Authenticator, error) {
	return k.ResolveContext(context.Background(), target)
}

// ResolveContext gives the credentials of a repository or a registry. The only error is that
// nobody waits any more.
func (k *lenientKeychain) ResolveContext(ctx context.Context, target authn.Resource) (authn.Authenticator, error) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if known := k.known[target.String()]; known != nil {
		return known, nil
	}
	credentials, err := authn.Resolve(ctx, k.client.config.Keychain, target)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		k.client.config.Logger.WarnContext(ctx, "read registry credentials; going on without", "registry", target.RegistryStr(), "error", err)
		k.failed = err
		credentials = authn.Anonymous
	}
	k.known[target.String()] = credentials
	return credentials, nil
}

// explain adds to the error of a registry that there were no credentials for it.
func (k *lenientKeychain) explain(err error) error {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if k.failed == nil || !answered(err) {
		return err
	}
	return fmt.Errorf("%w (asked without credentials: %w)", err, k.failed)
}
