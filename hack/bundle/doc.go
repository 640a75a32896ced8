// Command bundle makes what the Operator Lifecycle Manager (OLM) installs: the bundle of one
// version and the catalog that offers it.
//
// What belongs here: the commands. The work is done in the packages below:
//
//	assemble  turns rendered configuration into a bundle; pure, except for reading files
//	validate  checks a bundle: OLM's own validators and the rules that they do not know
//	catalog   turns bundles into a file-based catalog
//
// What never does: what the operator is made of. That is config, which kubectl installs
// just as well; a bundle says the same in other words.
package main
