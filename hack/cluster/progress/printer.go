package progress

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Printer writes progress lines.
type Printer struct {
	mu  sync.Mutex
	out io.Writer
	now func() time.Time
}

// New writes to out and takes the time from now.
func New(out io.Writer, now func() time.Time) *Printer {
	return &Printer{out: out, now: now}
}

// Step says that work begins, does it, and says how long it took or why it failed.
func (p *Printer) Step(title string, work func() error) error {
	start := p.now()
	p.Say("  -> " + title)
	err := work()
	took := p.now().Sub(start).Round(100 * time.Millisecond)
	if err != nil {
		p.Say(fmt.Sprintf("  !! %s: failed after %s", title, took))
		return fmt.Errorf("%s: %w", title, err)
	}
	p.Say(fmt.Sprintf("  ok %s: %s", title, took))
	return nil
}

// Say writes one line.
func (p *Printer) Say(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = fmt.Fprintln(p.out, line)
}
