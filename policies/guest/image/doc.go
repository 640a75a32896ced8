// Package image reads names of container images, for policies that judge them.
//
// What belongs here: what a name says by itself. What never does: asking a registry.
package image
