// Package snapshot keeps the linear memory of a guest outside of Go's heap and puts it back
// to a content that it had before, at the cost of what was changed since.
//
// What belongs here: an Image, which is a content, kept once in a sealed file that lies in
// memory only; a Memory, which is address space for one instance, whose content begins as
// an Image; and restoring it.
//
//	Memory   |<-- mapped privately from the Image -->|<-- zeros, for growth -->|<- limit
//	          page of the Image | copy, once written   nothing   | once touched
//
// A page that was never written is the Image's own, shared by all memories and processes;
// the system copies it at the first write. /proc/self/pagemap tells such copies apart, so
// that restoring copies back only them. It is read only where one may have come: a page becomes
// a copy by a fault, and the system counts the faults of a thread. Whether both tell the truth
// here is tried out once, when a System is opened; where the count does not, the pagemap is
// read each time, and where that does not, all pages are copied back.
//
// What never does: knowing what the memory holds or who runs in it. Globals, tables and
// everything else of an instance are for policyserver/policy/sandbox.
//
// It works on Linux. Elsewhere Open says ErrUnsupported.
package snapshot
