package report

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// writer sends reports to an API server.
type writer interface {
	create(ctx context.Context, report client.Object) error
	update(ctx context.Context, report client.Object) error
}

// whole has each report sent back, as clients do.
type whole struct{ client client.Client }

var _ writer = whole{}

func (w whole) create(ctx context.Context, report client.Object) error {
	return w.client.Create(ctx, report)
}

func (w whole) update(ctx context.Context, report client.Object) error {
	return w.client.Update(ctx, report)
}

// acceptBrief asks for the metadata of what was written. An API server that does not know how,
// as one that is aggregated may not, answers with the whole report, which is right as well.
const acceptBrief = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"

// brief has only metadata sent back, and reads an answer only if it is an error. The whole report
// would be encoded, sent and decoded again for nobody.
type brief struct {
	client rest.Interface
	family family
}

var _ writer = brief{}

// WriteBriefly has the API server of config, which is that of the client, not send back the
// reports that are written. It must not run beside other calls.
func (s *Store) WriteBriefly(config *rest.Config) error {
	scheme := runtime.NewScheme()
	if err := AddToScheme(scheme); err != nil {
		return err
	}
	version := s.family.groupVersion()
	config = rest.CopyConfig(config)
	config.APIPath, config.GroupVersion = "/apis", &version
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, acceptBrief
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	made, err := rest.RESTClientFor(config)
	if err != nil {
		return fmt.Errorf("make a client for reports of %s: %w", version, err)
	}
	s.writer = brief{client: made, family: s.family}
	return nil
}

func (b brief) create(ctx context.Context, report client.Object) error {
	return b.place(b.client.Post(), report).Body(report).Do(ctx).Error()
}

func (b brief) update(ctx context.Context, report client.Object) error {
	return b.place(b.client.Put(), report).Name(report.GetName()).Body(report).Do(ctx).Error()
}

func (b brief) place(request *rest.Request, report client.Object) *rest.Request {
	namespace := report.GetNamespace()
	return request.NamespaceIfScoped(namespace, namespace != "").Resource(b.family.resource(namespace))
}
