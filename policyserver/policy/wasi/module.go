package wasi

import (
	"context"
	"encoding/binary"

	"github.com/tetratelabs/wazero/api"

	"github.com/kubewarden/kubewarden-operator/policyserver/policy/sandbox"
)

// ModuleName is what guests import WASI from.
const ModuleName = "wasi_snapshot_preview1"

// errno is what a WASI function returns; the numbers are the interface's.
type errno uint32

const (
	success  errno = 0
	badFD    errno = 8
	fault    errno = 21
	invalid  errno = 28
	noSystem errno = 52
	notSupp  errno = 58
	noSeek   errno = 70
)

// run serves a call. An error ends the guest, an errno is for the guest to read.
type run func(ctx context.Context, guest sandbox.Guest, args []uint64) (errno, error)

// Module are the functions of WASI preview 1.
func Module() sandbox.HostModule {
	module := sandbox.HostModule{Name: ModuleName}
	for _, function := range functions {
		module.Functions = append(module.Functions, sandbox.Function{
			Name:    function.name,
			Params:  signature(function.params),
			Results: sandbox.I32(1),
			Run:     answer(function.run),
		})
	}
	module.Functions = append(module.Functions, sandbox.Function{
		Name:   "proc_exit",
		Params: sandbox.I32(1),
		Run: func(_ context.Context, _ sandbox.Guest, stack []uint64) error {
			return &sandbox.ExitError{Code: uint32(stack[0])}
		},
	})
	return module
}

func answer(serve run) func(context.Context, sandbox.Guest, []uint64) error {
	return func(ctx context.Context, guest sandbox.Guest, stack []uint64) error {
		code, err := serve(ctx, guest, stack)
		stack[0] = uint64(code)
		return err
	}
}

// signature reads "iI" as an i32 and an i64.
func signature(letters string) []api.ValueType {
	types := make([]api.ValueType, len(letters))
	for i, letter := range letters {
		types[i] = api.ValueTypeI32
		if letter == 'I' {
			types[i] = api.ValueTypeI64
		}
	}
	return types
}

// functions are all of the interface but proc_exit, which returns nothing.
var functions = []struct {
	name   string
	params string
	run    run
}{
	{"args_get", "ii", arguments},
	{"args_sizes_get", "ii", argumentSizes},
	{"environ_get", "ii", nothing},
	{"environ_sizes_get", "ii", noSizes},
	{"clock_res_get", "ii", clockResolution},
	{"clock_time_get", "iIi", clockTime},
	{"fd_advise", "iIIi", onStream(nothing)},
	{"fd_allocate", "iII", onStream(unsupported)},
	{"fd_close", "i", onStream(nothing)},
	{"fd_datasync", "i", onStream(nothing)},
	{"fd_fdstat_get", "ii", onStream(descriptorStatus)},
	{"fd_fdstat_set_flags", "ii", onStream(nothing)},
	{"fd_fdstat_set_rights", "iII", onStream(nothing)},
	{"fd_filestat_get", "ii", onStream(fileStatus)},
	{"fd_filestat_set_size", "iI", onStream(unsupported)},
	{"fd_filestat_set_times", "iIIi", onStream(unsupported)},
	{"fd_pread", "iiiIi", onStream(unseekable)},
	{"fd_prestat_get", "ii", noDescriptor},
	{"fd_prestat_dir_name", "iii", noDescriptor},
	{"fd_pwrite", "iiiIi", onStream(unseekable)},
	{"fd_read", "iiii", onStream(read)},
	{"fd_readdir", "iiiIi", noDescriptor},
	{"fd_renumber", "ii", onStream(nothing)},
	{"fd_seek", "iIii", onStream(unseekable)},
	{"fd_sync", "i", onStream(nothing)},
	{"fd_tell", "ii", onStream(unseekable)},
	{"fd_write", "iiii", onStream(write)},
	{"path_create_directory", "iii", noDescriptor},
	{"path_filestat_get", "iiiii", noDescriptor},
	{"path_filestat_set_times", "iiiiIIi", noDescriptor},
	{"path_link", "iiiiiii", noDescriptor},
	{"path_open", "iiiiiIIii", noDescriptor},
	{"path_readlink", "iiiiii", noDescriptor},
	{"path_remove_directory", "iii", noDescriptor},
	{"path_rename", "iiiiii", noDescriptor},
	{"path_symlink", "iiiii", noDescriptor},
	{"path_unlink_file", "iii", noDescriptor},
	{"poll_oneoff", "iiii", poll},
	{"proc_raise", "i", missing},
	{"sched_yield", "", nothing},
	{"random_get", "ii", random},
	{"sock_accept", "iii", noDescriptor},
	{"sock_recv", "iiiiii", noDescriptor},
	{"sock_send", "iiiii", noDescriptor},
	{"sock_shutdown", "ii", noDescriptor},
}

func nothing(context.Context, sandbox.Guest, []uint64) (errno, error)      { return success, nil }
func missing(context.Context, sandbox.Guest, []uint64) (errno, error)      { return noSystem, nil }
func unsupported(context.Context, sandbox.Guest, []uint64) (errno, error)  { return notSupp, nil }
func unseekable(context.Context, sandbox.Guest, []uint64) (errno, error)   { return noSeek, nil }
func noDescriptor(context.Context, sandbox.Guest, []uint64) (errno, error) { return badFD, nil }

// noSizes answers that there is no environment.
func noSizes(_ context.Context, guest sandbox.Guest, args []uint64) (errno, error) {
	if guest.Memory.WriteUint32(uint32(args[0]), 0) != nil || guest.Memory.WriteUint32(uint32(args[1]), 0) != nil {
		return fault, nil
	}
	return success, nil
}

// The file descriptors that exist.
const (
	stdin  = 0
	stdout = 1
	stderr = 2
)

// onStream serves functions of a file descriptor for the three that there are.
func onStream(serve run) run {
	return func(ctx context.Context, guest sandbox.Guest, args []uint64) (errno, error) {
		if uint32(args[0]) > stderr {
			return badFD, nil
		}
		return serve(ctx, guest, args)
	}
}

// characterDevice is the file type of the three descriptors, that of a terminal: output
// is not held back in the guest.
const characterDevice = 2

// Rights of a descriptor.
const (
	rightRead  = 1 << 1
	rightWrite = 1 << 6
)

func descriptorStatus(_ context.Context, guest sandbox.Guest, args []uint64) (errno, error) {
	var status [24]byte // type, flags, rights, inherited rights
	status[0] = characterDevice
	rights := uint64(rightWrite)
	if uint32(args[0]) == stdin {
		rights = rightRead
	}
	binary.LittleEndian.PutUint64(status[8:], rights)
	return written(guest.Memory.Write(uint32(args[1]), status[:]))
}

func fileStatus(_ context.Context, guest sandbox.Guest, args []uint64) (errno, error) {
	var status [64]byte // device, inode, type, links, size, three times
	status[16] = characterDevice
	return written(guest.Memory.Write(uint32(args[1]), status[:]))
}

func written(err error) (errno, error) {
	if err != nil {
		return fault, nil
	}
	return success, nil
}
