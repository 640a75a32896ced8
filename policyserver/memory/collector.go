package memory

// Go's collector.
const (
	// leastSpare is what may be allocated between two collections however small the heap is.
	leastSpare = 48 * mebibyte
	// leastPercent is Go's default: a heap may double.
	leastPercent = 100
	// leastLive is what is taken to be in use at least, also before that is known: Go takes
	// a heap for 4 MB at least.
	leastLive = 8 * mebibyte
)

// GCPercent is Go's GOGC for a heap of which live bytes were in use at the last collection.
//
// A collection keeps a processor busy for milliseconds, which requests wait for; with small
// heaps, Go has one whenever few megabytes were allocated. So a heap may grow by leastSpare
// at least. A memory limit of Go's collects sooner where there is not room for that.
func GCPercent(live int64) int {
	return int(max(leastPercent, leastSpare*100/max(live, leastLive)))
}
