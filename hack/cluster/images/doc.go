// Package images makes container images without a daemon and loads them into the cluster.
//
// What belongs here: images of one static program and its files, the build of the project's Dockerfile
// with docker or buildah, and the import into containerd.
//
// What never does: deciding what runs in the cluster (addons).
package images
