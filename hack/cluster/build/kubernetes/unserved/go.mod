// Stands in for modules that k8s.io/kubernetes requires, that no package of it imports
// and that the public module proxy does not serve.
module unserved

go 1.26
