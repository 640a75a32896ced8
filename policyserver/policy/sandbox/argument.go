package sandbox

// Argument is a part of a guest's memory that it hands to an imported function.
type Argument struct {
	// What names it in errors.
	What string
	// Limit is how many bytes it may have.
	Limit uint32
}

// Read reads the argument that two i32 name, address and length. It is valid until the
// guest runs on. The high bits of a parameter are not part of an i32.
func (a Argument) Read(memory Memory, parameters []uint64) ([]byte, error) {
	address, length := uint32(parameters[0]), uint32(parameters[1])
	if length > a.Limit {
		return nil, Violationf("%s has %d bytes, at most %d are allowed", a.What, length, a.Limit)
	}
	return memory.View(address, length)
}
