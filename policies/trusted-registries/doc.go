// Command trusted-registries is the policy of that name: it refuses containers whose image
// comes from elsewhere than the registries that are listed. It is a WASI command.
package main
