package conformance

import (
	"encoding/json"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	registries "github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/kubewarden/kubewarden-operator/policyserver/fetch/signature/signaturetest"
	"github.com/kubewarden/kubewarden-operator/test/sigstore"
)

// images is a registry on the loopback interface, for as long as the process lives, and texts
// with what is in it: "<registry>" is its address, "<key>" a public key, and "<stranger>"
// one that signed nothing. It has apps:signed, which the key signed, apps:unsigned, which
// nobody did, and those of signedByIdentities.
type images struct {
	address string
	// trust is the trust root of those who vouch for identities.
	trust []byte
	texts *strings.Replacer
}

var theImages = sync.OnceValue(func() images {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	address := server.Listener.Addr().String()
	key, err := signaturetest.NewSigner()
	must(err)
	stranger, err := signaturetest.NewSigner()
	must(err)
	must(key.Sign(push(address+"/apps:signed", "signed")))
	push(address+"/apps:unsigned", "unsigned")
	own := sigstore.New(machine{})
	alices, bobs := signedByIdentities(address, own)
	return images{address, own.TrustedRoot(machine{}, 0), strings.NewReplacer(
		"<registry>", address, "<key>", quote(key.PublicKey), "<stranger>", quote(stranger.PublicKey), "<alice>", alices, "<bob>", bobs,
	)}
})

// push stores an image whose configuration names a user.
func push(reference, user string) name.Reference {
	parsed, err := name.ParseReference(reference)
	must(err)
	image, err := mutate.Config(empty.Image, v1.Config{User: user})
	must(err)
	must(registries.Write(parsed, image))
	return parsed
}

// quote writes a text as JSON does.
func quote(text string) string {
	quoted, err := json.Marshal(text)
	must(err)
	return string(quoted)
}
