package main

import (
	"io/fs"
	"log/slog"
	"math"

	"github.com/kubewarden/kubewarden-operator/policyserver/memory"
)

// goMemoryLimit is Go's own variable: where it is set, whoever set it wins.
const goMemoryLimit = "GOMEMLIMIT"

// memoryBudget divides what the container's memory limit allows, and says so once. set is
// told Go's memory limit, unless the environment has one.
func memoryBudget(root fs.FS, getenv func(string) string, set func(int64) int64, logger *slog.Logger) *memory.Budget {
	limit, err := memory.Find(root)
	if err != nil {
		logger.Warn("no memory limit could be read, as if there were none", "error", err)
	}
	plan := memory.NewPlan(limit.Bytes)
	var changed func(int64)
	chosen := getenv(goMemoryLimit)
	if chosen == "" && limit.Bytes > 0 {
		changed = func(bytes int64) { set(bytes) }
	}
	budget := memory.NewBudget(plan, changed)
	switch {
	case limit.Bytes == 0:
		logger.Info("memory is not limited", "gomemlimit", chosen)
	case chosen != "":
		logger.Info("memory is limited", "limit_bytes", limit.Bytes, "read_from", limit.File,
			"modules_bytes", plan.Modules, "guests_bytes", plan.Guests, "objects_bytes", plan.Objects, "gomemlimit", chosen)
	default:
		logger.Info("memory is limited", "limit_bytes", limit.Bytes, "read_from", limit.File,
			"modules_bytes", plan.Modules, "guests_bytes", plan.Guests, "objects_bytes", plan.Objects, "go_limit_bytes", set(math.MinInt64))
	}
	return budget
}
