# The one image of the project: the binary `kubewarden`, which is operator, policy server and audit scanner.
# Both base images are arguments, for places that keep their own.
ARG BUILDER_IMAGE=golang:1.26
ARG BASE_IMAGE=gcr.io/distroless/static:nonroot

# Compiled on the machine's own platform, whatever the target is.
FROM --platform=${BUILDPLATFORM} ${BUILDER_IMAGE} AS build

# Where modules come from and how they are checked; empty means the Go tool's own defaults.
ARG GOPROXY
ARG GOSUMDB
ARG GONOSUMDB
ARG GOPRIVATE
ARG GONOPROXY
ARG GOFLAGS
# Where the Go tool keeps modules and what it compiled: the cache mounts below, or folders that the build is given.
ARG GOMODCACHE=/go/pkg/mod
ARG GOCACHE=/root/.cache/go-build
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=0.0.0-dev
# What is compiled; another program makes the image of a stand-in for tests.
ARG MAIN=./cmd/kubewarden

WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/go/pkg/mod \
    --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS="${TARGETOS}" GOARCH="${TARGETARCH}" \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" -o /out/kubewarden "${MAIN}"

FROM ${BASE_IMAGE}
ARG VERSION=0.0.0-dev
LABEL org.opencontainers.image.title="kubewarden-operator" \
      org.opencontainers.image.description="Operator, policy server and audit scanner of Kubewarden" \
      org.opencontainers.image.source="https://github.com/kubewarden/kubewarden-operator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY LICENSE /licenses/LICENSE
COPY --from=build /out/kubewarden /kubewarden
# A number, so that a cluster can tell that it is not root. Any other user works too.
USER 65532:65532
ENTRYPOINT ["/kubewarden"]
