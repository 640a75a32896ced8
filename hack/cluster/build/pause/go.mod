module github.com/kubewarden/kubewarden-operator/hack/cluster/build/pause

go 1.26.0
