package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	var t target
	flag.StringVar(&t.dir, "dir", ".", "directory of the module")
	flag.StringVar(&t.os, "os", "linux", "operating system, as GOOS")
	flag.StringVar(&t.arch, "arch", "amd64", "processor, as GOARCH")
	flag.StringVar(&t.tags, "tags", "", "build tags, separated by commas")
	flag.StringVar(&t.without, "without", "", "package that is not to be looked for; what comes from it is not checked")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := check(ctx, t, flag.Args())
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s/%s:\n%v\n", t.os, t.arch, err)
		os.Exit(1)
	}
}
